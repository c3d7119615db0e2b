"""How the numbers of a scan's frames are meant, and how else they might be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from anyscene.arrays import F8
from anyscene.errors import DataError
from anyscene.scene import DepthForm

Poses = Literal["camera-to-world", "world-to-camera"]
Axes = Literal["opencv", "opengl"]
POSES: tuple[Poses, ...] = get_args(Poses)
AXES: tuple[Axes, ...] = get_args(Axes)
FORMS: tuple[DepthForm, ...] = get_args(DepthForm)
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # from camera axes x right, y up, z back to OpenCV's, and back
MIRROR = np.diag(
    [1.0, -1.0, 1.0, 1.0]
)  # from Unity's axes, x right, y up, z forward, to right-handed ones, and back

SMALLEST, LARGEST = 1e-9, 1e9  # metres in a unit of length, and units in a metre
# Steps of a depth file in a metre. 5000: "File Formats" of TUM RGB-D; 6553.5: png_depth_scale of NICE-SLAM's
# Replica; 4000: Matterport3D's data_organization.md; 256: the development kit of KITTI's depth benchmark;
# 10000: RealSense D405, whose default unit is 0.1 mm.
STEPS = {
    1.0: "metres",
    10.0: "decimetres",
    100.0: "centimetres",
    256.0: "KITTI's steps",
    1000.0: "millimetres",
    4000.0: "Matterport3D's steps",
    5000.0: "TUM RGB-D's steps",
    6553.5: "Replica's steps",
    10000.0: "tenths of a millimetre",
}
ROTATED = 1000.0  # steps of a metre, once the bits of SUN RGB-D's files are turned back (its read3dPoints.m)
# Units of poses, as factors on that which was taken; an inch and a foot among them
LENGTHS = (0.001, 0.01, 0.0254, 0.1, 0.3048, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Change:
    """What turns cameras and depth that were read in one way into those of another, up to a motion of the
    world, which no depth map sees."""

    depth: float = 1.0  # a factor
    along: int = 0  # 1: depth times the length of its pixel's ray; -1: divided by it
    positions: float = 1.0  # a factor on those of cameras
    inverse: bool = False  # of poses
    flipped: bool = False  # camera axes, after that
    focal: float = 1.0  # a factor on the focal lengths of depth maps
    mirrored: bool = False  # y, in cameras and in the world, where both are left-handed

    def poses(self, poses: F8) -> F8:
        """f8[K, 4, 4] for poses f8[K, 4, 4], camera to world. Raises numpy.linalg.LinAlgError where one is to
        be inverted and has no inverse."""
        changed: F8 = np.linalg.inv(poses).astype(np.float64) if self.inverse else poses.copy()
        changed[:, :3, 3] *= self.positions
        if self.mirrored:
            changed = MIRROR @ changed @ MIRROR
        return changed @ OPENGL if self.flipped else changed

    def rounded(self) -> Change:
        """With nine decimals, so that equal changes have equal factors; depth and positions by one factor,
        where only that matters."""
        return replace(self, depth=round(self.depth / self.positions, 9), positions=1.0)


@dataclass(frozen=True)
class Reading:
    """How the numbers of a scan's frames are meant."""

    depth_scale: float = 1000.0  # value / depth_scale = metres
    depth_form: DepthForm = "axis"
    poses: Poses = "camera-to-world"
    axes: Axes = "opencv"  # of cameras; opengl: x right, y up, z back
    scale: float = 1.0  # metres in a unit of the poses, and of a mesh beside them

    def pose(self, matrix: F8) -> F8:
        """f8[4, 4], camera to world, OpenCV axes, in the unit of the file, of its matrix f8[4, 4]. Raises
        numpy.linalg.LinAlgError where it has to be inverted and has no inverse."""
        change = Change(inverse=self.poses == "world-to-camera", flipped=self.axes == "opengl")
        placed: F8 = change.poses(matrix[None])[0]
        return placed

    def to(self, other: Reading) -> Change:
        """What turns frames that were read like this into frames read like `other`."""
        inverse = self.poses != other.poses
        # Axes stand on the right of a pose. They are on the left of its inverse, where they turn the world.
        flipped = other.axes == "opengl" if inverse else other.axes != self.axes
        along = int(self.depth_form == "ray") - int(other.depth_form == "ray")
        return Change(self._steps() / other._steps(), along, other.scale / self.scale, inverse, flipped)

    def _steps(self) -> float:
        """Stored steps of a metre. Rotated to the left by three bits, values below 8192 are eightfold."""
        return self.depth_scale * (8 if self.depth_form == "rotated" else 1)

    def different(self, other: Reading) -> dict[str, Any]:
        """The fields of `other` that differ from these, by name."""
        names = [field.name for field in fields(self)]
        return {name: value for name in names if (value := getattr(other, name)) != getattr(self, name)}

    def in_words(self, other: Reading) -> str:
        """In what `other` differs from this."""
        said = []
        if other.depth_form == "rotated" != self.depth_form:
            said.append("the bits of depth rotated, as in SUN RGB-D")
        elif other.depth_scale != self.depth_scale:
            unit = STEPS.get(other.depth_scale, "no unit that is known here; or that of the poses is off")
            said.append(f"{other.depth_scale:g} steps of depth in a metre ({unit})")
        if other.depth_form == "ray" != self.depth_form:
            said.append("depth as the distance along the ray of its pixel")
        elif other.depth_form == "axis" != self.depth_form:
            said.append("depth along the camera's axis")
        if other.poses != self.poses:
            said.append(f"poses that are {other.poses.replace('-', ' ')}")
        if other.axes != self.axes:
            said.append(f"the camera axes of {'OpenGL' if other.axes == 'opengl' else 'OpenCV'}")
        if other.scale != self.scale:
            said.append(f"poses whose unit is {other.scale:g} m")
        return " and ".join(said)


