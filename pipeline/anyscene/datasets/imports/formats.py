"""The importers, by the form of an export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from anyscene.datasets.imports import (
    archive,
    arkitscenes,
    colmap,
    estimated_depth,
    frames,
    nerfstudio,
    open3d,
    polycam,
    record3d,
    replica,
    scannetpp,
    sunrgbd,
    tum,
)
from anyscene.datasets.imports.export_options import READING, ExportOptions
from anyscene.datasets.imports.orientation import Capture
from anyscene.datasets.imports.source_frame import ExportFile
from anyscene.errors import DataError

READERS = {
    "arkitscenes": arkitscenes,
    "colmap": colmap,
    "frames": frames,
    "nerfstudio": nerfstudio,
    "open3d": open3d,
    "polycam": polycam,
    "record3d": record3d,
    "replica": replica,
    "scannetpp": scannetpp,
    "sunrgbd": sunrgbd,
    "tum": tum,
}
NAMED = 3  # folders that a message names


def read(path: Path, source: str | None, options: ExportOptions, every: int = 1) -> Capture:
    """Every `every`-th frame of the export at `path`, a folder or an archive.

    source: the name of the reader; None: the only one whose files are there. Raises DataError naming the
    file, and where the export has the form of no reader, or of several.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give that of the export")
    reader = READERS[source or recognised(path)]
    folder = archive.root(path, reader.MARKS)
    if folder is None:
        raise DataError(f"{path}: holds no {' or '.join(reader.MARKS)}; {reader.REMEDY}")
    capture: Capture = reader.read(folder, options)
    if capture.reading is None:
        options.refuse(*READING, because="its form says how its numbers are meant")
    capture = replace(capture, frames=capture.frames[::every], walls=options.walls)
    return capture if options.depth_model is None else estimated_depth.added(capture, options.depth_model)


def is_scan(path: Path) -> bool:
    """Whether `path` is a scan in plain files; folders of Open3D have color/ too, and no pose/."""
    return (path / "color").is_dir() and ((path / "pose").is_dir() or not is_export(path))


def scan_in_archive(path: Path) -> ExportFile | None:
    """The folder of a scan in plain files in a .zip file: its top, or its only folder; None where it is none.
    Raises DataError where the archive cannot be read."""
    if not path.is_file() or path.suffix.lower() not in archive.ARCHIVES:
        return None
    folder = archive.root(path, ("color",))
    return folder if folder is not None and archive.holds(folder, "pose") else None


def is_export(path: Path) -> bool:
    """Whether `path` holds the files of a known form."""
    return any(archive.root(path, reader.MARKS) is not None for reader in READERS.values())


def recognised(path: Path) -> str:
    """The only reader whose files are in `path`. Raises DataError where there is none, or more than one."""
    found = [name for name, reader in READERS.items() if archive.root(path, reader.MARKS) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{path}: may be of {' or of '.join(found)}; say which, by --from")
    marks = ", ".join(f"{reader.MARKS[0]} ({name})" for name, reader in READERS.items())
    said = f"{path}: neither a scan (color/, pose/) nor an export that is known here"
    if below := _below(path):
        more = ", ..." if len(below) > NAMED else ""
        raise DataError(f"{said}, but it holds such: give {' or '.join(map(str, below[:NAMED]))}{more}")
    if packed := archive.archives_in(path):
        more = ", ..." if len(packed) > NAMED else ""
        raise DataError(
            f"{said}; it holds {', '.join(packed[:NAMED])}{more}: unpack {packed[0]}, and give what is in it"
        )
    raise DataError(
        f"{said}; give a folder with color/, depth/ and pose/, or one that holds one mesh; exports are "
        f"known by {marks}"
    )


def _below(path: Path) -> list[Path]:
    """The scans and exports in a folder, one or two folders down."""
    if not path.is_dir():
        return []
    folders = sorted(one for one in (*path.glob("*/"), *path.glob("*/*/")) if not one.name.startswith("."))
    found = [one for one in folders if is_scan(one) or is_export(one)]
    return [one for one in found if one.parent not in found]
