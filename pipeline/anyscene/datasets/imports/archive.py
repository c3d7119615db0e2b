"""Exports in an archive, or unpacked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from anyscene.datasets.geometry.formats import READERS
from anyscene.datasets.imports.source_frame import ExportFile
from anyscene.datasets.raw_files import UNREADABLE
from anyscene.errors import DataError

ARCHIVES = (".zip", ".r3d")
OTHERS = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")  # which a person has to unpack


def root(path: Path, marks: Sequence[str]) -> ExportFile | None:
    """The folder that holds one of `marks`, paths whose parts may have a *. That is `path` itself; or in a
    zip file its top, or its only folder that does. None where there is none. Raises DataError for a file that
    is not an archive."""
    folders: list[ExportFile] = [path]
    if path.is_file():
        try:
            top = zipfile.Path(path)
            folders = [top, *(child for child in top.iterdir() if child.is_dir())]
        except UNREADABLE as error:
            if path.suffix.lower() not in (*ARCHIVES, *OTHERS):
                raise DataError(
                    f"{path}: of no form that is read here; save a mesh or a cloud as .ply "
                    f"({', '.join(READERS)} are read), an export as a folder or {' or '.join(ARCHIVES)}"
                ) from error
            raise DataError(
                f"{path}: not a readable archive ({error}); export it again, or unpack it and "
                "give the folder (.zip and .r3d are read)"
            ) from error
    found = [folder for folder in folders if any(holds(folder, mark) for mark in marks)]
    return found[0] if len(found) == 1 or found[:1] == folders[:1] else None


def archives_in(path: Path) -> list[str]:
    """The archives in a folder or a .zip file, by their paths there, at most two folders down."""
    names = (
        [str(one.relative_to(path)) for deep in ("*", "*/*", "*/*/*") for one in path.glob(deep)]
        if path.is_dir()
        else zipfile.ZipFile(path).namelist()
    )
    return sorted(
        name
        for name in names
        if Path(name).suffix.lower() in (*ARCHIVES, *OTHERS) and not name.startswith(("__MACOSX", "."))
    )


def holds(folder: ExportFile, mark: str) -> bool:
    """Whether there is a file or folder of the path `mark` in `folder`."""
    return next(matching(folder, mark), None) is not None


def matching(folder: ExportFile, mark: str) -> Iterator[ExportFile]:
    """The files and folders in `folder` whose path fits `mark`, whatever the case of their endings where it
    has a *; hidden ones only where it names them."""
    part, _, rest = mark.partition("/")
    children: list[ExportFile] = []
    if "*" not in part:
        children = [folder / part] if (folder / part).exists() else []
    elif folder.is_dir():
        children = [child for child in folder.iterdir() if fnmatchcase(_lowered(child.name), part)]
    for child in children:
        if part.startswith(".") or not child.name.startswith("."):
            if rest:
                yield from matching(child, rest)
            else:
                yield child


def _lowered(name: str) -> str:
    """A name with its ending in lower case."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}{dot}{ending.lower()}" if dot else name


def above(path: ExportFile) -> ExportFile:
    """The folder that holds `path`; of the top of an archive that of the archive."""
    return cast(ExportFile, path.parent)


def read_json(source: ExportFile) -> dict[str, Any]:
    """The JSON object in a file. Raises DataError naming the file where it is missing or holds none."""
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, KeyError) as error:
        raise DataError(f"{source}: missing; export it again") from error
    except UNREADABLE as error:
        raise DataError(f"{source}: not readable ({error}); export it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{source}: not a JSON object; export it again")
    return content
