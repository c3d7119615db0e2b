"""Label sets: classes with prompts, colours and ids, one csv file each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.errors import DataError

FOLDER = Path(__file__).parent / "label_sets"
COLUMNS = ("index", "name", "prompt", "red", "green", "blue", "foreground")
ID = "_id"  # ends the names of columns that hold the classes' ids in a table of the field, e.g. nyu40_id


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Classes in the order of their label. `foreground` marks those that the f-metrics count;
    `split` is head, common, tail or empty. `ids` are the classes' numbers in annotation files, by whose they
    are: "nyu40", "scannet" for the ids of scannetv2-labels.combined.tsv, or "matterport" for the first index
    of each nyuClass in category_mapping.tsv."""

    name: str
    names: tuple[str, ...]
    prompts: tuple[str, ...]  # the noun that goes into the text template
    colours: np.ndarray  # u1[K,3]
    foreground: np.ndarray  # b1[K]
    split: tuple[str, ...] = ()
    ids: Mapping[str, np.ndarray] = field(default_factory=dict)  # i4[K] each

    def __len__(self) -> int:
        return len(self.names)


def label_set(name: str | Path) -> LabelSet:
    """The label set that ships as `name`, or the csv file at that path. Raises DataError naming the line."""
    path = Path(name)
    if path.suffix != ".csv":
        path = FOLDER / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.csv")))
        raise DataError(f"no label set {str(name)!r}; known are {known}, or give the path of a csv file")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or (missing := [column for column in COLUMNS if column not in rows[0]]):
        raise DataError(
            f"{path}: needs rows with the columns {', '.join(COLUMNS)}; lacks {missing if rows else 'all'}"
        )
    try:
        for line, row in enumerate(rows):
            if int(row["index"]) != line:
                raise ValueError(f"index {row['index']} should be {line}: labels are row numbers")
        colours = np.array([[row["red"], row["green"], row["blue"]] for row in rows]).astype(np.uint8)
        foreground = np.array([{"0": False, "1": True}[row["foreground"]] for row in rows])
        ids = {
            column.removesuffix(ID): np.array([row[column] for row in rows]).astype(np.int32)
            for column in rows[0]
            if column.endswith(ID)
        }
    except (ValueError, KeyError, OverflowError) as error:
        raise DataError(f"{path}: {error}") from error
    names = tuple(row["name"] for row in rows)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: a class name appears twice")
    for name, values in ids.items():
        if len(np.unique(values)) < len(values) or values.min() < 1:
            raise DataError(f"{path}: {name}{ID} must be positive and different in every row; 0 is no class")
    split = tuple(row["split"] for row in rows) if "split" in rows[0] else ()
    prompts = tuple(row["prompt"] for row in rows)
    return LabelSet(path.stem, names, prompts, colours, foreground, split, ids)
