"""Where a scan lies: from the world of its files to metres near the origin, z up, walls along x and y, with
the way back.

Every reader of a mesh, a cloud or a scan passes by here, in two steps: `near`, before coordinates become f4,
and `upright`, when the points are known. The way back is `Scene.world`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from anyscene.arrays import F8, Floats
from anyscene.datasets import up, walls
from anyscene.datasets.readings import LARGEST, SMALLEST
from anyscene.datasets.walls import Walls
from anyscene.errors import DataError
from anyscene.scene import Scene, moved

# Metres from the origin up to which coordinates are kept as they are. There the steps of an f4 are 0.06 mm,
# at the coordinates of a map (UTM: northings of millions) half a metre.
FAR = 1000.0
PLAUSIBLE = (0.3, 100.0)  # metres: the longest side of something that was scanned
UNITS = {
    "millimetres": 0.001,
    "centimetres": 0.01,
    "inches": 0.0254,
    "decimetres": 0.1,
    "feet": 0.3048,
    "metres": 1.0,
    "kilometres": 1000.0,
}
ROOM = 5.0  # metres, a usual longest side
OFFERED = 3  # units
HEIGHT, HALL = (2.1, 3.5), 7.0  # metres, of rooms; above HALL another unit is asked for
EDGES, CLOSE, FLAT = (
    (1, 99),
    0.02,
    0.08,
)  # percentiles; shares of the height and of the points near floor and ceiling
STEP = 0.02  # metres of rounding that no room stands
SAME = 1e-6  # apart: coordinates that are one but for rounding
THIN = 0.01  # of the height: nothing that was scanned is so thin both ways
MANY = 100  # places that are all of single precision by no chance
ALONE = 100.0  # times as large as the way of the cameras: no room is
TINY = 1e-12
MOST = (2, 98)  # percentiles between which a scan lies on each axis
STRAY = 50.0  # times half the longest side of that box: no window of a room shows anything so far off
WIDEST = 100_000.0  # metres; beyond it the numbers of cells no longer fit into 63 bits
SMALL = 10.0  # degrees; up to here z is kept that is not quite up, and walls that are not quite along x and y
LEVEL = np.cos(np.radians(SMALL))


@dataclass(frozen=True, eq=False)
class Said:
    """What a person, or an importer, says of the world of a scan's files."""

    scale: float | None = None  # metres in a unit of points and poses; None: 1, if that can be
    # f8[3], of any length; up.IMAGES: what the cameras alone say; None: z, unless surfaces and cameras say
    # something else
    up: F8 | str | None = None
    # f8[3], as the format of the file has it, which many tools do not keep to: so where surfaces clearly say
    # something else, that counts
    usual: F8 | None = None
    walls: Walls | None = None  # None: "align"
    # f8[4,4], from the world of these files to that of the export that they were made from
    world: F8 = field(default_factory=lambda: np.eye(4))


def near(where: str | Path, places: Floats, said: Said, sized: bool, centres: Floats | None = None) -> F8:
    """f8[4,4]: the step from the world of the files to metres near the origin, which `scene.moved` takes. It
    is the identity where metres are said or believed, and the places lie within FAR of the origin; else they
    are moved by whole metres.

    places: f4|f8[N, 3], the points, or the cameras' where there are none yet. sized: whether their extent
    tells the unit, so that one is refused which nothing can have. centres: f8[K, 3], those of cameras in the
    same world, which tell whether they are in the same unit.

    Raises DataError that begins with `where`, and names the unit under which the extent would be plausible;
    as `refuse_strays`; where coordinates have lost digits that a room needs; and, if sized, where x and y are
    degrees.
    """
    scale = 1.0 if said.scale is None else said.scale
    if not SMALLEST <= scale <= LARGEST:
        raise DataError(
            f"{where}: a scale of {scale:g}: give {SMALLEST:g} to {LARGEST:g}, the metres of a unit"
        )
    refuse_strays(where, places, scale)
    _refuse_rounded(where, places, scale)
    low, high = places.min(0).astype(np.float64), places.max(0).astype(np.float64)
    if sized:
        _refuse_thin(where, low, high)
    longest = float((high - low).max())
    unlikely = sized and said.scale is None and not PLAUSIBLE[0] <= longest <= PLAUSIBLE[1]
    if unlikely or scale * longest > WIDEST:
        alone = longest
        longest *= scale
        said_of_it = f"{where}: its longest side would be {longest:.4g} m"
        way = 0.0 if centres is None else float(np.ptp(centres, axis=0).max())
        if 0 < ALONE * way < alone and PLAUSIBLE[0] <= longest:
            raise DataError(
                f"{said_of_it}, and its cameras went no farther than {scale * way:.3g} m: the mesh alone is "
                "in another unit; save it in that of the poses (a scale would be for both)"
            )
        raise DataError(f"{said_of_it}{_otherwise(longest)}")
    step = np.diag([scale, scale, scale, 1.0])
    if scale * max(np.abs(low).max(), np.abs(high).max()) > FAR:
        middle = np.median(places.astype(np.float64), axis=0)
        step[:3, 3] = -np.rint(scale * middle)
    return step


