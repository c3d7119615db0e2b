"""What tasks draw beside what has a place of its own in the report and the viewer."""

from __future__ import annotations

from collections.abc import Iterator

from anyscene.project.layout import Artefacts
from anyscene.tasks import TASKS, sources
from anyscene.tasks.layer import Layer
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts, task

APART = ("query", "segmentation")  # the text field, and the layers of classes


def drawn_tasks() -> Iterator[Task]:
    """Every task that is not APART. Raises ConfigError for one that cannot be imported."""
    return (task(name) for name in TASKS.names() if name not in APART)


def task_layers(artefacts: Artefacts, scene: str, texts: Texts) -> Iterator[Layer]:
    """The layers of their answers to a scene, by the most refined source; none where there is no source.

    Raises StoreError where an artefact is damaged."""
    if sources.names(artefacts, scene):
        surface, features = Surface.read(artefacts, scene), sources.of_scene(artefacts, scene)
        for asked in drawn_tasks() if len(surface.superpoint) else ():
            yield from asked.layers(asked.answer(surface, features, texts))