def reading_of(values: Mapping[str, Any], where: object) -> Reading:
    """The reading whose fields are among `values`. Raises DataError that begins with `where` for a value out
    of bounds."""
    reading = Reading(**{field.name: values[field.name] for field in fields(Reading) if field.name in values})
    for name, said in (("depth_scale", "depth value of one metre"), ("scale", "metres of a unit")):
        value = getattr(reading, name)
        if type(value) not in (int, float) or not SMALLEST <= value <= LARGEST:
            raise DataError(f"{where}: {name} must be {SMALLEST:g} to {LARGEST:g} ({said}), not {value!r}")
    for name, known in (("depth_form", FORMS), ("poses", POSES), ("axes", AXES)):
        if getattr(reading, name) not in known:
            raise DataError(f"{where}: {name} must be {' or '.join(known)}, not {getattr(reading, name)!r}")
    return replace(reading, depth_scale=float(reading.depth_scale), scale=float(reading.scale))


def others(now: Reading) -> Iterator[Reading]:
    """The other ways to read what was read as `now`: another unit of depth or of poses, along with any form
    of depth, direction of poses and axes of cameras."""
    both: tuple[DepthForm, ...] = ("axis", "ray")
    forms: tuple[DepthForm, ...] = ("rotated",) if now.depth_form == "rotated" else both
    as_now = [(now.depth_scale, form) for form in forms]
    of_depth = [*as_now, *itertools.product(STEPS, both), (ROTATED, FORMS[2])]
    units = [(*depth, now.scale) for depth in of_depth]
    units += [(*depth, now.scale * factor) for depth in as_now for factor in LENGTHS]
    known = {now}
    for (scale, form, length), poses, axes in itertools.product(dict.fromkeys(units), POSES, AXES):
        reading = Reading(scale, form, poses, axes, length)
        if reading not in known:
            known.add(reading)
            yield reading
