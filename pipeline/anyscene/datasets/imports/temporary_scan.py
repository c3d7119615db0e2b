"""Any scan or export as a scan in plain files, for as long as it is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.formats import read
from anyscene.datasets.imports.rgbd_writer import Summary, write
from anyscene.errors import DataError


def refuse(source: str | None, options: ExportOptions, mesh: Path | None, every: int, because: str) -> None:
    """Raise DataError where options of an export are given and there is no export to import."""
    options.refuse("scale", "depth_unit", "up", because=because)
    said = {"from": source is not None, "mesh": mesh is not None, "every": every != 1}
    said["confidence"] = options.confidence != ExportOptions.confidence
    said["estimate-depth"] = options.depth_model is not None
    if names := [f"--{name}" for name, there in said.items() if there]:
        raise DataError(f"{names[0]} is not for this export: {because}; leave it out")


@contextmanager
def as_scan(
    path: Path, source: str | None, options: ExportOptions, mesh: Path | None = None, every: int = 1
) -> Iterator[tuple[Path, Summary | None]]:
    """A context with (the folder of a scan in the rgbd form, what the import did). The folder is `path`
    itself where it has that form; else the export at `path` is imported into a folder that lasts as long as
    the context; the scale and the up of `options` are then taken. Raises the errors of `read` and `write`."""
    if source is None and (path / "color").is_dir():
        of_export = replace(options, scale=None, up=None)  # those of a scan are for its reader
        refuse(None, of_export, mesh, every, because="a scan in plain files is read as it is")
        yield path.resolve(), None
        return
    capture = read(path, source, options, every)
    with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
        folder = Path(temporary) / path.resolve().stem
        yield folder, write(capture, folder, mesh)
