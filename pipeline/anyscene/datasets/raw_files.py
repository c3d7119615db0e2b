"""Files of raw scans, for all readers. Errors say what is wrong with a file, its path, and what to do."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from anyscene.arrays import F8
from anyscene.datasets.left_out import NO_POSE
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError, FrameError
from anyscene.project.digests import Digests
from anyscene.scene import NO_READING, Camera

SPLITS = Path(__file__).parent / "splits"  # the official lists of scenes
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
UNREAD = (
    ".exr",
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".gif",
    ".pgm",
    ".ppm",
    ".npy",
    ".raw",
)  # of images and depth
UNREADABLE = (  # what reading an image, numbers, or a part of an archive raises
    *(OSError, SyntaxError, ValueError, EOFError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    RuntimeError,  # zipfile's for a password, and for a kind of encryption or compression that it cannot undo
)
EMPTY = 10  # a file that is smaller than its pixels by more may hold a single value; measured ones are not
ENDS = (b"IEND\xaeB`\x82", b"\xff\xd9")  # of PNG and JPEG files that are whole


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
    """The image files in `folder`, by their names without suffix; files are hidden where their names begin
    with a dot, as those that macOS leaves beside copies. Raises DataError where the folder is missing, two
    files have one name, or images are of a form that is not read."""
    files: dict[str, Path] = {}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the scan's images belong there")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in UNREAD and not path.name.startswith("."):
            raise DataError(
                f"{path}: images of this form are not read ({', '.join(IMAGES)} are); write it as a PNG, "
                "depth with 16 bits"
            )
        if path.suffix.lower() in IMAGES and not path.name.startswith("."):
            if path.stem in files:
                raise DataError(
                    f"{path}: frame id {path.stem} is also {files[path.stem].name}; delete one of them"
                )
            files[path.stem] = path
    return files


def natural(id: str) -> list[tuple[int, int, str]]:
    """A key for sorting ids by the numbers in them: 2 comes before 10, a-2 before a-10, numbers before
    names."""
    parts = re.split(r"(\d+)", id)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def image_size(path: Path) -> tuple[int, int]:
    """The size (width, height) of an image. Its pixels are decoded only where the file does not end as a
    whole one does. Raises FrameError naming the file."""
    try:
        with Image.open(path) as image:
            _complete(image, path)
            return image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise FrameError(
            f"{path}: not a readable image ({error}); export it again or delete the frame",
            "image not readable",
        ) from error


def is_turned(path: Path) -> bool:
    """Whether the EXIF orientation of a readable image says that it is to be seen on its side."""
    with Image.open(path) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)


def _complete(image: Image.Image, path: Path) -> None:
    """Raise OSError where the file at `path`, of which `image` was opened, was cut short."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(ENDS[0])))
        if not file.read().endswith(ENDS):
            image.load()  # some files have more behind their end


def depth_size(path: Path) -> tuple[int, int]:
    """The size (width, height) of a depth map. Raises FrameError naming the file, also where its pixels are
    not integers of 16 or 32 bits: a picture of depth, or metres as floating-point numbers, would pass for
    steps."""
    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
            _complete(image, path)
    except (OSError, SyntaxError, ValueError) as error:
        raise FrameError(
            f"{path}: not a readable depth image ({error}); export it again or delete the frame",
            "depth not readable",
        ) from error
    if not mode.startswith("I"):
        raise FrameError(
            f"{path}: pixels of mode {mode}, a picture of depth or metres as floats; export 16-bit PNG",
            "depth not in steps of 16 bits",
        )
    return size


def refuse_empty(path: Path) -> None:
    """Raise FrameError naming the file where a depth map has no reading at all. Its pixels are decoded only
    where the file is as small as one that holds one value."""
    with Image.open(path) as image:
        if path.stat().st_size * EMPTY > 2 * image.width * image.height:
            return
        steps = np.asarray(image)
    if not ((steps > 0) & (steps != NO_READING)).any():
        raise FrameError(
            f"{path}: has no reading; export it again or delete the frame", "depth without a reading"
        )


