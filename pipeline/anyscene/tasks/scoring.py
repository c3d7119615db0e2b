"""The scores of every task that packages offer, with every source of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.tasks import TASKS, sources
from anyscene.tasks.features import Features
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts, task
from anyscene.tasks.truth import Annotation, split_by_annotation
from anyscene.text import TextEncoder


def score_tasks(
    artefacts: Artefacts,
    settings: Params,
    encoder: TextEncoder,
    scenes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of each task and source: {task: {source: {figure: value}}}.

    scenes: annotated ones; None: those of `evaluation.split`. names: of tasks; None: all. A task without a
    score is left out. One scene is in memory at a time. A network is read once for all scenes, and each task
    computes its features anew.
    """
    if scenes is None:
        scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    there, texts = sources.names(artefacts), Texts.of(settings, encoder)
    if not scenes or not there:
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    names = TASKS.names() if names is None else names
    with progress("tasks", len(names) * len(there)) as advance:
        for source in there:
            features = sources.opened(artefacts, source)
            for name in names:
                asked = task(name, settings.evaluation)
                answers = _answers(artefacts, scenes, asked, features, texts)
                score = asked.score(answers, _truth(artefacts, scenes, settings, texts))
                if score is not None:
                    found.setdefault(name, {})[source] = dict(score)
                advance()
    return found


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
