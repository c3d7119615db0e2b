"""The layers of those tasks that have no place of their own in the report and the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyscene.project.layout import Artefacts
from anyscene.tasks import TASKS, sources
from anyscene.tasks.layer import Layer
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts, task


def drawn_tasks() -> Iterator[Task[Any]]:
    """Every task whose answers are shown as layers of their own: not one with `apart = True`. Raises
    ConfigError for one that cannot be imported."""
    return (found for found in map(task, TASKS.names()) if not getattr(found, "apart", False))


def task_layers(artefacts: Artefacts, scene: str, texts: Texts) -> Iterator[Layer]:
    """The layers of what these tasks answer to a scene, by the most refined source of features. There are
    none where there is no source.

    Raises StoreError where an artefact is damaged."""
    if sources.names(artefacts, scene):
        surface, features = Surface.read(artefacts, scene), sources.of_scene(artefacts, scene)
        for asked in drawn_tasks() if len(surface.superpoint) else ():
            yield from asked.layers(asked.answer(surface, features, texts))
