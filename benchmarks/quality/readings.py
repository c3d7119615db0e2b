"""python -m benchmarks.quality.readings [FOLDER] [--rooms N] [--real]: are wrong readings of scans refused?

And is the right one named? FOLDER holds scans in the form of the reader `rgbd`, those of the demo by default.
Their depth gets noise and their poses drift, as those of a device do; real ones (--real) have their own. Then
each is read rightly and in every wrong way, and judged as `anyscene import` and the stage `scenes` judge it.
The tables of docs/notes/readings.md come from here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from anyscene.arrays import F4, F8, U1, Floats
from anyscene.datasets import ply
from anyscene.datasets.agreement import Agreement, completed, points_of, sample
from anyscene.datasets.colour_agreement import WIDTH, of_images, painted
from anyscene.datasets.contradictions import Findings, Judge
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.readings import OPENGL, Reading
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.project import layout
from anyscene.scene import Camera, Frame, turned_back

NOISE = 0.01  # of depth, a share of it
SHIFT, TURN = 0.01, 0.5  # of poses: metres and degrees, along and about each axis
MILLIMETRES = Reading()


@dataclass(frozen=True, eq=False)
class Held:
    """A frame in memory."""

    camera: Camera
    depth: F4 | None  # f4[H, W], metres
    id: str
    rgb: U1  # u1[h, w, 3]

    def read_depth(self) -> F4 | None:
        return self.depth

    def thumbnail(self, width: int) -> U1:
        return self.rgb


@dataclass(frozen=True)
class Wrong:
    """A way to misread a scan."""

    name: str
    pose: Callable[[F8], F8] = lambda pose: pose  # what is taken for the pose
    depth: Callable[[F4, Camera], F4] = lambda depth, camera: depth  # what is taken for metres
    right: Reading = MILLIMETRES  # what has to be named
    now: Reading = MILLIMETRES  # what was said
    about: bool = False  # whether a unit near the right one will do
    lens: float = 1.0  # a factor on the focal lengths that are taken for those of depth

    def names(self, changed: object) -> bool:
        """Whether fields of a reading are those that set it right."""
        if not self.about:
            return changed == self.now.different(self.right)
        if not isinstance(changed, dict) or not set(changed) < {"depth_scale", "scale"}:
            return False
        named = replace(self.now, **changed)  # depth tells the unit only beside that of the poses
        return abs(named.to(self.right).rounded().depth - 1) <= ABOUT


def scaled(factor: float) -> Callable[[F8], F8]:
    def change(pose: F8) -> F8:
        pose = pose.copy()
        pose[:3, 3] *= factor
        return pose

    return change


def times(factor: float) -> Callable[[F4, Camera], F4]:
    return lambda depth, camera: depth * np.float32(factor)


def in_rotated_bits(depth: F4, camera: Camera) -> F4:
    steps = np.rint(depth * 1000).astype(np.uint16)
    stored = steps << 3 | steps >> 13
    assert np.array_equal(turned_back(stored), steps)
    return (stored / np.float32(1000)).astype(np.float32)


def along_rays(depth: F4, camera: Camera) -> F4:
    height, width = depth.shape
    return depth * camera.resized(width, height).ray_lengths()


WAYS = (
    Wrong("right"),
    Wrong("unit of depth x 0.1", depth=times(0.1), right=Reading(100.0)),
    Wrong("unit of depth x 10", depth=times(10), right=Reading(10000.0)),
    Wrong("5000 steps a metre (TUM RGB-D)", depth=times(5), right=Reading(5000.0)),
    Wrong("6553.5 steps a metre (Replica)", depth=times(6.5535), right=Reading(6553.5)),
    Wrong("rotated bits (SUN RGB-D)", depth=in_rotated_bits, right=Reading(depth_form="rotated")),
    Wrong("poses world to camera", np.linalg.inv, right=Reading(poses="world-to-camera")),
    Wrong("OpenGL's axes", lambda pose: pose @ OPENGL, right=Reading(axes="opengl")),
    Wrong("OpenCV's for OpenGL's", lambda pose: pose @ OPENGL, now=Reading(axes="opengl")),
    Wrong("distance along the ray", depth=along_rays, right=Reading(depth_form="ray")),
    Wrong("poses x 10", scaled(10), right=Reading(scale=0.1)),
    Wrong("poses x 0.1", scaled(0.1), right=Reading(scale=10.0)),
    Wrong("poses in millimetres", scaled(1000), right=Reading(scale=0.001)),
    Wrong(
        "OpenGL's axes, world to camera",
        lambda pose: np.linalg.inv(pose @ OPENGL),
        right=Reading(poses="world-to-camera", axes="opengl"),
    ),
    # units that no table knows, of which about the right one has to be named
    Wrong("depth x 1.1", depth=times(1.1), right=Reading(1100.0), about=True),
    Wrong("depth x 0.9", depth=times(0.9), right=Reading(900.0), about=True),
    Wrong("200 steps a metre", depth=times(0.2), right=Reading(200.0), about=True),
    Wrong("300 steps a metre", depth=times(0.3), right=Reading(300.0), about=True),
    Wrong("300 taken for 256", depth=times(300 / 256), right=Reading(300.0), now=Reading(256.0), about=True),
    Wrong("2000 steps a metre", depth=times(2), right=Reading(2000.0), about=True),
    # depth of another lens than is said; a focal length near the right one has to be named
    *(
        Wrong(f"focal length of depth x {1 / lens:.2f}", lens=lens)
        for lens in (0.7, 0.8, 0.9, 1.1, 1.25, 1.4)
    ),
)
ABOUT = 0.06  # how far off such a unit may be named


@dataclass(frozen=True)
class Verdict:
    """What was said of a scan that was read in some way."""

    agreement: Agreement
    warned: bool
    refused: bool
    named: bool  # whether the right reading was
    seconds: float


def judged(way: Wrong, frames: Sequence[Held]) -> Verdict:
    """What is said of the frames, read that way."""
    read = [taken_as(way, one) for one in frames]
    named: list[bool] = []

    def correction(changed: object) -> str:
        named.append(way.names(changed))
        return ""

    began = time.perf_counter()
    taken = sample(read)
    assert taken is not None
    said = heard(lambda: Judge("", way.now, correction).frames(taken))
    seconds = time.perf_counter() - began
    if way.lens != 1:
        told = re.search(r"focal lengths of depth ([\d.]+) times", said.text)
        named.append(told is not None and abs(float(told[1]) * way.lens - 1) <= ABOUT)
    return Verdict(taken.frames(), said.warned, said.refused, any(named), seconds)


def taken_as(way: Wrong, one: Held) -> Held:
    assert one.depth is not None
    matrix = one.camera.intrinsics * [[way.lens, 1, 1], [1, way.lens, 1], [1, 1, 1]]
    camera = replace(one.camera, pose=way.pose(one.camera.pose), intrinsics=matrix)
    return replace(one, camera=camera, depth=way.depth(one.depth, one.camera))


@dataclass(frozen=True)
class Heard:
    """What a check said."""

    findings: Findings
    text: str  # of its warning or its refusal
    refused: bool

    @property
    def warned(self) -> bool:
        return bool(self.text) and not self.refused


def heard(check: Callable[[], Findings]) -> Heard:
    try:
        findings = check()
    except DataError as error:
        return Heard(Findings(), str(error), True)
    return Heard(findings, findings.warning, False)


def worn(frames: Sequence[Frame], rng: np.random.Generator) -> list[Held]:
    """The frames with noise in depth and poses that drift, each by itself: neighbours differ by more than
    where drift grows."""
    held = []
    for frame in frames:
        depth, pose = frame.read_depth(), frame.camera.pose.copy()
        assert depth is not None
        pose[:3, :3] = Rotation.from_rotvec(np.radians(rng.normal(0, TURN, 3))).as_matrix() @ pose[:3, :3]
        pose[:3, 3] += rng.normal(0, SHIFT, 3)
        noisy = (depth * rng.normal(1, NOISE, depth.shape)).astype(np.float32)
        held.append(Held(replace(frame.camera, pose=pose), noisy, frame.id, frame.thumbnail(WIDTH)))
    return held


def held_as_they_are(frames: Sequence[Frame]) -> list[Held]:
    """The frames with the noise and drift of the device that measured them."""
    depth = [(frame, frame.read_depth()) for frame in frames]
    return [
        Held(frame.camera, one, frame.id, frame.thumbnail(WIDTH)) for frame, one in depth if one is not None
    ]


def percent(values: Sequence[float]) -> str:
    """Median, and the range."""
    low, middle, high = (100 * np.quantile(values, q) for q in (0, 0.5, 1))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def table_of_readings(rooms: Sequence[Sequence[Held]], console: Console) -> None:
    table = Table(title=f"depth with depth, {len(rooms)} rooms", title_justify="left", box=None)
    for name in ("read as", "agree", "seen past", "contradiction", "warned", "refused", "named", "s"):
        table.add_column(name, justify="left" if name == "read as" else "right")
    for way in WAYS:
        found = [judged(way, room) for room in rooms]
        agreements = [one.agreement for one in found]
        shares = [one.shares() for one in agreements]
        table.add_row(
            way.name,
            percent([one["agree"] for one in shares]),
            percent([one["seen_past"] for one in shares]),
            percent([one.contradiction for one in agreements]),
            str(sum(one.warned for one in found)),
            str(sum(one.refused for one in found)),
            str(sum(one.named for one in found)),
            f"{np.median([one.seconds for one in found]):.2f}",
        )
    console.print(table)


def table_of_meshes(rooms: Sequence[tuple[Sequence[Held], Floats]], console: Console) -> None:
    table = Table(title=f"mesh with depth, {len(rooms)} rooms", title_justify="left", box=None)
    for name in ("mesh", "agree", "seen past", "contradiction", "warned", "refused"):
        table.add_column(name, justify="left" if name == "mesh" else "right")
    for degrees in (0, 1, 2, 5, 15, 45, 90):
        turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
        agreements, warned, refused = [], 0, 0
        for room, xyz in rooms:
            taken = sample(room)
            assert taken is not None
            agreements.append(taken.surface(xyz @ turn.T))
            try:
                judge = Judge("", Reading(), lambda changed: "")
                warned += bool(judge.surface(taken, xyz @ turn.T, Findings()).warning)
            except DataError:
                refused += 1
        shares = [one.shares() for one in agreements]
        table.add_row(
            f"turned by {degrees} degrees" if degrees else "right",
            percent([one["agree"] for one in shares]),
            percent([one["seen_past"] for one in shares]),
            percent([one.contradiction for one in agreements]),
            str(warned),
            str(refused),
        )
    console.print(table)


IMAGES: dict[str, Callable[[Sequence[U1], int], U1]] = {  # what is taken for image k
    "right": lambda images, k: images[k],
    "mirrored": lambda images, k: images[k][:, ::-1],
    "upside down": lambda images, k: images[k][::-1],
    "turned by 180 degrees": lambda images, k: images[k][::-1, ::-1],
    "those of 1 frame before": lambda images, k: images[(k + 1) % len(images)],
    "those of 2 frames later": lambda images, k: images[k - 2],
    "in any order": lambda images, k: images[np.random.default_rng(0).permutation(len(images))[k]],
}


def table_of_images(rooms: Sequence[Sequence[Held]], console: Console) -> None:
    table = Table(title=f"images with images, {len(rooms)} rooms", title_justify="left", box=None)
    for name in ("images", "correlation", "warned", "refused", "named"):
        table.add_column(name, justify="left" if name == "images" else "right")
    for way, wrong in IMAGES.items():
        said, values = [], []
        for room in rooms:
            images = [one.rgb for one in room]
            read = [replace(one, rgb=wrong(images, k)) for k, one in enumerate(room)]
            taken = sample(read)
            assert taken is not None
            compared = of_images(taken, read)
            values += [] if compared is None else [compared.value]
            said.append(
                heard(partial(Judge("", Reading(), lambda changed: "").images, taken, read, Findings()))
            )
        add(table, way, values, said, [f" {way} " in one.text for one in said])
    console.print(table)


def add(
    table: Table, way: str, values: Sequence[float], said: Sequence[Heard], named: Sequence[bool]
) -> None:
    counts = (sum(one.warned for one in said), sum(one.refused for one in said), sum(named))
    low, middle, high = np.quantile(values, (0, 0.5, 1)) if values else (np.nan,) * 3
    table.add_row(way, f"{middle:.2f} ({low:.2f} to {high:.2f})", *map(str, counts))


def stepped(metres: float, degrees: float) -> F8:
    """f8[4, 4]: a jump of a world."""
    step = np.eye(4)
    step[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    step[0, 3] = metres
    return step


def table_of_jumps(rooms: Sequence[Sequence[Held]], console: Console) -> None:
    table = Table(
        title=f"the last fifth of the poses jumped, {len(rooms)} rooms", title_justify="left", box=None
    )
    for name in ("by", "warned", "cut named within 2 frames"):
        table.add_column(name, justify="left" if name == "by" else "right")
    jumps: dict[str, tuple[float, float]] = {"nothing": (0, 0)}
    jumps |= {f"{metres:g} m": (metres, 0) for metres in (0.05, 0.1, 0.25, 0.5, 1)}
    jumps |= {f"{degrees:g} degrees": (0, degrees) for degrees in (1, 2, 3, 5, 20)}
    for way, (metres, degrees) in jumps.items():
        warned, named = 0, 0
        for room in rooms:
            cut, middle = round(0.8 * len(room)), np.eye(4)
            middle[:3, 3] = np.mean([one.camera.pose[:3, 3] for one in room], 0)
            step = middle @ stepped(metres, degrees) @ np.linalg.inv(middle)
            read = [
                replace(one, camera=one.camera.moved(step)) if k >= cut else one for k, one in enumerate(room)
            ]
            taken = sample(read)
            assert taken is not None
            whole = completed(taken, read)
            text = heard(partial(Judge("", Reading(), lambda changed: "").each, whole, Findings())).text
            order = {one.id: k for k, one in enumerate(room)}
            told = re.search(r"jump (?:at|before) frame (.+?)(?: and back before frame .+?)?, because", text)
            warned += told is not None
            named += told is not None and abs(order[told[1]] - cut) <= 2
        table.add_row(way, str(warned), str(named))
    console.print(table)


def table_of_scales(rooms: Sequence[Sequence[Held]], console: Console) -> None:
    """Depth and poses in one wrong unit, which shares of a distance cannot tell."""
    table = Table(title=f"depth and poses times as large, {len(rooms)} rooms", title_justify="left", box=None)
    for name in ("times", "warned", "refused", "largest change of a share"):
        table.add_column(name, justify="left" if name == "times" else "right")
    right = [judged(Wrong("right"), room).agreement.shares() for room in rooms]
    for factor in (0.1, 0.5, 0.8, 1.25, 2.0, 10.0):
        found = [judged(Wrong("", scaled(factor), times(factor)), room) for room in rooms]
        pairs = zip(right, (one.agreement.shares() for one in found), strict=True)
        change = max(abs(one[name] - other[name]) for one, other in pairs for name in one)
        said = (sum(one.warned for one in found), sum(one.refused for one in found))
        table.add_row(f"{factor:g}", *map(str, said), f"{100 * change:.2f} %")
    console.print(table)


Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
# what is taken for a pose and for the points of a mesh, and what has to be said
SHOWN: dict[str, tuple[Callable[[F8], F8], Callable[[F8], F8], str]] = {
    "right": (lambda pose: pose, lambda xyz: xyz, "nothing"),
    "poses world to camera": (np.linalg.inv, lambda xyz: xyz, "world to camera they do"),
    "OpenGL's axes": (lambda pose: pose @ OPENGL, lambda xyz: xyz, "of OpenGL they do"),
    "poses x 10": (scaled(10), lambda xyz: xyz, "0.1 times as large they do"),
    "mesh in millimetres": (lambda pose: pose, lambda xyz: 1000 * xyz, "multiply the mesh by 0.001"),
    "mesh y up": (lambda pose: pose, lambda xyz: xyz @ Y_UP.T, "(x, -z, y) they do"),
    "mesh 30 m off": (lambda pose: pose, lambda xyz: xyz + [30, 0, 0], "in one world and one unit"),
    "mesh 1 m off": (lambda pose: pose, lambda xyz: xyz + [1, 0, 0], "in one world and one unit"),
    "poses x 1.2": (scaled(1.2), lambda xyz: xyz, "in one world and one unit"),
}


def table_of_shown(
    rooms: Sequence[tuple[Sequence[Held], Geometry]], coloured: bool, console: Console
) -> None:
    what = "with colours" if coloured else "without colours"
    table = Table(
        title=f"mesh {what}, images without depth, {len(rooms)} rooms", title_justify="left", box=None
    )
    for name in ("read as", "correlation", "warned", "refused", "named"):
        table.add_column(name, justify="left" if name == "read as" else "right")
    for way, (pose, points, right) in SHOWN.items():
        said, values = [], []
        for room, mesh in rooms:
            read = [
                replace(one, camera=replace(one.camera, pose=pose(one.camera.pose)), depth=None)
                for one in room
            ]
            xyz = points(mesh.xyz.astype(np.float64))
            shown = painted(xyz, mesh.face, mesh.rgb if coloured else None, read)
            assert shown is not None
            value = shown.seen()[0]
            values += [] if value is None else [value]
            judge = Judge("", Reading(), lambda changed: "")
            said.append(heard(partial(judge.painted, shown, Findings())))
        add(table, way, values, said, [right in one.text for one in said])
    console.print(table)


def main(
    folder: Annotated[Path, typer.Argument()] = layout.WORLD,
    rooms: Annotated[int, typer.Option(help="how many, at most")] = 40,
    real: Annotated[bool, typer.Option("--real", help="add no noise and no drift")] = False,
) -> None:
    """Read scans rightly and wrongly, and print what is said of them."""
    scans = Rgbd(folder, "scans")
    names = list(scans.splits())[:rooms]
    found = [scans.frames(name)[0] for name in names]
    held = [
        held_as_they_are(frames) if real else worn(frames, np.random.default_rng(room))
        for room, frames in enumerate(found)
    ]
    console = Console(width=140)
    table_of_readings(held, console)
    table_of_images(held, console)
    table_of_jumps(held, console)
    table_of_scales(held, console)
    files = [(room, folder / name / "mesh.ply") for room, name in zip(held, names, strict=True)]
    meshes = [(room, ply.read(file)) for room, file in files if file.is_file()]
    if meshes:
        table_of_meshes([(room, points_of(mesh.xyz, mesh.face)) for room, mesh in meshes], console)
        for coloured in (True, False):
            table_of_shown(meshes, coloured, console)


if __name__ == "__main__":
    typer.run(main)
