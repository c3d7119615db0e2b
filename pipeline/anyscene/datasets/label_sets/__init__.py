"""Label sets: classes with prompts, colours and ids, in one CSV file for each.

A class may have several prompts, and may stand for several categories of an annotation; `|` separates them.
Only the column `name` has to be there.
"""

from __future__ import annotations

import colorsys
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anyscene.arrays import B1, I4, I8, U1, Integers
from anyscene.datasets import raw_files
from anyscene.errors import DataError
from anyscene.project.parameters import same_words, words

FOLDER = Path(__file__).parent
ID = "_id"  # the suffix of columns with the ids of classes in an annotation, e.g. nyu40_id
CATEGORY = "_category"  # the suffix of columns with names of categories, e.g. nuscenes_category
SEVERAL = "|"
COLOURS = ("red", "green", "blue")
HUES = (5**0.5 - 1) / 2  # from one class to the next: the golden section lies far from all before
LARGEST = (1 << 24) - 1  # of ids, by which tables are looked up


@dataclass(frozen=True, eq=False)
class LabelSet:
    """K classes in the order of their label."""

    name: str  # of the table
    names: tuple[str, ...]  # [K]
    prompts: tuple[str, ...]  # P nouns that go into the text template, those of a class side by side
    colours: U1  # u1[K,3]
    foreground: B1  # b1[K], whether the f-metrics count a class
    split: tuple[str, ...] = ()  # [K], head, common, tail or empty; () where the table has none
    # i4[K] each, the classes' numbers in annotation files, by whose they are: "nyu40", "scannet" (the ids of
    # scannetv2-labels.combined.tsv), "matterport" (the first index of each nyuClass in category_mapping.tsv)
    # or "nuscenes" (those of its lidarseg challenge)
    ids: Mapping[str, I4] = field(default_factory=dict)
    # [K] each, the names that annotation has for a class, by whose they are: "nuscenes"
    categories: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    prompt_class: I8 | None = None  # i8[P]; None: one prompt for each class

    def __len__(self) -> int:
        return len(self.names)

    @property
    def array(self) -> str:
        """The array of data/labels that holds these classes, where they are not `dataset.label_set`."""
        return f"label_{self.name}"

    def of_prompts(self, prompt: Integers) -> Integers:
        """The class that each prompt asks for, in the shape of `prompt`: indices of prompts, -1 for none."""
        return prompt if self.prompt_class is None else np.append(self.prompt_class, -1)[prompt]

    def prompts_among(self, classes: Integers) -> I8:
        """i8[n]: the indices of the prompts that ask for one of the `classes` (rows), ascending."""
        return np.flatnonzero(np.isin(self.of_prompts(np.arange(len(self.prompts))), classes))


def is_file(name: str | Path) -> bool:
    """Whether `name` is the path of a CSV file, and not a label set that comes with the package."""
    return Path(name).suffix == ".csv"


def table(name: str | Path) -> Path:
    """The CSV file of the label set `name`: one that comes with the package, or the file at that path."""
    return Path(name) if is_file(name) else FOLDER / f"{name}.csv"


def label_set(name: str | Path) -> LabelSet:
    """The label set `name` that comes with the package, or the one in the CSV file at that path. Raises
    DataError that names the file, and what is wrong in it.

    >>> classes = anyscene.label_set("scannet20")
    >>> len(classes), classes.names[:3], classes.colours.shape
    (20, ('wall', 'floor', 'cabinet'), (20, 3))
    """
    path = table(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.csv")))
        raise DataError(f"no label set {str(name)!r}; known are {known}, or give the path of a csv file")
    rows = [{**_defaults(line, row["name"]), **row} for line, row in enumerate(_rows(path))]
    try:
        for line, row in enumerate(rows):
            if int(row["index"]) != line:
                raise ValueError(f"index {row['index']} should be {line}: labels are row numbers")
        colours = np.array([[_whole(row, name, 255) for name in COLOURS] for row in rows], np.uint8)
        foreground = np.array([bool(_whole(row, "foreground", 1)) for row in rows])
        ids = {
            column.removesuffix(ID): np.array([_whole(row, column, LARGEST) for row in rows], np.int32)
            for column in rows[0]
            if column.endswith(ID)
        }
        categories = {
            column.removesuffix(CATEGORY): tuple(_several(row[column], column) for row in rows)
            for column in rows[0]
            if column.endswith(CATEGORY)
        }
        prompts = [_several(row["prompt"], "prompt") for row in rows]
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: {error}") from error
    names = tuple(row["name"] for row in rows)
    if not all(map(words, names)):
        raise DataError(f"{path}: a class has no name")
    if twins := same_words(names):
        raise DataError(f"{path}: the classes {twins[0]!r} and {twins[1]!r} are one; leave one out")
    for name, numbers in ids.items():
        if len(np.unique(numbers)) < len(numbers) or numbers.min() < 1:
            raise DataError(f"{path}: {name}{ID} must be positive and different in every row; 0 is no class")
    for name, values in categories.items():
        if twice := _twice([category for of_class in values for category in of_class]):
            raise DataError(f"{path}: {name}{CATEGORY} {twice!r} appears twice; it can mean only one class")
    split = tuple(row["split"] for row in rows) if "split" in rows[0] else ()
    several = [len(of_class) for of_class in prompts]
    return LabelSet(
        path.stem,
        names,
        tuple(prompt for of_class in prompts for prompt in of_class),
        colours,
        foreground,
        split,
        ids,
        categories,
        np.repeat(np.arange(len(rows)), several) if max(several) > 1 else None,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table by the names of its columns. Raises DataError naming the line that is wrong."""
    try:
        reader = csv.DictReader(io.StringIO(raw_files.text(path), newline=""), strict=True)
        columns, rows = list(reader.fieldnames or ()), []
        for row in reader:
            if None in row or None in row.values():
                found = len([value for value in row.values() if isinstance(value, str)])
                found += len(row.get(None) or ())
                raise DataError(f"{path}: line {reader.line_num} has {found} of {len(columns)} columns")
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}: not a table with commas ({error})") from error
    if not rows or "name" not in columns:
        raise DataError(
            f"{path}: needs rows with the column name, parted by commas; lacks {'it' if rows else 'all'}"
        )
    if 0 < (there := len({*COLOURS} & {*columns})) < len(COLOURS):
        raise DataError(f"{path}: has {there} of the columns {', '.join(COLOURS)}; give all or none of them")
    return rows


def _defaults(line: int, name: str) -> dict[str, str]:
    """What the columns say that a table may leave out, for the class `name` in row `line`."""
    colour = colorsys.hsv_to_rgb(line * HUES % 1, 0.6, 0.9)
    red, green, blue = (str(round(255 * part)) for part in colour)
    return {"index": str(line), "prompt": name, "red": red, "green": green, "blue": blue, "foreground": "1"}


def _whole(row: dict[str, str], column: str, most: int) -> int:
    """The whole number in a column. Raises ValueError that names both where it is none in 0 to `most`."""
    text = row[column].strip()
    if not text.isdecimal() or int(text) > most:
        raise ValueError(f"{column} of {row['name']} is {text!r}, wanted a whole number from 0 to {most}")
    return int(text)


def _several(value: str, column: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in value.split(SEVERAL))
    if not all(map(words, parts)):
        raise ValueError(f"{column} {value!r} has an empty part; separate several by one {SEVERAL!r}")
    return parts


def _twice(values: list[str]) -> str | None:
    return next((value for index, value in enumerate(values) if value in values[:index]), None)
