"""python -m benchmarks.speed.large_clouds [POINTS [NAME ...]]: `predict` and `query` on one large cloud.

The cloud is one floor of a building, 20 million points by default, with rooms of 5 m and no faces. It is a
PLY file in a temporary folder. Each command runs in a process of its own with the demo's network. Anonymous
memory is what a process cannot do without; the pages of files that it maps (`peak` has them too) can be
dropped at any time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from anyscene.arrays import F4, U1
from anyscene.datasets import ply
from anyscene.project.layout import DEMO_MODELS

POINTS = 20_000_000
DENSITY = 2000  # points to a square metre: 2.2 cm from each to the next
ROOM, HEIGHT = 5.0, 2.5  # metres
NETWORK = DEMO_MODELS / "student"  # of the clone in which this runs
COMMANDS = {
    "predict": ("predict", "{cloud}", "--out", "{out}/labels.ply"),
    "query": ("query", "{cloud}", "a chair", "--out", "{out}/query.ply"),
}


def building(points: int, seed: int = 0) -> tuple[F4, U1]:
    """(xyz f4[N, 3] in metres, rgb u1[N, 3]): the floor, the ceiling and the walls of equal square rooms, as
    many as `points` at DENSITY make, with a noise of 5 mm."""
    rng = np.random.default_rng(seed)
    of_room = 2 * ROOM * ROOM + 2 * ROOM * HEIGHT  # square metres, of walls those to two sides
    across = max(1, round((points / DENSITY / of_room) ** 0.5))
    side = across * ROOM
    xyz = rng.random((points, 3), np.float32) * np.array([side, side, HEIGHT], np.float32)
    share = ROOM * ROOM / of_room
    kind = rng.choice(4, points, p=[share, share, 0.5 - share, 0.5 - share])
    xyz[kind == 0, 2], xyz[kind == 1, 2] = 0, HEIGHT
    for axis in (0, 1):
        wall = kind == 2 + axis
        xyz[wall, axis] = np.round(xyz[wall, axis] / ROOM) * ROOM
    xyz += rng.normal(0, 0.005, xyz.shape).astype(np.float32)
    rgb = np.array([[150, 120, 90], [240, 240, 240], [200, 195, 180], [180, 190, 200]], np.uint8)[kind]
    return xyz, rgb


def measured(*command: str) -> tuple[float, float, float]:
    """(seconds, GiB of memory at the peak, GiB of anonymous memory at the peak) of a command. Raises
    RuntimeError where it fails."""
    start, peak, anonymous = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            lines = dict(
                line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            peak = max(peak, int(lines["VmHWM"].split()[0]))
            anonymous = max(anonymous, int(lines["RssAnon"].split()[0]))
        except (FileNotFoundError, KeyError, ProcessLookupError):  # it has just ended
            break
        time.sleep(0.1)
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} failed; its message is above")
    return time.perf_counter() - start, peak / 2**20, anonymous / 2**20


def main(points: int = POINTS, *names: str) -> None:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        cloud = Path(folder) / "building.ply"
        xyz, rgb = building(points)
        ply.write_mesh(cloud, xyz, rgb, np.empty((0, 3), np.int32))
        console.print(f"{points:,} points on {np.ptp(xyz[:, 0]):.0f} x {np.ptp(xyz[:, 1]):.0f} m")
        del xyz, rgb
        for name in names or COMMANDS:
            command = [part.format(cloud=cloud, out=folder) for part in COMMANDS[name]]
            program = [sys.executable, "-m", "anyscene.cli.main", *command, "--source", str(NETWORK)]
            seconds, peak, anonymous = measured(*program)
            console.print(f"{name}: {seconds:.0f} s, peak {peak:.1f} GiB, of which {anonymous:.1f} anonymous")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
