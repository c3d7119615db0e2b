"""Annotation of raw scans -> data/labels, read by evaluation and report alone: nothing else sees a label."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.errors import DataError, PipelineError, StoreError
from anyscene.project import parameters, per_scene, store

SCENES, OUTPUT = Path("data/scenes"), Path("data/labels")
VERSION = 1


@dataclass(frozen=True)
class Annotate:
    dataset: datasets.Dataset
    classes: int

    def __call__(self, scene: str, group: zarr.Group) -> None:
        truth = self.dataset.read_truth(scene)
        points = store.open_scene(store.scene_path(SCENES, scene))["xyz"].shape[0]
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


def labels(params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Import the annotation of the scenes that have one, for evaluation alone."""
    settings = parameters.load(params)
    dataset = datasets.open_dataset(settings.dataset, settings.scenes)
    label_set = datasets.label_set(settings.dataset.label_set)
    truth, cloud = dataset.truth_keys(), store.keys(SCENES)
    keys = {scene: _key(scene, key, cloud.get(scene)) for scene, key in truth.items()}
    return per_scene.run(
        Annotate(dataset, len(label_set)),
        keys,
        OUTPUT,
        parameters={"label_set": label_set.names},
        version=VERSION,
        workers=settings.runtime.workers,
        label="labels",
    )


def _key(scene: str, truth: str | PipelineError, cloud: str | None) -> str | PipelineError:
    if cloud is None:
        return StoreError(f"{store.scene_path(SCENES, scene)}: missing; run scenes first")
    return truth if isinstance(truth, PipelineError) else per_scene.content_key(truth, cloud)


app = command(labels)

if __name__ == "__main__":
    app()