def pose(path: Path) -> F8:
    """f8[4,4]: the pose in a text file, whether it is rigid or not. Raises FrameError naming the file where
    there is none, where it holds no 4x4 numbers, and where tracking was lost: they are not finite."""
    try:
        stored = matrix(path, ((4, 4),))
    except FileNotFoundError as error:
        raise FrameError(f"{path}: missing; add it or delete the frame", NO_POSE) from error
    except DataError as error:
        empty = path.is_file() and not path.stat().st_size
        raise FrameError(str(error), NO_POSE if empty else "pose not of 4x4 numbers") from error
    return tracked(stored, path)


def tracked(pose: F8, where: object) -> F8:
    """The pose. Raises FrameError that begins with `where` if its numbers are not finite."""
    if not np.isfinite(pose).all():
        raise FrameError(
            f"{where}: camera pose contains NaN or infinity; leave the frame out if tracking was lost",
            NO_POSE,
        )
    return pose


def placed(reading: Reading, stored: F8, where: object) -> F8:
    """f8[4,4]: the pose that a matrix f8[4,4] of a file means, as `Reading.pose`. Raises FrameError that
    begins with `where` for one that has no inverse where it is needed."""
    try:
        return reading.pose(stored)
    except np.linalg.LinAlgError as error:
        raise FrameError(
            f"{where}: {error}, which is no pose; leave the frame out", "pose not rigid"
        ) from error


def camera_of(intrinsics: F8, pose: F8, size: tuple[int, int], where: object) -> Camera:
    """The camera of images of `size` (width, height). Raises FrameError that begins with `where` if it
    cannot be one."""
    try:
        return Camera(intrinsics, tracked(pose, where), *size)
    except FrameError:
        raise
    except DataError as error:
        why = "pose not rigid" if "pose" in str(error) else "intrinsics of no camera"
        raise FrameError(f"{where}: {error}", why) from error


def matrix(path: Path, shapes: tuple[tuple[int, int], ...]) -> F8:
    """The f8 matrix in a text file with one row in each line, of one of the `shapes`. Raises DataError naming
    the file, and FileNotFoundError where there is none."""
    try:
        matrix = np.array(
            [
                [float(v) for v in line.replace(",", " ").split()]
                for line in path.read_text(encoding="utf-8-sig").splitlines()
                if line.strip()
            ]
        )
    except FileNotFoundError:
        raise
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
    path: object,
    images: str = "depth images",
    within: float = 0.2,
) -> F8:
    """The `intrinsics` f8[3,3], if their centre is near that of images of `size` (width, height). Extracted
    frames are often resized, and others stand upright.

    path: where they are from, for messages. within: how far off the centre may be, as a share of half the
    size. Raises FrameError where it is farther off.
    """
    centre = intrinsics[:2, 2]
    if not np.all(np.abs(2 * centre / np.array(size) - 1) < within):
        raise FrameError(
            f"{path}: centre ({centre[0]:g}, {centre[1]:g}) is not near the middle of the {images} "
            f"({size[0]}x{size[1]}); give the intrinsics of {images} of this size",
            "image of another shape than its intrinsics",
        )
    return intrinsics


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, or may be one that cannot be looked at."""
    try:
        return path.is_dir()
    except PermissionError:
        return True  # an error will follow when its files are read


def lines(path: Path) -> list[str]:
    """The lines of a file that are not empty; none where there is no file. Raises DataError as `text`."""
    return [line.strip() for line in text(path).splitlines() if line.strip()] if path.is_file() else []


def text(path: Path) -> str:
    """The content of a text file, in UTF-8, without the mark that Windows puts before it. Raises DataError
    where it cannot be read, or is in another encoding."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check it") from error
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line} is not UTF-8 (byte {wrong:#04x}); save it as UTF-8") from error
