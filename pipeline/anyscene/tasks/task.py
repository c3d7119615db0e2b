"""What a task is: it answers a scene, scores its answers against annotation, and says how they are drawn.

Another package adds a task by an entry point of the group `anyscene.tasks`. It names a class whose
constructor takes no arguments:

    [project.entry-points."anyscene.tasks"]
    rooms = "my_package.rooms:Rooms"

A task with settings has a class attribute `settings`, a frozen dataclass whose fields have defaults and
whose __post_init__ raises ConfigError for values out of bounds. It is the section evaluation.NAME of
params.yaml, which may be left out, and the only argument of the constructor. A task that reads files of its
own has a static method files(settings) that names them: when one changes, evaluation and report run again.

An evaluation asks a task for the answers of scenes in several processes, and scores them in another. So they
can be pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from anyscene.arrays import F4
from anyscene.tasks import TASKS
from anyscene.tasks.layer import Layer

if TYPE_CHECKING:  # torch takes seconds, and a list of tasks needs none of it
    from anyscene.datasets import LabelSet
    from anyscene.project.parameters import Evaluation, Params
    from anyscene.tasks.features import Features
    from anyscene.tasks.surface import Surface
    from anyscene.tasks.truth import Annotation
    from anyscene.text import TextEncoder
    from anyscene.text.glosses import Vocabulary

Answer = TypeVar("Answer")  # of one scene; a task has its own type of it


class Task(Protocol[Answer]):
    """A task: something that features of a scene are good for.

    Report and viewer draw the layers of every task, but not those of a task that says `apart = True`: they
    show its answers elsewhere, as those of queries in the text field."""

    name: str  # one word: that of the entry point
    title: str  # for people

    def answer(self, scene: Surface, features: Features, texts: Texts) -> Answer:
        """What the task says of a scene. features: of its points; texts: what they are compared with."""
        ...

    def score(self, answers: Iterable[Answer], truth: Iterable[Annotation]) -> Mapping[str, float] | None:
        """Figures by name, from the answers to some scenes and the annotation of each; None where a task has
        no score. Both can be iterated once, side by side, so that only one scene need be in memory."""
        ...

    def layers(self, answer: Answer) -> Sequence[Layer]:
        """How the answer is drawn, over all points of its scene."""
        ...


def task(name: str, section: Evaluation | None = None) -> Task[Any]:
    """The task `name`, with its settings in `section`; None: with their defaults. Raises ConfigError naming
    the known ones."""
    made: Any = TASKS.get(name)  # whatever a package offers; the suite anyscene.testing.TaskTests checks it
    found: Task[Any] = made(*_settings(made, name, section))
    return found


def files(section: Evaluation) -> Sequence[Path]:
    """The files that all tasks read, beside artefacts."""
    found: list[Path] = []
    for name in TASKS.names():
        made: Any = TASKS.get(name)
        if hasattr(made, "files"):
            found += made.files(*_settings(made, name, section))
    return found


def _settings(made: Any, name: str, section: Evaluation | None) -> tuple[Any, ...]:
    """The settings of a task that has any."""
    kind = getattr(made, "settings", None)
    if kind is None:
        return ()
    given = {} if section is None else dict(section.sections.values)
    return (given[name] if name in given else kind(),)


@dataclass(frozen=True, eq=False)
class Texts:
    """What features are compared with."""

    encoder: TextEncoder
    label_set: LabelSet
    vocabulary: tuple[str, ...]  # names of the V classes over which features were fused
    template: str  # of prompts and names, with one {}
    asked: tuple[str, ...] = ()  # free texts, for tasks that answer them

    @classmethod
    def of(cls, settings: Params, encoder: TextEncoder, asked: Sequence[str] = ()) -> Texts:
        """The texts that the parameters name. Raises DataError for a label set that is not there."""
        from anyscene import datasets

        label_set = datasets.label_set(settings.dataset.label_set)
        return cls(encoder, label_set, settings.vocabulary, settings.text.template, tuple(asked))

    @functools.cached_property
    def prompts(self) -> F4:
        """f4[T, C]: embeddings of the label set's prompts."""
        from anyscene.text import embeddings

        return embeddings(self.encoder, self.label_set.prompts, self.template)

    @functools.cached_property
    def classes(self) -> Vocabulary:
        """The vocabulary with what WordNet says of its classes."""
        from anyscene.text.glosses import Vocabulary

        return Vocabulary.of(self.encoder, self.vocabulary, self.template)
