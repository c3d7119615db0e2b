"""nuScenes-lidarseg: the category of every point of a keyframe's sweep, as rows of a label set.

    ROOT/v1.0-*/category.json           index of each category: the one that comes with nuScenes-lidarseg
    ROOT/v1.0-*/lidarseg.json           the file of each keyframe's LiDAR data; missing or empty for v1.0-test
    ROOT/lidarseg/v1.0-*/*_lidarseg.bin index of each point's category, u1, in the order of the sweep

A class of a label set is the categories that its nuscenes_category names; points of other categories (noise,
animal, static.other, vehicle.ego, ...) have no label. Those of nuscenes16 are merged as in the lidarseg
challenge (python-sdk/nuscenes/eval/lidarseg/README.md of github.com/nutonomy/nuscenes-devkit, d9de17a), which
is what OpenScene evaluates.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from anyscene.arrays import I2
from anyscene.datasets.label_sets import LabelSet
from anyscene.datasets.nuscenes.tables import records
from anyscene.datasets.truth import MOSTLY, Truth
from anyscene.errors import DataError

NONE = -1  # the label of a category that is in no class
UNKNOWN = -2  # the label of an index that is not in the table


def label_files(folder: Path) -> dict[str, str]:
    """The file (relative to ROOT) with the labels of every annotated sweep, by the token of its data."""
    path = folder / "lidarseg.json"
    if not path.is_file():
        return {}
    state = path.stat()
    return _label_files(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@functools.lru_cache(maxsize=4)
def _label_files(path: Path, state: tuple[int, ...]) -> dict[str, str]:
    return dict(records(path, "sample_data_token", "filename"))


def category_rows(folder: Path, label_set: LabelSet) -> I2:
    """i2[256]: the row of the label set for every index, -1 = none, -2 = not a category. Raises DataError."""
    path = folder / "category.json"
    if "nuscenes" not in label_set.categories:
        raise DataError(f"label set {label_set.name} has no column nuscenes_category; add one")
    try:
        indices = {name: int(index) for name, index in records(path, "name", "index")}
        if not all(0 <= index < 256 for index in indices.values()):
            raise ValueError("an index is not a byte")
    except (DataError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: not the table of nuScenes-lidarseg, which has an index for each category ({error}); "
            "unpack nuScenes-lidarseg over dataset.root"
        ) from error
    rows = np.full(256, UNKNOWN, np.int16)
    rows[list(indices.values())] = NONE
    for row, categories in enumerate(label_set.categories["nuscenes"]):
        for category in categories:
            if category not in indices:
                raise DataError(
                    f"{path}: no category {category!r}, which label set {label_set.name} names; correct its "
                    "nuscenes_category, or unpack nuScenes-lidarseg again"
                )
            rows[indices[category]] = row
    return rows


def read(root: Path, folder: Path, token: str, label_set: LabelSet) -> Truth:
    """The annotation of the sweep whose data have this token. Raises DataError naming the file."""
    rows = category_rows(folder, label_set)
    name = label_files(folder).get(token)
    if name is None:
        raise DataError(f"{folder / 'lidarseg.json'}: names no labels of {token}; unpack nuScenes-lidarseg")
    path = root / name
    try:
        index = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); unpack nuScenes-lidarseg") from error
    label = rows[index]
    strange = label == UNKNOWN
    if strange.sum() > MOSTLY * len(label):
        raise DataError(
            f"{path}: {strange.sum()} of {len(label)} points have categories that {folder / 'category.json'} "
            "lacks; unpack nuScenes-lidarseg again"
        )
    values, counts = np.unique(index[strange], return_counts=True)
    unknown = {
        f"category {value}, which category.json lacks": int(count)
        for value, count in zip(values, counts, strict=True)
    }
    label[strange] = NONE
    return Truth(label, np.full(len(label), -1, np.int32), path, unknown)