def _refuse_rounded(where: str | Path, places: Floats, scale: float) -> None:
    """Raise DataError where places f4|f8[N, 3] are those of a map with too few digits: along an axis all are
    numbers of single precision, and there it has steps beyond STEP. What has steps of its own, coarser and
    not of one digit, was not rounded."""
    for values in places.T:
        far = float(np.abs(values).max())
        step = scale * float(np.spacing(np.float32(far)))
        if scale * far <= FAR or step <= STEP or not _is_single(values):
            continue
        least = _least_gap(values)
        if places.dtype != np.float32 and scale * least >= 2 * step and not _of_digits(values, least):
            continue
        step = max(step, scale * least)
        raise DataError(
            f"{where}: coordinates up to {far:.6g} with too few digits, as in single precision: their steps "
            f"are {step:.2g} m there, so that its points fell together; export it in double precision and "
            "with all digits, or move it to the origin first"
        )


def _least_gap(values: Floats) -> float:
    """How far two of the coordinates [N] along an axis are apart at least; 0 where all are one."""
    gaps = np.diff(np.unique(values.astype(np.float64)))
    return float(gaps[gaps > SAME].min(initial=np.inf)) if (gaps > SAME).any() else 0.0


def _of_digits(values: Floats, least: float) -> bool:
    """Whether coordinates [N] end at one digit, that of `least`: 691234, or 5.33457e+06."""
    digits = values / 10.0 ** np.floor(np.log10(least) + SAME)
    return bool(np.abs(digits - np.round(digits)).max() < SAME)


def _is_single(values: Floats) -> bool:
    """Whether coordinates f4|f8[N] along an axis are numbers of single precision by no chance. Of a wall that
    is flat to the bit all are one number, which may be by chance."""
    if values.dtype == np.float32:
        return True
    several = len(values) >= MANY and bool(np.ptp(values) > 0)
    return several and np.array_equal(values, values.astype(np.float32))


def _refuse_thin(where: str | Path, low: F8, high: F8) -> None:
    """Raise DataError for a box f8[3], f8[3] that is much higher than it is wide in both directions."""
    wide, deep, height = high - low
    if max(wide, deep) >= THIN * height:
        return
    degrees = bool((np.maximum(np.abs(low), np.abs(high))[:2] <= (180, 90)).all())
    remedy = (
        "are x and y degrees (longitude and latitude)? export it in metres, as of UTM"
        if degrees
        else "did its coordinates lose digits? export it with all of them"
    )
    raise DataError(f"{where}: is {height:.3g} high, and {wide:.2g} and {deep:.2g} wide; {remedy}")


def refuse_strays(where: str | Path, places: Floats, scale: float = 1.0) -> None:
    """Raise DataError that begins with `where` if a few of the places f4|f8[N, 3] lie so far off that of the
    rest nothing can be told apart. scale: metres of their unit.

    What fits into a building of PLAUSIBLE size is never refused. Beyond it, a place is refused that is STRAY
    times as far off as the box reaches that holds 96 % of all.
    """
    low, high = places.min(0).astype(np.float64), places.max(0).astype(np.float64)
    longest = scale * float((high - low).max())
    if longest <= PLAUSIBLE[1]:
        return
    inner = np.percentile(places.astype(np.float64), MOST, axis=0)
    middle, half = inner.mean(0), max(float((inner[1] - inner[0]).max()) / 2, TINY)
    off = np.abs(places - middle).max(1)
    strays = np.flatnonzero(off > STRAY * half)
    if len(strays):
        raise DataError(
            f"{where}: {len(strays):,} of {len(places):,} places lie up to {scale * off.max():.3g} m off, "
            f"such as number {strays[0]} (from 0); the others span {2 * scale * half:.3g} m; leave them out"
        )


