"""python -m benchmarks.quality.up [FOLDER]: how often what is up is found -> a table, for docs/notes/up.md.

FOLDER holds scans in the form of the reader rgbd whose z is up, by default the demo's. Each is turned TURNS
times at random, with its cameras as they are, rolled about their axes, on their side, and without them. Then
every SOME-th is tilted a little, about x and about y.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from anyscene.arrays import F8
from anyscene.datasets import placement, up
from anyscene.datasets.rgbd import Rgbd
from anyscene.project import layout
from anyscene.scene import Scene

TURNS = 5
SOME = 5
TILTS = (8, 10, 12, 14, 16, 20, 25, 30)  # degrees
RIGHT = 5.0  # degrees from the truth
HEAD = """| cameras | right within 5° | wrong | no answer | as they lie: kept | ms a scan |
|---|---:|---:|---:|---:|---:|"""
HEAD_OF_TILTS = """| tilted by | cameras | right within 5° | wrong | no answer |
|---|---|---:|---:|---:|"""

Change = Callable[[Scene, np.random.Generator], Scene]


def rolled(degrees: Callable[[np.random.Generator], float]) -> Change:
    """A change of a scene that rolls each camera about its own axis by an angle that is drawn."""

    def change(scene: Scene, rng: np.random.Generator) -> Scene:
        frames = []
        for frame in scene.frames:
            roll = np.eye(4)
            roll[:3, :3] = Rotation.from_euler("z", degrees(rng), degrees=True).as_matrix()
            frames.append(replace(frame, camera=replace(frame.camera, pose=frame.camera.pose @ roll)))
        return replace(scene, frames=tuple(frames))

    return change


CHANGES: dict[str, Change] = {
    "as they are, level": lambda scene, rng: scene,
    "rolled by 10° (standard deviation)": rolled(lambda rng: rng.normal(0, 10)),
    "rolled by 20°": rolled(lambda rng: rng.normal(0, 20)),
    "rolled by 40°": rolled(lambda rng: rng.normal(0, 40)),
    "all on their side": rolled(lambda rng: 90.0),
    "half of them on their side": rolled(lambda rng: rng.choice([0.0, 90.0])),
    "upside down": rolled(lambda rng: 180.0),
    "of four frames": lambda scene, rng: replace(scene, frames=scene.frames[:4]),
    "none": lambda scene, rng: replace(scene, frames=()),
    "none, y up": lambda scene, rng: replace(scene, frames=()),
    "none, faces inside out": lambda scene, rng: replace(scene, frames=(), normal=-scene.normal),
}


def main(root: Path) -> None:
    data = Rgbd(root, "up", said=placement.Said(up=np.array([0.0, 0.0, 1.0])))
    scenes = [data.read(scene) for scene in data.splits()]
    print(HEAD)
    for name, change in CHANGES.items():
        rng = np.random.default_rng(0)
        off, kept, took = [], 0, 0.0
        for scene in scenes:
            for turn in range(TURNS):
                changed, step = change(scene, rng), np.eye(4)
                if turn == 0:
                    found = up.estimate(changed)
                    kept += found is None or found.direction[2] >= placement.LEVEL
                step[:3, :3] = lying(name, rng)
                moved = changed.moved(step)
                start = time.perf_counter()
                found = up.estimate(moved)
                took += time.perf_counter() - start
                off.append(np.inf if found is None else angle(found.direction, step[:3, 2]))
        print(f"| {name} | {in_cells(off)} | {kept} of {len(scenes)} | {1000 * took / len(off):.0f} |")
    print(f"\n{HEAD_OF_TILTS}")
    for degrees in TILTS:
        for name in ("as they are, level", "none"):
            off = [tilted(scene, name, degrees, axis) for scene in scenes[::SOME] for axis in "xy"]
            print(f"| {degrees}° | {name} | {in_cells(off)} |")


def tilted(scene: Scene, name: str, degrees: float, axis: str) -> float:
    """How far off what is found is, in degrees, of a scene that is tilted about an axis; infinite where
    nothing is found. name: of a change of its cameras."""
    step = np.eye(4)
    step[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    found = up.estimate(CHANGES[name](scene, np.random.default_rng(0)).moved(step))
    return np.inf if found is None else angle(found.direction, step[:3, 2])


def in_cells(off: list[float]) -> str:
    """The shares that are right, wrong and without an answer, for degrees off."""
    count, right, answered = len(off), sum(o <= RIGHT for o in off), sum(o < np.inf for o in off)
    shares = [100 * n / count for n in (right, answered - right, count - answered)]
    return " | ".join(f"{share:.1f} %" for share in shares)


def lying(name: str, rng: np.random.Generator) -> F8:
    """f8[3, 3]: a rotation; of any kind, or that of a world whose y is up."""
    return (
        Rotation.from_euler("x", -90, degrees=True).as_matrix()
        if name.endswith("y up")
        else Rotation.random(rng=rng).as_matrix()
    )


def angle(one: F8, other: F8) -> float:
    """Degrees between two directions of length 1."""
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else layout.WORLD)
