"""The clouds to train on, with labels where the objective is supervised. A cloud is read when it is used."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import overload

from anyscene.arrays import I2, I4
from anyscene.errors import DataError
from anyscene.learning.engine.recent import Recent
from anyscene.networks.cloud import Cloud, check_cloud, read_cloud
from anyscene.project import store


@dataclass(frozen=True, eq=False)
class LabelledCloud(Cloud):
    """A cloud with its annotation."""

    label: I2  # i2[N], rows of the label set, -1: none
    instance: I4  # i4[N], -1: none


class Clouds(Sequence[Cloud]):
    """Clouds that are read when they are asked for, so that memory does not grow with their number."""

    def __init__(self, ids: Sequence[str], read: Callable[[str], Cloud], recent: Recent | None = None):
        """ids: of the scenes; read: reads one of them; recent: keeps what was read last."""
        self.ids, self._read = tuple(ids), read
        self._recent = recent or Recent()

    @classmethod
    def held(cls, clouds: Iterable[Cloud]) -> Clouds:
        """Clouds that are in memory."""
        by_id = {cloud.id: cloud for cloud in clouds}
        return cls(tuple(by_id), by_id.__getitem__, Recent(0))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Cloud: ...
    @overload
    def __getitem__(self, place: slice) -> Clouds: ...
    def __getitem__(self, place: int | slice) -> Cloud | Clouds:
        if isinstance(place, slice):
            return self.at(range(len(self))[place])
        scene = self.ids[place]
        return self._recent.get((Clouds, scene), partial(self._read, scene))

    def at(self, places: Iterable[int]) -> Clouds:
        """The clouds at these places, in this order."""
        return Clouds([self.ids[place] for place in places], self._read, self._recent)


def read_training_clouds(
    scenes: Path, superpoints: Path, recent: Recent | None = None, without: Container[str] = ()
) -> Clouds:
    """The clouds of all scenes to train on, but for those of `without`. Raises what `check_cloud` raises."""
    ids = [scene for scene in store.split_ids(scenes, "train") if scene not in without]
    for scene in ids:
        check_cloud(scenes, superpoints, scene)
    return Clouds(ids, partial(read_cloud, scenes, superpoints), recent)


def read_labelled_clouds(
    scenes: Path,
    superpoints: Path,
    labels: Path,
    recent: Recent | None = None,
    without: Container[str] = (),
) -> Clouds:
    """The clouds of the training split, but for those of `without`, with what the stage labels wrote of them.

    Raises what `check_cloud` raises, and DataError where labels are not of the points, or no scene is in the
    training split: the other scenes measure what was learnt, so their labels must not be learnt from."""
    splits = {scene: split for scene, split in store.splits(scenes).items() if scene not in without}
    chosen = [scene for scene, split in splits.items() if split == "train"]
    if splits and not chosen:
        scene, split = next(iter(splits.items()))
        raise DataError(
            f"{scene}: is in the split {split!r}; a supervised objective learns only from `train`, in "
            "which there is no scene"
        )
    for scene in chosen:
        points = check_cloud(scenes, superpoints, scene)
        group = store.open_scene(store.scene_path(labels, scene))
        label, instance = group["label"].shape[0], group["instance"].shape[0]
        if not label == instance == points:
            raise DataError(
                f"{scene}: {label} labels and {instance} instances for {points} points; run the stage labels "
                "again"
            )
    return Clouds(chosen, partial(_labelled, scenes, superpoints, labels), recent)


def _labelled(scenes: Path, superpoints: Path, labels: Path, scene: str) -> LabelledCloud:
    group = store.open_scene(store.scene_path(labels, scene))
    cloud = read_cloud(scenes, superpoints, scene)
    return LabelledCloud(**vars(cloud), label=group["label"][:], instance=group["instance"][:])
