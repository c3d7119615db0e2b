"""python -m benchmarks.quality.walls [FOLDER]: how often the angle of walls is found -> a table, for
docs/notes/up.md.

FOLDER holds scans in the form of the reader rgbd whose walls are along x and y, by default the demo's. Each
is turned TURNS times about z at random, with its normals as they are and with noise.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import placement, up, walls
from anyscene.datasets.rgbd import Rgbd
from anyscene.project import layout

TURNS = 5
RIGHT = 2.0  # degrees from the truth
NOISE = (0.0, 5.0, 10.0, 20.0)  # degrees, the standard deviation about each of two axes
HEAD = """| noise of normals | right within 2° | wrong | no answer | kept | off by, at most | ms a scan |
|---|---:|---:|---:|---:|---:|---:|"""


def main(root: Path) -> None:
    data = Rgbd(root, "walls", said=placement.Said(up=np.array([0.0, 0.0, 1.0]), walls="keep"))
    scenes = [data.read(scene) for scene in data.splits()]
    print(HEAD)
    for degrees in NOISE:
        rng = np.random.default_rng(0)
        off, kept, took = [], 0, 0.0
        for scene in scenes:
            start = time.perf_counter()
            normal = up.surfaces(scene)
            took += TURNS * (time.perf_counter() - start)
            noisy = normal + rng.normal(0, np.tan(np.radians(degrees)), normal.shape)
            noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
            found = walls.angle(walls.standing(noisy))
            kept += found is None or abs(found) <= placement.SMALL
            for angle in rng.uniform(-45, 45, TURNS):
                start = time.perf_counter()
                found = walls.angle(walls.standing(about_z(noisy, angle)))
                took += time.perf_counter() - start
                off.append(np.inf if found is None else abs((found - angle + 45) % 90 - 45))
        count, right, answered = len(off), sum(o <= RIGHT for o in off), sum(o < np.inf for o in off)
        shares = [100 * n / count for n in (right, answered - right, count - answered)]
        cells = " | ".join(f"{share:.1f} %" for share in shares)
        most = f"{max(o for o in off if o < np.inf):.1f}°" if answered else ""
        name = f"{degrees:.0f}° (standard deviation)" if degrees else "none"
        print(f"| {name} | {cells} | {kept} of {len(scenes)} | {most} | {1000 * took / count:.0f} |")


def about_z(normal: F8, degrees: float) -> F8:
    """f8[M, 3]: the directions, turned from x to y."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned: F8 = normal @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return turned


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else layout.WORLD)
