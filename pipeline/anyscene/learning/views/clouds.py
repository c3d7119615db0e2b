"""The clouds to train on, with labels where the objective is supervised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyscene.arrays import I2, I4
from anyscene.errors import DataError
from anyscene.networks.cloud import Cloud, read_cloud
from anyscene.project import store


@dataclass(frozen=True, eq=False)
class LabelledCloud(Cloud):
    """A cloud with its annotation."""

    label: I2  # i2[N], rows of the label set, -1: none
    instance: I4  # i4[N], -1: none


def read_training_clouds(scenes: Path, superpoints: Path) -> list[Cloud]:
    """The clouds of all scenes to train on. Raises what `read_cloud` raises."""
    return [read_cloud(scenes, superpoints, scene) for scene in store.split_ids(scenes, "train")]


def read_labelled_clouds(scenes: Path, superpoints: Path, labels: Path) -> list[Cloud]:
    """The clouds of the training split with what the stage labels wrote of them.

    Raises what `read_cloud` raises, and DataError where no scene is in the training split: the other scenes
    measure what was learnt, so their labels must not be learnt from."""
    for scene in (chosen := store.split_ids(scenes, "train")):
        split = store.open_scene(store.scene_path(scenes, scene)).attrs["split"]
        if split != "train":
            raise DataError(
                f"{scene}: is in the split {split!r}; a supervised objective learns only from `train`, in "
                "which there is no scene"
            )
    return [_labelled(read_cloud(scenes, superpoints, scene), labels) for scene in chosen]


def _labelled(cloud: Cloud, labels: Path) -> LabelledCloud:
    group = store.open_scene(store.scene_path(labels, cloud.id))
    label, instance = group["label"][:], group["instance"][:]
    if not len(label) == len(instance) == len(cloud.xyz):
        raise DataError(
            f"{cloud.id}: {len(label)} labels and {len(instance)} instances for {len(cloud.xyz)} points; run "
            "the stage labels again"
        )
    return LabelledCloud(cloud.id, cloud.xyz, cloud.rgb, cloud.superpoint, label, instance)
