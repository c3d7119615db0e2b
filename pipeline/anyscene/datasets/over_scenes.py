"""Raw scans -> data/scenes and data/labels: a group for each scene, the annotation apart from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import zarr
from rich.console import Console

from anyscene import datasets
from anyscene.errors import DataError, PipelineError, StoreError
from anyscene.project import layout, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, plain


@dataclass(frozen=True)
class Import:
    """Writes a scene with its cloud and an index of its frames."""

    dataset: datasets.Dataset

    def __call__(self, scene: str, group: zarr.Group) -> None:
        store.write_scene(group, self.dataset.read(scene), self.dataset.root)


@dataclass(frozen=True)
class Annotate:
    """Writes the annotation of a scene, where it fits the scene's points and the label set."""

    dataset: datasets.Dataset
    classes: int  # K, of the label set

    def __call__(self, scene: str, group: zarr.Group) -> None:
        truth = self.dataset.read_truth(scene)
        points = store.open_scene(store.scene_path(layout.SCENES, scene))["xyz"].shape[0]
        if len(truth.label) != points:
            raise DataError(
                f"{truth.file}: {len(truth.label)} labels for {points} vertices; export both from one mesh"
            )
        if np.any((truth.label < -1) | (truth.label >= self.classes)):
            raise DataError(
                f"{truth.file}: labels must lie in -1..{self.classes - 1}, rows of dataset.label_set"
            )
        store.write(group, "label", truth.label)
        store.write(group, "instance", truth.instance)


def import_scenes(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/scenes up to date. Says how many frames were left out for want of a pose."""
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    summary = per_scene.run(
        Import(dataset),
        dataset.keys(),
        layout.SCENES,
        parameters=plain(params.scenes),
        fresh=fresh,
        workers=params.runtime.workers,
        label="scenes",
    )
    paths = [store.scene_path(layout.SCENES, scene) for scene in store.scene_ids(layout.SCENES)]
    lost = [len(store.lost_frames(path)) for path in paths]
    if any(lost):
        count = f"{sum(lost)} frames of {np.count_nonzero(lost)} scenes"
        Console(stderr=True).print(f"scenes: {count} have no pose and were left out", highlight=False)
    return summary


def import_labels(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/labels up to date, for the scenes that have an annotation."""
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    label_set = datasets.label_set(params.dataset.label_set)
    truth, cloud = dataset.truth_keys(), store.keys(layout.SCENES)
    keys = {scene: _label_key(scene, key, cloud.get(scene)) for scene, key in truth.items()}
    return per_scene.run(
        Annotate(dataset, len(label_set)),
        keys,
        layout.LABELS,
        parameters={"label_set": label_set.names},
        fresh=fresh,
        workers=params.runtime.workers,
        label="labels",
    )


def _label_key(scene: str, truth: str | PipelineError, cloud: str | None) -> str | PipelineError:
    if cloud is None:
        return StoreError(f"{store.scene_path(layout.SCENES, scene)}: missing; run scenes first")
    return truth if isinstance(truth, PipelineError) else per_scene.content_key(truth, cloud)
