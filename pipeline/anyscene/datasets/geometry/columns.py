"""Clouds as columns of numbers: text files (.xyz, .pts, .txt) and NumPy arrays.

There is no standard for the text: columns are parted by spaces, tabs, commas or semicolons, a first line may
name them (CloudCompare: `//X Y Z R G B`) or count the points (Leica: .pts). Without names columns are told
apart by their values.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np

from anyscene.arrays import F4, F8, I4, U1, Array
from anyscene.datasets.geometry.colours import as_bytes
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.normals import unit
from anyscene.errors import DataError
from anyscene.project import array_files

COMMENTS = ("#", "//")
HEAD = 100  # lines in which the first point must be
NAMES = {  # what tools call a column
    "x": "x", "y": "y", "z": "z",
    "r": "red", "g": "green", "b": "blue", "red": "red", "green": "green", "blue": "blue",
    "rf": "red", "gf": "green", "bf": "blue",  # CloudCompare's in 0..1
    "nx": "nx", "ny": "ny", "nz": "nz",
}  # fmt: skip
REMEDY = "name them in the first line, such as: x y z red green blue"


def read_text(path: Path) -> Geometry:
    """The points of a text file. Raises DataError naming it where it holds no columns of numbers, and where
    values do not tell what columns are."""
    names, skipped, separator = _head(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file, which is refused below
            table = np.loadtxt(
                path, comments=COMMENTS, delimiter=separator, skiprows=skipped, ndmin=2, encoding="utf-8-sig"
            )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not columns of numbers ({error}); export it again") from error
    if table.shape[1] < 3 or not len(table):
        raise DataError(f"{path}: no points; each line must begin with x, y, z")
    if not names:
        names = _guessed(path, table)
    elif len(names) != table.shape[1]:
        raise DataError(
            f"{path}: names {len(names)} columns and has {table.shape[1]}; correct its first line"
        )
    found = {name: table[:, index] for index, name in enumerate(names)}
    return Geometry(
        np.stack([found[axis] for axis in "xyz"], 1), _no_faces(), _colours(path, found), _normals(found)
    )


def read_array(path: Path) -> Geometry:
    """The points of an .npy file [N, 6] of x, y, z and red, green, blue in 0..255. Raises DataError naming
    it."""
    try:
        array = array_files.read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable array ({error}); save it with numpy.save") from error
    if array.ndim != 2 or array.shape[1] != 6 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: expected numbers [N, 6], x, y, z and red, green, blue, not "
            f"{array.dtype}{list(array.shape)}"
        )
    rgb = array[:, 3:]
    whole = ((rgb >= 0) & (rgb <= 255) & (rgb == np.rint(rgb))).all()
    if not whole or 0 < rgb.max(initial=0) <= 1:
        raise DataError(f"{path}: columns 3 to 5 must be colours, whole numbers in 0..255")
    return Geometry(array[:, :3].astype(np.float64), _no_faces(), rgb.astype(np.uint8))


def _no_faces() -> I4:
    return np.zeros((0, 3), np.int32)


def _head(path: Path) -> tuple[list[str], int, str | None]:
    """(the names of the columns, empty where there are none; the lines before the first point; what parts
    columns, None for white space)."""
    names: list[str] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(itertools.islice(file, HEAD)):
                text = line.strip()
                separator = next((sign for sign in ",;" if sign in text), None)
                words = text.strip("#/ \t").replace(separator or " ", " ").split()
                if _are_numbers(words) and not text.startswith(COMMENTS):
                    if len(words) > 1:
                        return names, number, separator
                elif {"x", "y", "z"} <= {word.lower() for word in words}:  # one number counts the points
                    names = [NAMES.get(word.lower(), word.lower()) for word in words]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text ({error}); export it again") from error
    raise DataError(f"{path}: no points in its first {HEAD} lines; each line must begin with x, y, z")


def _are_numbers(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def _guessed(path: Path, table: F8) -> list[str]:
    """The names of columns that have none. Raises DataError where values allow several, or none."""
    count = table.shape[1]
    xyz, rgb, normal = ["x", "y", "z"], ["red", "green", "blue"], ["nx", "ny", "nz"]
    forms: dict[int, list[list[str]]] = {
        3: [[]],
        4: [["intensity"]],
        6: [rgb, normal],
        7: [["intensity", *rgb]]
        if path.suffix.lower() == ".pts"
        else [["intensity", *rgb], [*rgb, "intensity"]],
        9: [[*rgb, *normal], [*normal, *rgb]],
    }
    fitting = [form for form in forms.get(count, []) if _fits(table[:, 3:], form)]
    if len(fitting) != 1:
        raise DataError(f"{path}: what its {count} columns are is not clear from their values; {REMEDY}")
    return [*xyz, *fitting[0]]


def _fits(values: F8, names: list[str]) -> bool:
    """Whether columns that are called red and nx begin what can be colours and normals."""
    if "red" in names and not _are_colours(values[:, names.index("red") :][:, :3]):
        return False
    if "nx" not in names:
        return True
    length = np.linalg.norm(values[:, names.index("nx") :][:, :3], axis=1)
    return bool(((np.abs(length - 1) < 0.05) | (length == 0)).mean() > 0.99)


def _are_colours(values: Array) -> bool:
    try:
        as_bytes(values)
    except ValueError:
        return False
    return True


def _colours(path: Path, found: dict[str, F8]) -> U1 | None:
    if not {"red", "green", "blue"} <= found.keys():
        return None
    try:
        return as_bytes(np.stack([found[name] for name in ("red", "green", "blue")], 1))
    except ValueError as error:
        raise DataError(f"{path}: {error}; export it again") from error


def _normals(found: dict[str, F8]) -> F4 | None:
    if not {"nx", "ny", "nz"} <= found.keys():
        return None
    return unit(np.nan_to_num(np.stack([found[name] for name in ("nx", "ny", "nz")], 1)))
