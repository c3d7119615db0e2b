"""A capture as the importers read it, written as a scan, and that scan read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyscene.datasets import imports
from anyscene.datasets.imports import Capture, ExportOptions, Summary
from anyscene.datasets.placement import Said
from anyscene.datasets.rgbd import Rgbd
from anyscene.scene import Frame, Scene


def read(path: Path, **given: Any) -> Capture:
    """What the importer that knows its form finds. given: options of the export."""
    return imports.read(path, None, ExportOptions(**given))


def written(capture: Capture, out: Path, mesh: Path | None = None) -> tuple[Summary, tuple[Frame, ...]]:
    """What the writer says of the scan `out`, and the frames that the reader finds there."""
    summary = imports.write(capture, out, mesh)
    return summary, as_written(out).frames


def as_written(scan: Path) -> Scene:
    """The scene of a scan, whose walls stay as they stand in its files."""
    return Rgbd(scan.parent, "test", said=Said(walls="keep")).read(scan.name)


def imported(path: Path, out: Path, **given: Any) -> tuple[Summary, tuple[Frame, ...]]:
    """Both at once."""
    return written(read(path, **given), out)
