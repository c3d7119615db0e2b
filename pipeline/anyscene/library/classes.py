"""Names of any things -> a label set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyscene.datasets import LabelSet
from anyscene.errors import DataError
from anyscene.project.parameters import same_words
from anyscene.tasks.layer import distinct_colours
from anyscene.text import limits

MOST_CLASSES = np.iinfo(np.int16).max  # a label is an i2


def named(names: Sequence[str]) -> LabelSet:
    """A label set of the classes `names`, in their order, each with a colour of its own.

    Raises DataError where `names` is no list of texts, is empty or too long, or two of them say the same;
    TextError for a name without anything to read."""
    if isinstance(names, str):
        raise DataError(f"one text, where a list of classes is to be; give [{names!r}]")
    try:
        names = tuple(names)
    except TypeError as error:
        raise DataError(f"{names!r} is no list of classes; give a list of their names") from error
    if not 0 < len(names) <= MOST_CLASSES:
        raise DataError(f"{len(names)} classes; give 1 to {MOST_CLASSES}")
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"the class {name!r} is no text; give the names of classes")
        limits.require_text(name)
    if twins := same_words(names):
        raise DataError(f"the classes {twins[0]!r} and {twins[1]!r} are one; give each once")
    colours = distinct_colours(np.arange(len(names)))
    return LabelSet("classes", names, names, colours, np.ones(len(names), bool))
