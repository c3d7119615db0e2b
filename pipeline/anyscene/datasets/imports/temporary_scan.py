"""Any scan or export as a scan in plain files, for as long as it is needed."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from anyscene.datasets.imports.export_options import ExportOptions, refuse
from anyscene.datasets.imports.formats import is_scan, read, scan_in_archive
from anyscene.datasets.imports.rgbd_writer import Summary, write
from anyscene.errors import DataError


@contextmanager
def as_scan(
    path: Path,
    source: str | None,
    options: ExportOptions,
    mesh: Path | None = None,
    every: int = 1,
    show_progress: bool = False,
) -> Iterator[tuple[Path, Summary | None]]:
    """A context with (the folder of a scan in the rgbd form, what the import did). The folder is `path`
    itself where it has that form, or where an archive of such a scan was unpacked; else the export at `path`
    is imported into a folder that lasts as long as the context; what `options` say of its world is then
    taken. show_progress: on stderr, while frames are written. Raises the errors of `read` and `write`."""
    if source is None and is_scan(path):
        of_export = replace(options, scale=None, up=None, walls=None)  # those of a scan are for its reader
        refuse(None, of_export, mesh, every, because="a scan in plain files is read as it is")
        yield path.resolve(), None
        return
    if source is None and (inside := scan_in_archive(path)) is not None:
        with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
            top = Path(temporary) / path.resolve().stem  # the name of the scene
            with zipfile.ZipFile(path) as packed:
                packed.extractall(top)
            folder = top / str(getattr(inside, "at", ""))
            try:
                with as_scan(folder, None, options, mesh, every, show_progress) as found:
                    yield found
            except DataError as error:
                raise type(error)(str(error).replace(str(folder), str(path))) from error
        return
    capture = read(path, source, options, every)
    with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
        folder = Path(temporary) / path.resolve().stem
        yield folder, write(capture, folder, mesh, not options.anyway, show_progress)
