"""Matterport3D's annotation of vertices, as rows of a label set.

    ROOT/HOUSE/region_segmentations/regionN.ply    of every face: category_id, an index of the table, and
                                                   segment_id, the object; -1 = none
    category_mapping.tsv                           in ROOT or the folder above: index -> nyu40id, nyuClass

Faces are annotated, points are wanted: a vertex takes the class, and the object, that most of its faces
have; of equally many the one first in the label set, and none before any, as in OpenScene's
preprocess_3d_matterport.py.

Two conventions, both OpenScene's. A label set with nyu40_id (Matterport 21, and ScanNet's 20) takes the
category's nyu40id. One with matterport_id (Matterport 40, 80, 160) takes its nyuClass: matterport_id is the
index of the first category with that nyuClass, and stands for all of them.

A category that the table lacks is no class, and its vertices are counted.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from plyfile import PlyData

from anyscene.arrays import I4, I8, Integers
from anyscene.datasets import ply, raw_files
from anyscene.datasets.label_sets import LabelSet
from anyscene.datasets.truth import MOSTLY, Truth
from anyscene.datasets.whole_numbers import whole
from anyscene.errors import DataError

TABLE = "category_mapping.tsv"


def table_text(root: Path) -> str:
    """The content of the table of categories. Raises DataError where it is missing or cannot be read."""
    for folder in (root, root.resolve().parent):
        if (folder / TABLE).is_file():
            return raw_files.text(folder / TABLE)
    raise DataError(
        f"{root / TABLE}: missing; put metadata/{TABLE} of github.com/niessner/Matterport into dataset.root "
        "or the folder above"
    )


def read(mesh: Path, root: Path, label_set: LabelSet) -> Truth:
    """The annotation of the region that has this `mesh`. Raises DataError naming the file."""
    rows = category_rows(table_text(root), label_set, root / TABLE)
    face, category, instance, points = _faces(mesh)
    strange = category >= len(rows)
    if strange.sum() > MOSTLY * (category >= 0).sum():
        raise DataError(
            f"{mesh}: {strange.sum()} of {len(category)} faces have categories that {TABLE} lacks, which has "
            f"1..{len(rows) - 1}; take the table that was released with the scans"
        )
    known = (category >= 0) & ~strange
    label = majority(face, np.where(known, rows[np.where(known, category, 0)], -1), points)
    unknown = {}
    for lacking in np.unique(category[strange]):
        vertices = np.unique(face[category == lacking])
        unknown[f"category {lacking}, which {TABLE} lacks"] = int((label[vertices] < 0).sum())
    instances = majority(face, instance, points)
    return Truth(label.astype(np.int16), instances.astype(np.int32), mesh, unknown)


def category_rows(table: str, label_set: LabelSet, path: Path) -> I4:
    """i4[1 + categories]: the row of the label set for every index of the table, -1 = none. Raises
    DataError."""
    try:
        lines = list(csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE))
        if [int(line["index"]) for line in lines] != list(range(1, len(lines) + 1)):
            raise ValueError("index must count from 1")
        if "nyu40" in label_set.ids:
            meaning: list[int | str] = [int(line["nyu40id"] or 0) for line in lines]
            classes: dict[int | str, int] = dict(
                zip(label_set.ids["nyu40"].tolist(), range(len(label_set)), strict=True)
            )
        elif "matterport" in label_set.ids:
            meaning = [line["nyuClass"] for line in lines]
            first = [meaning[id - 1] for id in label_set.ids["matterport"]]
            classes = {name: row for row, name in enumerate(first)}
            if "" in classes or len(classes) < len(label_set):
                raise ValueError(f"matterport_id of {label_set.name} needs categories of different nyuClass")
        else:
            raise DataError(
                f"label set {label_set.name} has neither a column nyu40_id nor matterport_id; add one"
            )
    except (KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: not Matterport3D's table of categories ({error!r}); download it again"
        ) from error
    return np.array([-1] + [classes.get(value, -1) for value in meaning], np.int32)


def majority(face: Integers, value: Integers, points: int) -> I8:
    """i8[points]: the most frequent of the values i[F] >= -1 of the faces i[F,3] of each vertex. Of equally
    frequent ones it is the smallest; a vertex without a face has -1."""
    vertex, value = face.ravel().astype(np.int64), np.repeat(value.astype(np.int64), 3)
    width = int(value.max(initial=-1)) + 2
    pair, count = np.unique(vertex * width + value + 1, return_counts=True)
    order = np.lexsort((pair % width, -count, pair // width))
    owner, first = np.unique(pair[order] // width, return_index=True)
    result = np.full(points, -1, np.int64)
    result[owner] = pair[order][first] % width - 1
    return result


def _faces(path: Path) -> tuple[I8, I8, I8, int]:
    """(the vertices of every face i8[F,3], its category i8[F], its object i8[F], the number of vertices).
    Raises DataError naming the file."""
    try:
        mesh = PlyData.read(path, known_list_len=ply.TRIANGLES)
        element = mesh["face"]
        face = whole(np.asarray(element["vertex_indices"]), np.int64)
        category, instance = (
            whole(np.asarray(element[name]), np.int32).astype(np.int64)
            for name in ("category_id", "segment_id")
        )
        points = len(mesh["vertex"].data)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; unzip the house's region_segmentations") from error
    except (*ply.DAMAGED, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable mesh with category_id and segment_id per face ({error}); unzip it again"
        ) from error
    if len(face) and (face.min() < 0 or face.max() >= points):
        raise DataError(f"{path}: a face names vertex {face.max()}, there are {points}; unzip it again")
    return face, np.maximum(category, -1), np.maximum(instance, -1), points
