"""The annotation of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anyscene.arrays import I2, I4

MOSTLY = 0.5  # a share of what is annotated; with more categories unknown a file or a table is another one


@dataclass(frozen=True)
class Truth:
    """The annotation of the N vertices of a scene."""

    label: I2  # i2[N], rows of the label set, -1 = none
    instance: I4  # i4[N], ids of instances, -1 = none
    file: Path  # the file with the labels, for messages
    # how many vertices have no label because of a category that is not known, by its name
    unknown: Mapping[str, int] = field(default_factory=dict)
