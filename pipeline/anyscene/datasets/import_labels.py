"""Annotation of raw scans -> data/labels. Only what asks for the annotation by name reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import zarr
from rich.console import Console

from anyscene import datasets
from anyscene.datasets.truth import Truth
from anyscene.errors import DataError, FailedBefore, PipelineError, StoreError
from anyscene.project import layout, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params


@dataclass(frozen=True)
class Annotate:
    """Writes the annotation of a scene. Raises DataError where it does not fit the points or the label
    set."""

    dataset: datasets.Dataset
    label_set: datasets.LabelSet
    others: Sequence[tuple[datasets.Dataset, datasets.LabelSet]] = ()  # the same scans, by other label sets

    def __call__(self, scene: str, group: zarr.Group) -> None:
        truth = self._read(self.dataset, self.label_set, scene)
        store.write(group, "label", truth.label)
        store.write(group, "instance", truth.instance)
        if truth.unknown:
            group.attrs["unknown"] = dict(truth.unknown)
        for dataset, label_set in self.others:
            store.write(group, label_set.array, self._read(dataset, label_set, scene).label)

    def _read(self, dataset: datasets.Dataset, label_set: datasets.LabelSet, scene: str) -> Truth:
        truth, classes = dataset.read_truth(scene), len(label_set)
        points = store.open_scene(store.scene_path(layout.SCENES, scene))["xyz"].shape[0]
        if len(truth.label) != points:
            raise DataError(
                f"{truth.file}: {len(truth.label)} labels for {points} vertices; export both from one mesh"
            )
        if np.any((truth.label < -1) | (truth.label >= classes)):
            raise DataError(f"{truth.file}: labels must lie in -1..{classes - 1}, rows of {label_set.name}")
        return truth


def import_labels(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/labels up to date for the scenes that are annotated, and print which categories are not
    known. Raises ScenesFailed after all were tried."""
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    label_set = datasets.label_set(params.dataset.label_set)
    sets = [datasets.label_set(name) for name in params.evaluation.label_sets]
    sections = [replace(params.dataset, label_set=name) for name in params.evaluation.label_sets]
    opened = [datasets.open_dataset(section, params.scenes) for section in sections]
    truth, cloud = dataset.truth_keys(), store.keys(layout.SCENES)
    keys = {scene: _label_key(scene, key, cloud.get(scene)) for scene, key in truth.items()}
    summary = per_scene.run(
        Annotate(dataset, label_set, tuple(zip(opened, sets, strict=True))),
        keys,
        layout.LABELS,
        parameters={"label_set": label_set.names, "others": {one.name: one.names for one in sets}},
        fresh=fresh,
        workers=params.runtime.workers,
        failures=params.runtime.failures,
        label="labels",
    )
    _print_unknown()
    return summary


def _print_unknown() -> None:
    paths = {scene: store.scene_path(layout.LABELS, scene) for scene in store.scene_ids(layout.LABELS)}
    for scene, path in paths.items():
        unknown = store.open_scene(path).attrs.get("unknown", {})
        for name, vertices in unknown.items():
            line = f"labels: {scene}: {vertices} vertices have no label: their annotation says {name}"
            Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)


def _label_key(
    scene: str, truth: str | PipelineError, cloud: str | FailedBefore | None
) -> str | PipelineError:
    if cloud is None:
        return StoreError(f"{store.scene_path(layout.SCENES, scene)}: missing; run scenes first")
    if isinstance(cloud, FailedBefore):
        return cloud
    return truth if isinstance(truth, PipelineError) else per_scene.content_key(truth, cloud)