def upright(where: str | Path, scene: Scene, said: Said) -> Scene:
    """The scene, turned by the smallest angle that makes z what is up, and then about z by the smallest that
    lays its walls along x and y, unless `said` keeps them. Remarks that begin with `where` say so: what is
    up, where nobody said it; by how much walls were turned, or that their angle is not known; and where the
    scene was moved from coordinates of a map.

    Where it is not said, points and cameras are asked what is up (`up.estimate`); of walls, points are
    (`walls.angle`). The scene stays as it is, to the bit, where they say nothing, and where z and walls are
    within 10 degrees of what they say. Raises DataError that begins with `where` where the images are to say
    what is up and do not."""
    remarks: list[str] = []
    direction = said.up
    if isinstance(direction, str):
        direction = _by_images(where, scene)
    elif direction is None and said.usual is not None:
        direction = said.usual
        usual = turn(said.usual)
        found = up.estimate(scene.moved(usual))
        if found is not None and found.direction[2] < LEVEL:
            direction = usual[:3, :3].T @ found.direction
            remarks.append(
                f"{where}: its {found.by} say that up is {_three(direction)}, not {_three(said.usual)} as "
                "its format has it; --up y keeps that"
            )
        elif found is None:
            remarks.append(
                f"{where}: its surfaces do not tell what is up; {_three(said.usual)} was taken, as its format"
                " has it; --up z if it was written as it is in most programs"
            )
    elif direction is None:
        found = up.estimate(scene)
        if found is not None and found.direction[2] < LEVEL:
            direction = found.direction
            angle = np.degrees(np.arccos(np.clip(direction[2], -1, 1)))
            remarks.append(
                f"{where}: turned by {angle:.0f} degrees: its {found.by} say that up is "
                f"{_three(direction)}; --up z keeps it"
            )
        elif found is None:
            both = "surfaces and cameras" if scene.frames else "surfaces"
            remarks.append(
                f"{where}: its {both} do not tell what is up; z was taken; --up z says that this is right"
            )
    step = np.eye(4) if direction is None else turn(direction)
    if said.walls != "keep":
        degrees = walls.standing(up.surfaces(scene) @ step[:3, :3].T)
        off = walls.angle(degrees)
        if off is not None and abs(off) > SMALL:
            step = _about_z(-off) @ step
            remarks.append(
                f"{where}: turned by {abs(off):.0f} degrees about z, so that its walls are along x and y; "
                "--walls keep leaves them, --world source gives results where they stood"
            )
        elif off is None and len(degrees):
            remarks.append(
                f"{where}: its upright surfaces do not tell how its walls stand, so it is not turned along "
                "them; --walls keep says that this is right"
            )
    if said.scale is None and len(scene.xyz):
        remarks += _high(where, moved(scene.xyz, step)[:, 2])
    if np.abs(scene.world[:3, 3]).max() > FAR:
        place = ",".join(f"{value + 0:.0f}" for value in scene.world[:3, 3].round())
        remarks.append(f"{where}: moved to the origin from {place}; --world source gives results there")
    scene = scene.moved(step)
    return replace(scene, remarks=(*scene.remarks, *remarks)) if remarks else scene


def _three(direction: F8) -> str:
    return ",".join(f"{value + 0:.3f}" for value in direction.round(3))


def _high(where: str | Path, z: F8) -> list[str]:
    """That a room has the height of one in another unit, if it does: much lies at its floor and its ceiling,
    far apart. z: f8[N], heights in metres."""
    low, high = np.percentile(z, EDGES)
    height = float(high - low)
    both = [np.mean(np.abs(z - edge) < CLOSE * height) for edge in (low, high)]
    for name in ("feet", "decimetres", "inches"):
        if min(both) >= FLAT and HEIGHT[0] <= height * UNITS[name] <= HEIGHT[1] and height > HALL:
            return [
                f"{where}: {height:.3g} m from floor to ceiling; in {name} ({UNITS[name]:g}) they would be "
                f"{height * UNITS[name]:.2g} m; say the metres of its unit by --scale, 1 if it is right"
            ]
    return []


def _by_images(where: str | Path, scene: Scene) -> F8:
    if not scene.frames:
        raise DataError(f"{where}: has no {up.IMAGES} to tell what is up; give --up as an axis or a vector")
    seen = up.vertical(np.array([frame.camera.pose for frame in scene.frames]))
    if seen is None:
        raise DataError(
            f"{where}: the images do not agree on what is up (--up {up.IMAGES}): they must be held level and "
            "look in several directions; give --up as an axis or a vector"
        )
    return seen


def turn(direction: F8) -> F8:
    """f8[4,4]: the smallest rotation that takes `direction` f8[3], of any length, to z; to the bit the
    identity where it is z."""
    from scipy.spatial.transform import Rotation  # only here: readers are imported to check params.yaml

    step, unit = np.eye(4), direction / np.linalg.norm(direction)
    unit[np.abs(unit) < TINY] = 0  # beside -z, scipy finds no axis to turn about by what is hardly there
    if not np.array_equal(unit, step[2, :3]):
        step[:3, :3] = Rotation.align_vectors([0, 0, 1], unit)[0].as_matrix()
    return step


def _about_z(degrees: float) -> F8:
    """f8[4,4]: the rotation by so many degrees from x to y."""
    step, (cos, sin) = np.eye(4), (np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))
    step[:2, :2] = [[cos, -sin], [sin, cos]]
    return step


def _otherwise(longest: float) -> str:
    """Which units would make the extent plausible, as part of a message."""
    able = [(name, unit) for name, unit in UNITS.items() if PLAUSIBLE[0] <= longest * unit <= PLAUSIBLE[1]]
    able = sorted(able, key=lambda one: abs(np.log(longest * one[1] / ROOM)))[:OFFERED]
    would = ", ".join(f"{longest * unit:,.3g} m in {name} ({unit:g})" for name, unit in able)
    return (
        f"{f', {would}' if would else ''}; say the metres of a unit by --scale (scale in Python), or as "
        '"scale" in the capture.json of a scan; 1 if it is right'
    )
