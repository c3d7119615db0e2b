"""python -m benchmarks.quality.bytes_of_sets PROJECT SCENES POINTS: the disk that a whole data set takes.

PROJECT has the artefacts of a few scenes. What they take, divided by their points,
is multiplied by the points of a data set of so many SCENES with so many POINTS each. Beside it stands the
share of the disk that the features of ScanNet take that OpenScene publishes, 176 GB and 235 GB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from anyscene.project import layout, parameters, store
from anyscene.study import disk

OPENSCENE = (176, 235)  # GB


def main(project: Path, scenes: int, points: int) -> None:
    os.chdir(project)
    sys.path.insert(0, str(project.resolve()))
    params = parameters.load(layout.PARAMETERS)
    table = Table("folder", "bytes a point", "GB")
    console = Console(width=100, highlight=False)
    kept = 0.0
    for folder, most in disk.bytes_of_point(params).items():
        ids = store.scene_ids(folder)
        paths = [store.scene_path(folder, scene) for scene in ids]
        there = sum(store.open_scene(store.scene_path(layout.SCENES, scene))["xyz"].shape[0] for scene in ids)
        each = sum(map(disk.taken, paths)) / there
        kept += each
        table.add_row(str(folder), f"{each:,.2f} (at most {most:,})", f"{each * scenes * points / 1e9:,.2f}")
    classes = sum(disk.memories(params).values())
    table.add_row("histories", f"{classes:,}", f"{classes * scenes * points / 1e9:,.2f}")
    whole = kept * scenes * points / 1e9
    table.add_row("all but histories", f"{kept:,.2f}", f"{whole:,.2f}")
    console.print(table)
    least, most_gb = sorted(100 * whole / size for size in OPENSCENE)
    console.print(f"{least:,.1f} to {most_gb:,.1f} % of {OPENSCENE[0]} to {OPENSCENE[1]} GB")


if __name__ == "__main__":
    typer.run(main)
