"""ScanNet's annotation of vertices and frames, as rows of a label set.

    SCENE_vh_clean_2.labels.ply                 NYU40 id of every vertex, 0 = none
    SCENE.aggregation.json                      objects: category and segments of each
    SCENE_vh_clean_2.0.010000.segs.json         segment of every vertex
    SCENE_2d-label-filt.zip or label-filt/      annotated frames: category id of every pixel, 0 = none
    scannetv2-labels.combined.tsv               in ROOT or beside it: category -> id and NYU40 id

Two conventions. A label set with nyu40_id (ScanNet's 20 classes, NYU40) takes labels.ply as it is, as
OpenScene does. One with scannet_id (ScanNet200) takes each object's category, looked up in the table, as
ScanNet200's preprocessing does. Instances are the objects of aggregation.json in both; where objects share a
segment the later one has it.

What has an id or a category that neither NYU40 nor the table knows has no label, and is counted: three
released training scans have such ids (ScanNet/ScanNet, issues 20 and 86).
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from plyfile import PlyData

from anyscene.arrays import I2, I4, I8, U1
from anyscene.datasets import ply, raw_files
from anyscene.datasets.label_sets import LabelSet
from anyscene.datasets.truth import MOSTLY, Truth
from anyscene.datasets.whole_numbers import whole
from anyscene.errors import DataError

TABLE = "scannetv2-labels.combined.tsv"
NYU40 = 40  # ids 1..40, 0 = none
NONE = 255  # in frames
LARGEST = 1 << 24  # of ids of segments and categories, by which tables are looked up


def files(scene: str) -> set[Path]:
    """The names of the files with the annotation of the vertices, in the folder of the scene."""
    return {Path(_labels(scene)), Path(_aggregation(scene)), Path(_segments(scene))}


def is_annotated(folder: Path) -> bool:
    """Whether labels or objects are there. The test scans have neither."""
    return any((folder / name(folder.name)).is_file() for name in (_labels, _aggregation))


def table_text(root: Path) -> str:
    """The content of the table of categories. Raises DataError where it is missing or cannot be read."""
    return raw_files.text(_table_path(root))


def read(folder: Path, label_set: LabelSet) -> Truth:
    """The annotation of the vertices of the scan in `folder`. Raises DataError naming the file."""
    scene = folder.name
    if "nyu40" in label_set.ids:
        path = folder / _labels(scene)
        (id, unknown), space = _vertex_ids(path), "nyu40"
        objects = [folder / _aggregation(scene), folder / _segments(scene)]
        if not any(file.is_file() for file in objects):  # OpenScene's recipe downloads only labels.ply
            instance = np.full(len(id), -1, np.int32)
        else:
            instance = _objects(folder)[0]
    elif "scannet" in label_set.ids:
        path, space = folder / _aggregation(scene), "scannet"
        instance, categories = _objects(folder)
        id, unknown = _category_ids(instance, categories, folder)
    else:
        raise DataError(f"label set {label_set.name} has neither a column nyu40_id nor scannet_id; add one")
    if len(instance) != len(id):
        raise DataError(
            f"{folder / _segments(scene)}: {len(instance)} vertices, {path.name} has {len(id)}; "
            "download both again"
        )
    rows = _rows(label_set.ids[space], int(id.max(initial=0)))
    return Truth(rows[id], instance, path, unknown)


def read_frame(folder: Path, frame: str, label_set: LabelSet) -> U1 | None:
    """u1[H,W]: the annotation of one frame, rows of the label set, 255 = none, also where the table lacks a
    category or its nyu40id; None where it is not annotated. Raises DataError naming the file."""
    pixels = _frame_ids(folder, frame)
    if pixels is None:
        return None
    if "scannet" in label_set.ids:
        space, value = "scannet", pixels
    else:
        space, table = "nyu40", _table(folder.parent, "id", "nyu40id")
        lookup = np.zeros(1 + max(int(pixels.max()), *map(int, table)), np.int32)
        for id, nyu40 in table.items():
            lookup[int(id)] = nyu40
        value = lookup[pixels]
    if space not in label_set.ids:
        raise DataError(f"label set {label_set.name} has neither a column nyu40_id nor scannet_id; add one")
    rows = _rows(label_set.ids[space], int(value.max()))[value]
    return np.where(rows < 0, NONE, rows).astype(np.uint8)


def _rows(ids: I4, largest: int) -> I2:
    """i2[n]: the row of the label set for every id up to the largest, -1 = none."""
    rows = np.full(1 + max(int(ids.max()), largest), -1, np.int16)
    rows[ids] = np.arange(len(ids))
    return rows


def _vertex_ids(path: Path) -> tuple[I8, dict[str, int]]:
    """(the NYU40 id of every vertex i8[N], 0 = none; how many vertices have another, by its name). Raises
    DataError naming the file."""
    try:
        id = np.asarray(PlyData.read(path, known_list_len={"face": {"vertex_indices": 3}})["vertex"]["label"])
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; download it beside aggregation.json") from error
    except (*ply.DAMAGED, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable PLY with a label per vertex ({error}); download it again"
        ) from error
    if id.dtype.kind == "f":
        id = np.where(id == np.rint(id), id, -1)  # what is no whole number is strange, too
    id = id.astype(np.int64)
    strange = (id < 0) | (id > NYU40)
    if strange.mean() > MOSTLY:
        raise DataError(
            f"{path}: {strange.sum()} of {len(id)} vertices have ids outside NYU40's 1..40; download it again"
        )
    values, counts = np.unique(id[strange], return_counts=True)
    unknown = {f"NYU40 id {value}": int(count) for value, count in zip(values, counts, strict=True)}
    return np.where(strange, 0, id), unknown


def _objects(folder: Path) -> tuple[I4, dict[int, str]]:
    """(the objectId of every vertex i4[N], -1 = none; the category of each object). Raises DataError naming
    the file."""
    scene = folder.name
    path = folder / _segments(scene)
    try:
        segment = np.array(_json(path)["segIndices"])
        if segment.ndim != 1 or segment.dtype.kind not in "iu" or (segment < 0).any():
            raise ValueError("segIndices must be integers, one per vertex")
        if segment.max(initial=0) > LARGEST:
            raise ValueError(f"segment {segment.max()}, ids go up to {LARGEST:,}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a segmentation of the mesh ({error!r}); download it again") from error
    path = folder / _aggregation(scene)
    owner, categories = np.full(int(segment.max(initial=0)) + 1, -1, np.int32), {}
    present = np.zeros(len(owner), bool)
    present[segment] = True
    try:
        for group in _json(path)["segGroups"]:
            segments = whole(np.array(group["segments"], np.float64), np.int64)
            missing = segments[(segments < 0) | (segments >= len(owner)) | ~present[segments % len(owner)]]
            if len(missing):
                raise DataError(
                    f"{path}: object {group['objectId']} has segment {missing[0]}, which no vertex of "
                    f"{_segments(scene)} has; download both again"
                )
            number = int(whole(np.array(group["objectId"]), np.int32))
            owner[segments] = number
            categories[number] = str(group["label"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a list of objects ({error!r}); download it again") from error
    return owner[segment], categories


def _category_ids(instance: I4, categories: dict[int, str], folder: Path) -> tuple[I8, dict[str, int]]:
    """(the id of the category of each vertex's object i8[N], 0 = none; how many vertices have a category that
    the table lacks, by its name)."""
    table = _table(folder.parent, "raw_category", "id")
    id, unknown = np.zeros(len(instance), np.int64), dict[str, int]()
    for number, category in categories.items():
        vertices = instance == number
        if category in table:
            id[vertices] = table[category]
        else:
            name = f"category {category!r}, which {TABLE} lacks"
            unknown[name] = unknown.get(name, 0) + int(vertices.sum())
    return id, unknown


def _table(root: Path, name: str, value: str) -> dict[str, int]:
    """One column of the table of categories by another."""
    path = _table_path(root)
    try:
        rows = list(csv.DictReader(io.StringIO(raw_files.text(path)), delimiter="\t", quoting=csv.QUOTE_NONE))
        found = {row[name]: int(row[value]) for row in rows if row[value]}
        if strange := [id for id in found.values() if not 0 <= id <= LARGEST]:
            raise ValueError(f"{value} {strange[0]}, ids go up to {LARGEST:,}")
        return found
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: not ScanNet's table of categories ({error!r}); download it again"
        ) from error


def _table_path(root: Path) -> Path:
    for folder in (root, root.resolve().parent):
        if (folder / TABLE).is_file():
            return folder / TABLE
    raise DataError(
        f"{root / TABLE}: missing; download it (download-scannet.py --label_map) into dataset.root or "
        "the folder above"
    )


def _frame_ids(folder: Path, frame: str) -> I4 | None:
    """i4[H,W]: the category id of every pixel; None where the frame is not annotated."""
    loose, packed = folder / "label-filt" / f"{frame}.png", folder / f"{folder.name}_2d-label-filt.zip"
    try:
        if loose.is_file():
            where, data = str(loose), loose.read_bytes()
        elif packed.is_file():
            where = f"{packed}: label-filt/{frame}.png"
            with zipfile.ZipFile(packed) as archive:
                if f"label-filt/{frame}.png" not in archive.namelist():
                    return None
                data = archive.read(f"label-filt/{frame}.png")
        else:
            return None
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image)
    except raw_files.UNREADABLE as error:
        path = loose if loose.is_file() else packed
        raise DataError(f"{path}: frame {frame} is not readable ({error}); download it again") from error
    if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
        raise DataError(f"{where}: expected one integer per pixel, not {pixels.dtype}{list(pixels.shape)}")
    try:
        return whole(pixels, np.uint16).astype(np.int32)
    except ValueError as error:
        raise DataError(f"{where}: {error}; download it again") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; download it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable JSON ({error}); download it again") from error


def _labels(scene: str) -> str:
    return f"{scene}_vh_clean_2.labels.ply"


def _aggregation(scene: str) -> str:
    return f"{scene}.aggregation.json"


def _segments(scene: str) -> str:
    return f"{scene}_vh_clean_2.0.010000.segs.json"
