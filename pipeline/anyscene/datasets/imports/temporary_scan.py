"""A scan in plain files, of whatever a person has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.formats import read
from anyscene.datasets.imports.rgbd_writer import Summary, write
from anyscene.errors import DataError


def refuse(source: str | None, options: ExportOptions, mesh: Path | None, every: int, because: str) -> None:
    """Raise DataError for anything that was said of an export where there is none to import."""
    options.refuse("scale", "depth_unit", "up", because=because)
    said = {"from": source is not None, "mesh": mesh is not None, "every": every != 1}
    said["confidence"] = options.confidence != ExportOptions.confidence
    if names := [f"--{name}" for name, there in said.items() if there]:
        raise DataError(f"{names[0]} is not for this export: {because}; leave it out")


@contextmanager
def as_scan(
    path: Path, source: str | None, options: ExportOptions, mesh: Path | None = None, every: int = 1
) -> Iterator[tuple[Path, Summary | None]]:
    """(folder in the rgbd form, what the import did): `path` itself where it is one, else the export at
    `path`, imported into a folder that is there while the context is. Raises what `read` and `write` do."""
    if source is None and (path / "color").is_dir():
        refuse(None, options, mesh, every, because="a scan in plain files is in metres, z up")
        yield path.resolve(), None
        return
    capture = read(path, source, options, every)
    with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
        folder = Path(temporary) / path.resolve().stem
        yield folder, write(capture, folder, mesh)
