"""Files of raw scans, for all readers. Errors say what is wrong with a file, its path, and what to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anyscene.arrays import F8
from anyscene.errors import DataError
from anyscene.project.digests import Digests

SPLITS = Path(__file__).parent / "splits"  # the official lists of scenes
IMAGES = (".png", ".jpg", ".jpeg")


def scene_folder(root: Path, scene: str) -> Path:
    """The folder ROOT/SCENE. Raises DataError where the id cannot name a folder, or there is no such
    folder."""
    if Path(scene).name != scene or scene in ("", ".", ".."):
        raise DataError(f"scene id {scene!r} cannot name a folder: no '/', no '..'")
    folder = root / scene
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; take {scene} off the split or add its scan")
    return folder


def key(
    root: Path, scene: str, digest: Digests, wanted: Callable[[Path], bool], extra: Sequence[Any] = ()
) -> str | DataError:
    """A hash of `extra` (JSON-like) and of the files of the scene that are `wanted`, with their paths
    relative to ROOT/SCENE; the error where they cannot be read."""
    return _key(lambda: digest(scene_folder(root, scene), wanted), extra)


def key_of_files(
    root: Path, files: Sequence[Path], digest: Digests, extra: Sequence[Any] = ()
) -> str | DataError:
    """A hash of `extra` (JSON-like) and of `files`, with their paths relative to ROOT; the error where one
    cannot be read."""
    return _key(lambda: digest.of_files(root, files), extra)


def _key(content_of: Callable[[], str], extra: Sequence[Any]) -> str | DataError:
    try:
        content = content_of()
    except OSError as error:
        return DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")
    except DataError as error:
        return error
    return hashlib.sha256(json.dumps([*extra, content]).encode()).hexdigest()


def listed_splits(root: Path, names: Sequence[str] = ("train", "val")) -> dict[str, str] | None:
    """The split of every scene that the files ROOT/splits/NAME.txt list; None without that folder. Raises
    DataError where a scene is in two of them."""
    folder = root / "splits"
    if not folder.is_dir():
        return None
    splits: dict[str, str] = {}
    for name in names:
        for scene in lines(folder / f"{name}.txt"):
            if splits.setdefault(scene, name) != name:
                raise DataError(
                    f"{folder}: scene {scene} is in {splits[scene]}.txt and in {name}.txt; keep it in one"
                )
    return splits


def images_by_id(folder: Path) -> dict[str, Path]:
    """The image files in `folder`, by their names without suffix. Raises DataError where the folder is
    missing, or two files have one name."""
    files: dict[str, Path] = {}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the scan's images belong there")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES:
            if path.stem in files:
                raise DataError(
                    f"{path}: frame id {path.stem} is also {files[path.stem].name}; delete one of them"
                )
            files[path.stem] = path
    return files


def natural(id: str) -> tuple[int, int, str]:
    """A key for sorting ids: 2 comes before 10, and numbers before names."""
    return (0, int(id), id) if id.isdecimal() else (1, 0, id)


def image_size(path: Path) -> tuple[int, int]:
    """The size (width, height) of an image, whose pixels are not decoded. Raises DataError naming the
    file."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise DataError(
            f"{path}: not a readable image ({error}); export it again or delete the frame"
        ) from error


def depth_size(path: Path) -> tuple[int, int]:
    """The size (width, height) of a depth map. Raises DataError naming the file, also where its pixels are
    not integers of 16 or 32 bits: a picture of depth, or metres as floating-point numbers, would pass for
    steps."""
    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
    except OSError as error:
        raise DataError(
            f"{path}: not a readable depth image ({error}); export it again or delete the frame"
        ) from error
    if not mode.startswith("I"):
        raise DataError(
            f"{path}: pixels of mode {mode}, a picture of depth or metres as floats; export 16-bit PNG"
        )
    return size


def matrix(path: Path, shapes: tuple[tuple[int, int], ...]) -> F8:
    """The f8 matrix in a text file with one row in each line, of one of the `shapes`. Raises DataError naming
    the file."""
    try:
        matrix = np.array(
            [
                [float(v) for v in line.replace(",", " ").split()]
                for line in path.read_text().splitlines()
                if line.strip()
            ]
        )
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; add it or delete the frame") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a matrix of numbers ({error})") from error
    if matrix.shape not in shapes:
        raise DataError(
            f"{path}: expected {' or '.join(f'{r}x{c}' for r, c in shapes)} numbers, one row a line"
        )
    return matrix


def centred(
    intrinsics: F8,
    size: tuple[int, int],
    path: Path,
    images: str = "depth images",
    within: float = 0.2,
) -> F8:
    """The `intrinsics` f8[3,3] from the file `path`, if their centre is near that of images of `size` (width,
    height). Extracted frames are often resized, and others stand upright.

    within: how far off the centre may be, as a share of half the size. Raises DataError where it is farther
    off.
    """
    centre = intrinsics[:2, 2]
    if not np.all(np.abs(2 * centre / np.array(size) - 1) < within):
        raise DataError(
            f"{path}: centre ({centre[0]:g}, {centre[1]:g}) is not near the middle of the {images} "
            f"({size[0]}x{size[1]}); give the intrinsics of {images} of this size"
        )
    return intrinsics


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, or may be one that cannot be looked at."""
    try:
        return path.is_dir()
    except PermissionError:
        return True  # an error will follow when its files are read


def lines(path: Path) -> list[str]:
    """The lines of a file that are not empty; none where there is no file."""
    return [line.strip() for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
