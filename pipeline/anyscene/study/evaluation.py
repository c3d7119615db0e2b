"""One evaluation from beginning to end: all rows on all annotated scenes, scene by scene."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from anyscene import datasets
from anyscene.arrays import F8, I8, U1
from anyscene.capability.measured import read as read_capability
from anyscene.errors import EvaluationError, StoreError
from anyscene.networks.trained import require_recorded
from anyscene.project import per_scene, store
from anyscene.project.device import choose_device
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params, plain
from anyscene.project.progress import progress
from anyscene.scene import resized
from anyscene.segmenters import entry, load_segmenter, on_device, runs_elsewhere
from anyscene.study import metrics_json, rows, trained_on
from anyscene.study.ablation import Ablation, Controls, Inputs
from anyscene.study.counting import counted
from anyscene.study.losses import Loss
from anyscene.study.losses import losses as read_losses
from anyscene.study.true_iou import compared, iou, known_classes
from anyscene.tasks import SEGMENTATION, TASKS
from anyscene.tasks.scoring import score_tasks
from anyscene.tasks.truth import split_by_annotation


@dataclass(frozen=True, eq=False)
class Study:
    """The results of an evaluation."""

    metrics: dict[str, Any]  # the content of metrics.json
    tallies: metrics_json.SceneTallies  # what metrics.json sums up
    losses: list[Loss]  # of the networks in training

    @property
    def confusion(self) -> dict[str, I8]:
        """i8[K, K+1] of each row, summed over its variants and over scenes."""
        return {row: self.tallies.confusion(row) for row in self.metrics["semantic"]}


def run(params: Params, artefacts: Artefacts) -> Study:
    """Evaluate everything that exists. Where no scene of the split is annotated, the result has no scores,
    but all that is known without annotation. Raises EvaluationError where nothing predicts, and StoreError or
    CheckpointError where something is lost that there was."""
    with per_scene.WorkerPool(params.runtime.workers) as processes:
        return _run(params, artefacts, processes)


def _run(params: Params, artefacts: Artefacts, processes: per_scene.WorkerPool) -> Study:
    require_recorded(artefacts)
    _require_fused(params, artefacts)
    settings, vocabulary = params.evaluation, params.vocabulary
    label_set = datasets.label_set(params.dataset.label_set)
    failed = failed_scenes(artefacts)
    scenes, unannotated = split_by_annotation(artefacts, settings.split, failed)
    controls = _controls(params, artefacts, scenes, label_set.names, processes)
    reader = datasets.entry(params.dataset.reader)
    inputs = Inputs.of(params, artefacts)
    ablation = Ablation(inputs, controls, scenes)
    if not ablation.rows:
        raise EvaluationError("nothing predicts yet: run `dvc repro`, or projection for a start")
    others = [datasets.label_set(name) for name in settings.label_sets]
    by_set = [metrics_json.SceneTallies(settings.unpredicted) for _ in (label_set, *others)]
    points = [0] * len(by_set)
    device = choose_device(params.runtime.device, params.runtime.device_memory_gib)
    with progress("evaluation", len(scenes)) as advance:
        for found in counted(params, artefacts, controls, scenes, processes, device, device.type != "cpu"):
            for place, counts in enumerate(found):
                points[place] += counts.points
                for row in ablation.rows:
                    by_set[place].add(row.name, counts.of_row[row.name])
            advance()
    tallies = by_set[0]
    scores = tallies.metrics(label_set)
    origins = [reader.origin(scene) for scene in scenes]
    doubt = partial(
        metrics_json.doubt, rows=ablation.rows, settings=settings, origins=origins, drawn=reader.origins
    )
    folder = artefacts.data("capability")
    measured = {model: read_capability(folder, model, vocabulary) for model in params.segmenters.names}
    problems: list[str] = []
    losses = read_losses(ablation.networks, problems)
    metrics = {
        "rows": rows.section(ablation.candidates),
        "semantic": metrics_json.semantic(scores),
        "bootstrap": doubt(tallies, scores),
        "capability": metrics_json.capability(measured, controls.truth if controls else {}, vocabulary),
        "tasks": score_tasks(artefacts, params, inputs.encoder, processes, scenes, _beside_rows()),
        "label_set": label_set.name,
        "absent": list(next(iter(scores.values())).absent) if scores else [],
        "missing": ablation.missing,
        "problems": problems,
        "parameters": _recorded(params),
        "trained_on": trained_on.section(
            {
                row.name: row.network
                for row in ablation.rows
                if row.network and row.role == "network" and not row.control
            },
            scenes,
            store.splits(artefacts.data("scenes")),
        ),
        "supervised": [row.name for row in ablation.rows if row.supervised],
        "split": settings.split,
        "scenes": scenes,
        "unannotated": unannotated,
        "failed": failed,
        "points": points[0],
        "unpredicted": settings.unpredicted,
        "turns": settings.turns,
        "backend": {network.name: network.backend for network in ablation.networks},
        "seed": settings.seed,
    }
    if others:
        metrics["label_sets"] = {
            other.name: {
                "semantic": metrics_json.semantic(of_rows := counts.metrics(other)),
                "bootstrap": doubt(counts, of_rows),
                "absent": list(next(iter(of_rows.values())).absent) if of_rows else [],
                "points": of_points,
            }
            for other, counts, of_points in zip(others, by_set[1:], points[1:], strict=True)
        }
    return Study(metrics_json.rounded(metrics), tallies, losses)


def _controls(
    params: Params,
    artefacts: Artefacts,
    scenes: Sequence[str],
    names: Sequence[str],
    processes: per_scene.WorkerPool,
) -> Controls | None:
    """The weights of the controls; None where there shall be none."""
    if not params.evaluation.controls:
        return None
    return Controls(
        taught={model: _taught(params, model) for model in params.segmenters.names},
        truth=_truths(params, artefacts, scenes, names, processes),
        shuffles=params.evaluation.shuffles,
        seed=params.evaluation.seed,
    )


def _recorded(params: Params) -> dict[str, Any]:
    """The section `parameters` of metrics.json: of those that DVC compares for an evaluation all by which the
    rows came about."""
    return {
        "dataset": {name: getattr(params.dataset, name) for name in ("name", "reader", "label_set")},
        "text": plain(params.text),
        "segmenters": {
            name: getattr(params.segmenters, name) for name in ("names", "nouns", "captioner", "precision")
        },
        "scenes": {"frame_stride": params.scenes.frame_stride},
        "projection": {
            name: getattr(params.projection, name) for name in ("width", "height", "resize", "tolerance")
        },
        "fusion": plain(params.fusion),
        "training": {name: plain(entry) for name, entry in params.training.items()},
        "vocabulary": params.vocabulary,
    }


def failed_scenes(artefacts: Artefacts) -> dict[str, str]:
    """The scenes that a stage left out because it failed on them, with the cause."""
    data, found = artefacts.data("scenes").parent, dict[str, str]()
    for pattern in (f"*/{store.FAILED}", f"projection/*/{store.FAILED}"):
        for file in sorted(data.glob(pattern)):
            found |= store.failed(file.parent)
    return dict(sorted(found.items()))


def _require_fused(params: Params, artefacts: Artefacts) -> None:
    """Raise StoreError where features are fused and something that they were fused from is missing: its rows
    would be left out."""
    for model in params.segmenters.names if artefacts.has(artefacts.data("fusion")) else ():
        parts = {"projection": artefacts.data(f"projection/{model}")}
        parts["capability"] = artefacts.data("capability") / f"{model}.json"
        for stage, path in parts.items():
            if not path.exists():
                raise StoreError(
                    f"{path}: lost, for there are fused features; run `dvc repro {stage}@{model}`, or remove "
                    f"{artefacts.data('fusion')} to score what needs neither"
                )


def _beside_rows() -> list[str]:
    """The names of the tasks that the rows do not measure."""
    return [name for name in TASKS.names() if name != SEGMENTATION]


def _truths(
    params: Params,
    artefacts: Artefacts,
    scenes: Sequence[str],
    names: Sequence[str],
    processes: per_scene.WorkerPool,
) -> dict[str, F8 | None]:
    """f8[V] of each 2D model: its true IoU on the annotated frames of the scenes; None where there are
    none."""
    section = params.segmenters
    if next(_annotated_frames(params, artefacts, scenes), None) is None:
        return dict.fromkeys(section.names)
    matrix: dict[str, I8] = {}
    gpu = choose_device(params.runtime.device).type != "cpu"
    for on_gpu, workers in ((True, 1), (False, processes)):
        models = [model for model in section.names if (gpu and on_device(model, section)) == on_gpu]
        pairs = [(model, scene) for model in models for scene in scenes]
        of_each = per_scene.each(partial(_comparing, params, artefacts, names), pairs, workers)
        for (model, _), of_scene in zip(pairs, of_each, strict=True):
            matrix[model] = of_scene + matrix[model] if model in matrix else of_scene
    return {model: iou(matrix[model]) for model in section.names}


def _comparing(params: Params, artefacts: Artefacts, names: Sequence[str]) -> Callable[[tuple[str, str]], I8]:
    """A function that counts what a 2D model says of the annotated frames of a scene."""
    load = functools.cache(partial(load_segmenter, params=params, captions=False))

    def compare(pair: tuple[str, str]) -> I8:
        model, scene = pair
        frames = _annotated_frames(params, artefacts, [scene])
        return compared(load(model), frames, names, params.vocabulary, params.segmenters.batch)

    return compare


def _annotated_frames(params: Params, artefacts: Artefacts, scenes: Sequence[str]) -> Iterator[tuple[U1, U1]]:
    """Yield for each frame its colours u1[H, W, 3], as the 2D models see them in projection, and the truth
    u1[H, W]."""
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    shown = params.projection
    size = shown.width, shown.height
    for scene in scenes:
        path = store.scene_path(artefacts.data("scenes"), scene)
        for frame in store.read_scene(path, dataset.root).frames:
            truth = dataset.read_frame_truth(scene, frame.id)
            if truth is not None:
                if shown.resize == "nearest":
                    truth = resized(truth, size, "nearest")  # of the same pixels
                else:
                    truth = np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.NEAREST))
                yield frame.read_color(size, shown.resize), truth


def _taught(params: Params, model: str) -> F8 | None:
    section = params.segmenters
    if runs_elsewhere(model, section):
        return None
    return known_classes(entry(model).taught(section), params.vocabulary)
