"""python -m benchmarks.speed.checks [FOLDER] [--frames 1000]: how long does a capture take to import, and its
checks?

FOLDER is an export that `anyscene import` takes. Without one, a room of the demo is rendered at 640x480, and
its 25 frames are written again and again in the form of 7-Scenes. Then rooms of the demo as they are, small
ones of 25 frames of 160x120, are read, stored and checked. Times are CPU time of this process with all its
threads, and wall clocks beside them, which other work on the machine makes longer. docs/notes/readings.md has
the figures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from anyscene.datasets import imports
from anyscene.datasets.agreement import DepthFrame, completed, points_of, sample
from anyscene.datasets.contradictions import Findings, Judge
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.readings import Reading
from anyscene.datasets.rgbd import Rgbd
from anyscene.project import parameters, store
from anyscene.scene import Frame, Scene
from anyscene_demo.world import make_world

SIZE = (640, 480)
ROOMS = 10
REPEATS = 3


@dataclass(frozen=True)
class Took:
    """Seconds."""

    cpu: float
    wall: float


def took(work: Callable[[], object], repeats: int = 1) -> Took:
    """The shortest of so many times, by CPU time."""
    found = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append(Took(time.process_time() - cpu, time.perf_counter() - wall))
    return min(found, key=lambda one: one.cpu)


def written(folder: Path, frames: int) -> Path:
    """An export in the form of 7-Scenes, of so many frames: those of a room, over and over."""
    world = parameters.World(0, 0, 1, 25, *SIZE)
    make_world(world, folder / "world", workers=1)
    room, export = folder / "world/val_000", folder / "export"
    export.mkdir()
    shutil.copy(room / "intrinsics.txt", export / "camera-intrinsics.txt")
    colors = sorted((room / "color").iterdir(), key=lambda path: int(path.stem))
    for k in range(frames):
        color = colors[k % len(colors)]
        name = export / f"frame-{k:06d}"
        shutil.copy(color, f"{name}.color{color.suffix}")
        shutil.copy(room / "depth" / f"{color.stem}.png", f"{name}.depth.png")
        shutil.copy(room / "pose" / f"{color.stem}.txt", f"{name}.pose.txt")
    return export


def checked(frames: Sequence[Frame], scene: Scene | None) -> None:
    """All checks of frames with depth, and of the surface of a scene."""
    judge = Judge("", Reading(), lambda changed: "", refuse=False)
    read: Sequence[DepthFrame] = frames
    taken = sample(read)
    findings = judge.frames(taken)
    if scene is not None:
        findings = judge.surface(taken, points_of(scene.xyz, scene.face), findings)
    if taken is not None:
        findings = judge.each(completed(taken, read), findings)
    judge.images(taken, frames, findings if not findings.warning else Findings())


def of_export(export: Path, options: ExportOptions, folder: Path, console: Console) -> None:
    """Import an export and check what came of it."""
    out = folder / "scan"

    def imported() -> None:
        imports.write(imports.read(export, None, options), out, refuse=False)

    whole = took(imported)
    frames = Rgbd(folder, "scans").frames("scan")[0]
    checks = took(lambda: checked(frames, None), REPEATS)
    table = Table(
        title=f"{len(frames)} frames of {frames[0].camera.width}x{frames[0].camera.height}", box=None
    )
    for name in ("", "CPU s", "wall s"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("anyscene import, checks included", f"{whole.cpu:.1f}", f"{whole.wall:.1f}")
    table.add_row("its checks", f"{checks.cpu:.2f}", f"{checks.wall:.2f}")
    table.add_row("share", f"{100 * checks.cpu / whole.cpu:.1f} %", "")
    console.print(table)


def of_rooms(folder: Path, console: Console) -> None:
    """Read, store and check rooms of the demo, with their meshes and without."""
    make_world(parameters.World(0, 0, ROOMS, 25, 160, 120), folder / "rooms", workers=1)
    of_scans(Rgbd(folder / "rooms", "scans"), "with meshes", folder, console)
    for mesh in (folder / "rooms").glob("*/mesh.ply"):
        mesh.unlink()
    of_scans(Rgbd(folder / "rooms", "scans"), "whose points are made of depth", folder, console)


def of_scans(scans: Rgbd, what: str, folder: Path, console: Console) -> None:
    """Read, store and check scans."""
    shares, milliseconds = [], []
    for name in scans.splits():
        scene, target = scans.read(name), folder / "scenes" / f"{name}.zarr"

        def stored(name: str, target: Path) -> None:
            shutil.rmtree(target, ignore_errors=True)
            store.write_scene(store.create(target, ""), scans.read(name), scans.root)

        checks = took(partial(checked, scene.frames, scene), REPEATS)
        reading = took(partial(stored, name, target), REPEATS)
        shares.append(checks.cpu / (checks.cpu + reading.cpu))
        milliseconds.append((1000 * checks.cpu, 1000 * reading.cpu))
    low, middle, high = 100 * np.quantile(shares, (0, 0.5, 1))
    check, read = np.median(milliseconds, 0)
    console.print(
        f"{ROOMS} rooms of the demo, {what}: checked in {check:.0f} ms, read and stored in {read:.0f} ms; "
        f"share of checks {middle:.0f} % ({low:.0f} to {high:.0f})"
    )


def main(
    folder: Annotated[Path | None, typer.Argument(help="an export; default: a room of the demo")] = None,
    frames: Annotated[int, typer.Option(help="of the export that is made")] = 1000,
) -> None:
    """Time the import of a capture and its checks."""
    console = Console(width=120)
    console.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="anyscene_") as name:
        temporary = Path(name)
        if folder is None:
            upright = ExportOptions(up=np.array([0.0, 0.0, 1.0]))
            of_export(written(temporary, frames), upright, temporary, console)
        else:
            of_export(folder, ExportOptions(), temporary, console)
        of_rooms(temporary, console)


if __name__ == "__main__":
    typer.run(main)
