"""The scores of every task that packages offer, with every source of features."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from anyscene.project.device import choose_device
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.per_scene import WorkerPool, each
from anyscene.project.progress import progress
from anyscene.tasks import TASKS, sources
from anyscene.tasks.features import Features
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts, task
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

    encoder: the one that `settings.text` names. processes: each scores one source by one task, with one scene
    in memory at a time; networks on a GPU are asked in this process. scenes: annotated ones; None: those of
    `evaluation.split`. names: of tasks; None: all. A task without a score is left out.
    """
    if scenes is None:
        scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    there = sources.names(artefacts)
    if not scenes or not there:
        return {}
    names = TASKS.names() if names is None else names
    pairs = [(source, name) for source in there for name in names]
    on_gpu = choose_device(settings.runtime.device).type != "cpu"
    score: dict[tuple[str, str], dict[str, float] | None] = {}
    with progress("tasks", len(pairs)) as advance:
        for apart in (True, False):
            some = [pair for pair in pairs if (on_gpu and not sources.is_stored(pair[0])) == apart]
            here = apart or processes.count == 1
            make = partial(_scoring, artefacts, settings, encoder if here else None, scenes)
            for pair, figures in zip(some, each(make, some, 1 if here else processes), strict=True):
                score[pair] = figures
                advance()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for source, name in pairs:
        if (figures := score[source, name]) is not None:
            found.setdefault(name, {})[source] = figures
    return found


def _scoring(
    artefacts: Artefacts, settings: Params, encoder: TextEncoder | None, scenes: Sequence[str]
) -> Callable[[tuple[str, str]], dict[str, float] | None]:
    """A function that scores a source of features by a task. encoder: None: it is loaded."""
    texts = Texts.of(settings, encoder or load_text_encoder(settings.text))
    opened = functools.cache(partial(sources.opened, artefacts, device=settings.runtime.device))

    def score(pair: tuple[str, str]) -> dict[str, float] | None:
        source, name = pair
        asked = task(name, settings.evaluation)
        answers = _answers(artefacts, scenes, asked, opened(source), texts)
        figures = asked.score(answers, _truth(artefacts, scenes, settings, texts))
        return None if figures is None else dict(figures)

    return score


def _answers(
    artefacts: Artefacts,
    scenes: Sequence[str],
    asked: Task[Any],
    features: Callable[[str], Features],
    texts: Texts,
) -> Iterator[Any]:
    for scene in scenes:
        yield asked.answer(Surface.read(artefacts, scene), features(scene), texts)


def _truth(
    artefacts: Artefacts, scenes: Sequence[str], settings: Params, texts: Texts
) -> Iterator[Annotation]:
    for scene in scenes:
        yield Annotation.read(artefacts, scene, texts.label_set, settings.evaluation.unpredicted)
