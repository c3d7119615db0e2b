"""The layers of those tasks that have no place of their own in the report and the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Evaluation
from anyscene.tasks import TASKS, sources
from anyscene.tasks.layer import Layer
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts, task


def drawn_tasks(section: Evaluation) -> Iterator[Task[Any]]:
    """Every task whose answers are shown as layers of their own, with its settings: not one with
    `apart = True`. Raises ConfigError for one that cannot be imported."""
    every = (task(name, section) for name in TASKS.names())
    return (found for found in every if not getattr(found, "apart", False))


def task_layers(artefacts: Artefacts, scene: str, texts: Texts, section: Evaluation) -> Iterator[Layer]:
    """The layers of what these tasks answer to a scene, by the most refined source of features. There are
    none where there is no source.

    Raises StoreError where an artefact is damaged."""
    if sources.names(artefacts, scene):
        surface, features = Surface.read(artefacts, scene), sources.of_scene(artefacts, scene)
        for asked in drawn_tasks(section) if len(surface.superpoint) else ():
            yield from asked.layers(asked.answer(surface, features, texts))
