"""What a user has to say about an export because its files do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anyscene.arrays import F4, F8, U1
from anyscene.datasets.readings import Axes, Poses, Reading
from anyscene.datasets.up import IMAGES
from anyscene.datasets.walls import Walls
from anyscene.errors import DataError
from anyscene.scene import DepthForm

READING = ("depth_form", "poses", "axes")  # options that say how numbers are meant


class DepthModel(Protocol):
    """A 2D model that sees how far things are."""

    name: str
    metric: bool  # whether it gives metres; else 1 / metres, but for a scale and a shift

    def __call__(self, rgb: U1) -> F4:
        """f4[H, W] of an image u1[H, W, 3], at least 0."""
        ...


@dataclass(frozen=True, eq=False)
class ExportOptions:
    """What an export leaves open. None means that the user does not say it."""

    scale: float | None = None  # metres in a unit of its poses
    depth_unit: float | None = None  # metres in a step of its depth
    up: F8 | str | None = None  # f8[3] in its world, of any length, or IMAGES
    walls: Walls | None = None  # "align": along x and y, where their angle is known, as by None; or "keep"
    confidence: int = 1  # 0 (low), 1 or 2 (high); depth with a lower confidence is dropped
    depth_form: DepthForm | None = None  # what the values of its depth count
    poses: Poses | None = None  # from where to where they lead
    axes: Axes | None = None  # of its cameras
    anyway: bool = False  # whether to go on where depth maps contradict each other, or the mesh
    depth_model: DepthModel | None = None  # estimates depth where the export has none

    def reading(self, depth_unit: float, axes: Axes = "opencv", poses: Poses = "camera-to-world") -> Reading:
        """How numbers are taken, where these options may say so. depth_unit: metres in a step of depth; axes,
        poses: those of the form."""
        return Reading(
            1 / depth_unit,
            self.depth_form or "axis",
            self.poses or poses,
            self.axes or axes,
            self.scale or 1.0,
        )

    def refuse(self, *names: str, because: str) -> None:
        """Raise DataError where one of `names` is set although the files say it, as the two might
        disagree."""
        for name in names:
            if getattr(self, name) is not None:
                raise DataError(f"leave out --{name.replace('_', '-')}: {because}")


def refuse(source: str | None, options: ExportOptions, mesh: Path | None, every: int, because: str) -> None:
    """Raise DataError where options of an export are given and there is no export to import."""
    options.refuse("scale", "depth_unit", "up", "walls", *READING, because=because)
    said = {"from": source is not None, "mesh": mesh is not None, "every": every != 1}
    said["confidence"] = options.confidence != ExportOptions.confidence
    said["estimate-depth"] = options.depth_model is not None
    if names := [f"--{name}" for name, there in said.items() if there]:
        raise DataError(f"leave out {names[0]}: {because}")


def direction(text: str) -> F8 | str:
    """The direction that a text names: x, -x, y, -y, z, -z, three numbers X,Y,Z, or images. Raises DataError
    for any other text."""
    if text == IMAGES:
        return IMAGES
    axis = text.removeprefix("-")
    if axis in ("x", "y", "z"):
        unit: F8 = np.eye(3)["xyz".index(axis)]
        return unit * (-1.0 if text.startswith("-") else 1.0)
    try:
        vector = np.array([float(value) for value in text.split(",")])
    except ValueError:
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        raise DataError(f"--up {text}: give x, -x, y, -y, z, -z, three numbers (0,-0.9,0.1), or images")
    return vector


def by_options(changed: Mapping[str, Any]) -> str:
    """The options of an import that make fields of a `Reading` those in `changed`."""
    said = []
    for name, value in changed.items():
        if name == "depth_scale":
            said.append(f"--depth-unit {1 / value:g}")
        elif name == "scale":
            said.append(f"--scale {value:g}")
        else:
            said.append(f"--{name.replace('_', '-')} {value}")
    return f"give {' '.join(said)}"
