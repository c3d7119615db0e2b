"""Predictions of other programs on annotated scenes -> IoU and accuracy of each class, and their means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene.arrays import I8, Integers
from anyscene.datasets import LabelSet, label_set
from anyscene.errors import DataError, EvaluationError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.tasks.segmentation import label_files
from anyscene.tasks.segmentation.metrics import Metrics, confusion, measure
from anyscene.tasks.truth import Annotation, split_by_annotation

NAMED = 5  # scenes that a message lists


@dataclass(frozen=True)
class Score:
    """The scores of predictions, by both rules for a point that has none."""

    label_set: str  # its name
    scenes: tuple[str, ...]  # that were scored
    left_out: tuple[str, ...]  # that have a prediction, but no annotation or another split
    points: int  # annotated ones
    unpredicted: int  # annotated points without a prediction
    error: Metrics  # such a point counts as wrong, as in ScanNet's benchmark
    ignore: Metrics  # such a point is left out, as in OpenScene's evaluation


def score_on_project(folder: Path, classes: LabelSet, settings: Params, artefacts: Artefacts) -> Score:
    """Score the predictions in `folder`, rows of `classes`, on the annotated scenes of `evaluation.split`.

    Raises EvaluationError where there are none, and where they are annotated by another label set; DataError
    where a scene lacks a prediction, is unknown, or has one that does not fit, naming it."""
    split, stored = settings.evaluation.split, artefacts.data("scenes")
    if not artefacts.has(stored):
        raise EvaluationError(f"{stored}: no scenes; run `dvc repro labels`, or give annotation by --truth")
    if classes.names != label_set(settings.dataset.label_set).names:
        raise EvaluationError(
            f"the project is annotated by {settings.dataset.label_set}, not by {classes.name}; leave out "
            "--labels, or give annotation by --truth"
        )
    scenes, _ = split_by_annotation(artefacts, split)
    if not scenes:
        raise EvaluationError(
            f"no scene of {split} is annotated; run `dvc repro labels`, or give annotation by --truth"
        )

    def annotated(scene: str) -> Integers:
        return Annotation.read(artefacts, scene, classes).label

    truth = {scene: functools.partial(annotated, scene) for scene in scenes}
    return _score(folder, classes, truth, store.scene_ids(stored))


def score_on_files(folder: Path, classes: LabelSet, truth: Path) -> Score:
    """Score the predictions in `folder` on the annotation in the files of `truth`; both are rows of
    `classes`, in any form of `label_files`. Points that are annotated by another class are ignored.

    Raises DataError as `score_on_project` does."""
    annotated = {
        scene: functools.partial(label_files.read, file, classes, lenient=True)
        for scene, file in label_files.files(truth).items()
    }
    return _score(folder, classes, annotated, ())


def _score(
    folder: Path,
    classes: LabelSet,
    truth: Mapping[str, Callable[[], Integers]],
    others: Collection[str],
) -> Score:
    """truth: returns the annotation of each scene to score; others: scenes that may have predictions too."""
    said = label_files.files(folder)
    if missing := [scene for scene in truth if scene not in said]:
        raise DataError(
            f"{folder}: no prediction for {_few(missing)}; every annotated scene needs one "
            f"({label_files.FORMS})"
        )
    if unknown := [scene for scene in said if scene not in truth and scene not in others]:
        raise DataError(
            f"{folder}: {_few(unknown)}: no scene that is known here; name each file by its scene, or take "
            "it away"
        )
    total: I8 = np.zeros((len(classes), len(classes) + 1), np.int64)
    with progress("score", len(truth)) as advance:
        for scene, annotation in truth.items():
            target, prediction = annotation(), label_files.read(said[scene], classes)
            if len(target) != len(prediction):
                raise DataError(
                    f"{said[scene]}: {len(prediction)} predictions for the {len(target)} points of {scene}; "
                    "write one for each point, in the order of the scene's"
                )
            total += confusion(target, prediction, len(classes))
            advance()
    if not total.any():
        raise EvaluationError(f"no point of {_few(list(truth))} is annotated by a class of {classes.name}")
    return Score(
        classes.name,
        tuple(truth),
        tuple(scene for scene in said if scene not in truth),
        int(total.sum()),
        int(total[:, -1].sum()),
        measure(total, None, classes, "error"),
        measure(total, None, classes, "ignore"),
    )


def _few(scenes: list[str]) -> str:
    more = f" and {len(scenes) - NAMED} more" if len(scenes) > NAMED else ""
    return f"{', '.join(scenes[:NAMED])}{more}"
