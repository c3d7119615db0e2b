"""The scores of every task that packages offer, with every source of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from anyscene import datasets
from anyscene.project.device import choose_device
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.per_scene import WorkerPool, each
from anyscene.project.progress import progress
from anyscene.tasks import TASKS, sources
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts, task
from anyscene.tasks.truth import Annotation, split_by_annotation
from anyscene.text import TextEncoder, load_text_encoder


def score_tasks(
    artefacts: Artefacts,
    settings: Params,
    encoder: TextEncoder,
    processes: WorkerPool,
    scenes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of each task and source: {task: {source: {figure: value}}}.

    encoder: the one that `settings.text` names. processes: each answers one scene at a time, and this one
    scores the answers; networks on a GPU are asked in this process. scenes: annotated ones; None: those of
    `evaluation.split`. names: of tasks; None: all. A task without a score is left out.
    """
    if scenes is None:
        scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    there = sources.names(artefacts)
    if not scenes or not there:
        return {}
    names = TASKS.names() if names is None else names
    on_gpu = choose_device(settings.runtime.device).type != "cpu"
    found: dict[str, dict[str, dict[str, float]]] = {}
    with progress("tasks", len(there) * len(names)) as advance:
        for source in there:
            here = processes.count == 1 or (on_gpu and not sources.is_stored(source))
            for name in names:
                make = partial(_answering, artefacts, settings, encoder if here else None, source, name)
                answers = each(make, scenes, 1 if here else processes)
                truth = _truth(artefacts, scenes, settings)
                figures = task(name, settings.evaluation).score(answers, truth)
                if figures is not None:
                    found.setdefault(name, {})[source] = dict(figures)
                advance()
    return found


def _answering(
    artefacts: Artefacts, settings: Params, encoder: TextEncoder | None, source: str, name: str
) -> Callable[[str], Any]:
    """A function that returns a task's answer for a scene, by one source of features. encoder: None: it is
    loaded."""
    texts = Texts.of(settings, encoder or load_text_encoder(settings.text))
    features = sources.opened(artefacts, source, settings.runtime.device)
    asked = task(name, settings.evaluation)
    return lambda scene: asked.answer(Surface.read(artefacts, scene), features(scene), texts)


def _truth(artefacts: Artefacts, scenes: Sequence[str], settings: Params) -> Iterator[Annotation]:
    label_set = datasets.label_set(settings.dataset.label_set)
    for scene in scenes:
        yield Annotation.read(artefacts, scene, label_set, settings.evaluation.unpredicted)
