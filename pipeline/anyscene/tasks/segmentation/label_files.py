"""A class for each point of a scene, in the files of other programs: predictions, or annotation.

FOLDER/ID.txt              ScanNet's benchmark: the id of a class on each line, 0 = none. The ids are
                           those of the label set's table (scannet20: nyu40_id, scannet200: scannet_id)
FOLDER/ID.npy, ID_pred.npy Pointcept: integers [N], rows of the label set; -1 = none, and 255 too where
                           the label set has no such row
FOLDER/ID/prediction.npy   the same, as `anyscene export --format pointcept` writes it
FOLDER/ID/truth/vertex_label.npy
                           the same, the annotation of scans of one's own
FOLDER/ID.zarr             an artefact in the form of data/labels: label i[N], as in .npy
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anyscene.arrays import I4, I8, Array
from anyscene.datasets import LabelSet
from anyscene.errors import DataError
from anyscene.project import array_files, store

NO_ID, NO_ROW = 0, -1  # what stands for "none" among ids, among rows
IGNORED = 255  # the same among rows that are bytes, where it is no row
PREDICTED = "_pred"  # ends the names of the files that Pointcept's testers write
INSIDE = ("prediction.npy", "truth/vertex_label.npy")  # files in a folder of their scene
SHOWN = 40  # characters of a line in a message
FORMS = "ID.txt, ID.npy, ID_pred.npy, ID/prediction.npy, ID/truth/vertex_label.npy or ID.zarr"


def files(folder: Path) -> dict[str, Path]:
    """The file of each scene in `folder`, by the scene's id, sorted. Raises DataError where there is no such
    folder or no file in it, and where a scene has two files."""
    if not folder.is_dir():
        what = "is a file, and no folder" if folder.is_file() else "no such folder"
        raise DataError(f"{folder}: {what}; give one with a file for each scene: {FORMS}")
    found: dict[str, Path] = {}
    beside = [(path, _scene(path)) for path in folder.iterdir()]
    inside = [
        (path, path.relative_to(folder).parts[0]) for form in INSIDE for path in folder.glob(f"*/{form}")
    ]
    for path, scene in sorted([*beside, *inside]):
        if scene is None:
            continue
        if scene in found:
            raise DataError(f"{found[scene]} and {path} are both of {scene}; leave one of them")
        found[scene] = path
    if not found:
        raise DataError(f"{folder}: no file of a scene; expected for each {FORMS}")
    return dict(sorted(found.items()))


def read(file: Path, label_set: LabelSet, *, lenient: bool = False) -> I4:
    """i4[N]: the class of each point, a row of `label_set`, -1 = none.

    lenient: a class that the label set does not have counts as none, as in annotation of more classes.
    Raises DataError naming the file, and the first point whose class the label set does not have; StoreError
    for an artefact that cannot be read."""
    if file.suffix == ".txt":
        column, ids = _ids(file, label_set)
        said, none, kind, first = _lines(file), [NO_ID], f"{column}_id", 1
    else:
        said = _artefact(file) if file.suffix == store.SUFFIX else _array(file)
        ids, none, kind, first = np.arange(len(label_set), dtype=np.int32), [NO_ROW, IGNORED], "row", 0
    if said.ndim != 1 or said.dtype.kind not in "iu":
        raise DataError(f"{file}: expected one integer for each point, not {said.dtype}{list(said.shape)}")
    order = np.argsort(ids)
    row = order[np.searchsorted(ids[order], said).clip(max=len(ids) - 1)]
    label = np.where(ids[row] == said, row, -1).astype(np.int32)
    unknown = np.flatnonzero((label < 0) & ~np.isin(said, none))
    if len(unknown) and not lenient:
        where = f"{'line' if first else 'point'} {unknown[0] + first}"
        raise DataError(
            f"{file}: {where}: {said[unknown[0]]} is no {kind} of {label_set.name}; name the label set by "
            f"--labels, or write {none[0]} where there is no prediction"
        )
    return label


def _scene(path: Path) -> str | None:
    """The scene that a file in `folder` is of; None for any other file."""
    if path.name.startswith("."):
        return None
    if path.suffix == ".npy" and path.is_file():
        return path.stem.removesuffix(PREDICTED)
    there = (path.suffix == ".txt" and path.is_file()) or (path.suffix == store.SUFFIX and path.is_dir())
    return path.stem if there else None


def _ids(file: Path, label_set: LabelSet) -> tuple[str, I4]:
    """What the ids of the label set are called, and i4[K], the id of each row."""
    if len(label_set.ids) != 1:
        columns = ", ".join(f"{name}_id" for name in label_set.ids) or "none"
        raise DataError(
            f"{file}: ids of classes need a label set with one column of ids, and {label_set.name} has "
            f"{columns}; give another by --labels, or write rows as .npy"
        )
    return next(iter(label_set.ids.items()))


def _lines(file: Path) -> I8:
    try:
        said = file.read_text(encoding="utf-8")
        return np.array(said.split(), np.int64)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no text ({error}); export it again") from error
    except (ValueError, OverflowError) as error:
        number, line = next(
            (at, line) for at, line in enumerate(said.splitlines(), 1) if not all(map(_fits, line.split()))
        )
        shown = line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
        raise DataError(f"{file}: line {number}: {shown!r} is no integer; export it again") from error


def _fits(word: str) -> bool:
    """Whether NumPy takes a word for an i8."""
    try:
        np.array([word], np.int64)
    except (ValueError, OverflowError):
        return False
    return True


def _array(file: Path) -> Array:
    try:
        return array_files.read(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable array ({error}); save it with numpy.save") from error


def _artefact(file: Path) -> Array:
    group = store.open_scene(file)
    if "label" not in group:
        raise DataError(f"{file}: has no array `label`; `anyscene evaluation` scores features")
    array: Array = group["label"][:]
    return array
