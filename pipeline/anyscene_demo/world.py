"""The demo's captures: furnished rooms as a noisy RGB-D camera sees them, in the form of a user's own.

This module also renders the views on which the demo's small 2D networks are trained. Evaluation rooms hold
furniture that nothing else shows. Every room and view has a seed of its own, so results do not depend on the
number of processes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from anyscene.arrays import B1, F4, F8, I2, I4, I8, U1, Array
from anyscene.datasets import ply
from anyscene.project import outputs, parameters
from anyscene.scene import Camera
from anyscene_demo import rooms, scan
from anyscene_demo.render import Rendered, Renderer, look_at, sensor_noise
from anyscene_demo.rooms import CLASSES, KINDS, Room, assemble, bare_corner, draw, generate

DEPTH_SCALE = 1000
FIELD_OF_VIEW = np.radians(65)  # of the image's width
SCAN_VOXEL = 0.045
OBJECT_SIZE = 96
OBJECT_CLASSES = CLASSES[:-1]  # "otherfurniture" is not one kind of thing
# The first numbers of seeds. So worlds and the networks' training data never share a room.
WORLD, ZOO_ROOMS, ZOO_OBJECTS = 1, 2, 3
SPLITS = {"train": "zoo", "val": "evaluation"}

Shapes = dict[str, tuple[tuple[int, ...], type[np.generic]]]  # of the arrays of one image, with their types
Given = TypeVar("Given")
Made = TypeVar("Made")


def intrinsics(width: int, height: int) -> F8:
    """f8[3, 3]: the intrinsics of the demo's camera."""
    focal = width / 2 / np.tan(FIELD_OF_VIEW / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


# ------------------------------------------------------------------------------------------------- room views


def trajectory(
    rng: np.random.Generator, room: Room, renderer: Renderer, views: int, width: int, height: int
) -> list[Camera]:
    """Cameras for hand-held views from free places in the room, which look at one thing after the other, and
    around."""
    matrix = intrinsics(width, height)
    targets = [p.centre for p in room.placed]
    order = [targets[i] for _ in range(-(-views // len(targets))) for i in rng.permutation(len(targets))]
    cameras = []
    for view in range(views):
        target = order[view] + rng.normal(0, 0.15, 3)
        if view % 4 == 3:  # a look around: into the room and at the floor
            target = room.size * (*rng.uniform(0.1, 0.9, 2), rng.uniform(0.0, 0.6))
        best, farthest = np.zeros(3), -np.inf
        for _ in range(12):
            eye = np.array([*rng.uniform(0.3, room.size[:2] - 0.3), rng.uniform(1.2, 1.75)])
            distance = float(np.linalg.norm(target - eye))
            clear = _clearance(renderer, eye, target)
            score = clear - 2 * max(0.0, 1.2 - distance)
            if score > farthest:
                best, farthest = eye, score
            if clear > 0.9 and 1.2 < distance < 3.5:
                break
        pose = look_at(best, target + (0, 0, 1e-3), rng.normal(0, 0.04))
        cameras.append(Camera(matrix, pose, width, height))
    return cameras


def _clearance(renderer: Renderer, eye: F8, target: F8) -> float:
    """How far one sees towards the target in the middle of the view, as a share of the way; 0 inside an
    object."""
    around = target + 0.25 * np.array([(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)])
    hit = renderer.cast(np.tile(eye, (len(around), 1)), around - eye)
    reach = np.where(hit["primID"] >= 0, hit["tfar"], 1.0).clip(0, 1)
    near = renderer.cast(np.tile(eye, (6, 1)), np.concatenate([np.eye(3), -np.eye(3)]) * 0.2)
    return (
        0.0
        if (near["primID"] >= 0)[[0, 1, 3, 4]].sum() and near["tfar"].min() < 1
        else float(np.median(reach))
    )


def room_views(
    seed: Iterable[int], split: str, kind: str, views: int, width: int, height: int
) -> tuple[Room, list[Camera], list[Rendered], Renderer]:
    """The room with this seed, its cameras, noisy images of it, and its renderer."""
    rng = np.random.default_rng(list(seed))
    room = generate(rng, split, kind)
    renderer = Renderer(room.mesh)
    cameras = trajectory(rng, room, renderer, views, width, height)
    clean = [renderer.frame(camera, room.light) for camera in cameras]
    return room, cameras, [sensor_noise(rng, image) for image in clean], renderer


# ---------------------------------------------------------------------------------------------- the captures


def make_world(section: parameters.World, output: Path, workers: int = 2) -> None:
    """Write the demo's captures in the rgbd form to `output`, in the place of what is there once all
    are made.

    There are `train_rooms` rooms "train_000", ... and `val_rooms` rooms "val_000", ..., with the kinds of
    rooms in turn.
    """
    with outputs.replaced(output, wholly=True) as made:
        _make_world(section, made, workers)


def _make_world(section: parameters.World, output: Path, workers: int) -> None:
    (output / "splits").mkdir(parents=True)
    counts = {"train": section.train_rooms, "val": section.val_rooms}
    tasks = [(split, index) for split, count in counts.items() for index in range(count)]
    for split, count in counts.items():
        names = [scene_name(split, index) for index in range(count)]
        (output / "splits" / f"{split}.txt").write_text(
            "".join(f"{name}\n" for name in names), encoding="utf-8"
        )
    write = partial(_write_capture, section, output)
    for done, name in enumerate(_parallel(write, tasks, workers), 1):
        if done % max(1, len(tasks) // 10) == 0 or done == len(tasks):
            print(f"world: {done}/{len(tasks)} rooms, last {name}", flush=True)


def scene_name(split: str, index: int) -> str:
    """The name of a room."""
    return f"{split}_{index:03d}"


def _write_capture(section: parameters.World, output: Path, task: tuple[str, int]) -> str:
    split, index = task
    name, kind = scene_name(split, index), KINDS[index % len(KINDS)]
    seed = (WORLD, section.seed, list(SPLITS).index(split), index)
    room, cameras, images, renderer = room_views(
        seed, SPLITS[split], kind, section.views, section.width, section.height
    )
    write_capture(output / name, room, cameras, images, renderer)
    return name


def write_capture(
    folder: Path, room: Room, cameras: list[Camera], images: list[Rendered], renderer: Renderer
) -> None:
    """Write one capture in the rgbd form, with its truth in the folder truth/."""
    partial_folder = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    for part in ("color", "depth", "pose", "truth/frame", "truth/frame_instance"):
        (partial_folder / part).mkdir(parents=True)
    np.savetxt(partial_folder / "intrinsics.txt", cameras[0].intrinsics, fmt="%.6f")
    (partial_folder / "capture.json").write_text(
        json.dumps({"depth_scale": DEPTH_SCALE}) + "\n", encoding="utf-8"
    )
    for i, (camera, image) in enumerate(zip(cameras, images, strict=True)):
        stem = f"{i:04d}"
        millimetres = (image.depth * DEPTH_SCALE).round().astype(np.uint16)
        Image.fromarray(image.rgb).save(partial_folder / "color" / f"{stem}.png")
        Image.fromarray(millimetres).save(partial_folder / "depth" / f"{stem}.png")
        np.savetxt(partial_folder / "pose" / f"{stem}.txt", camera.pose, fmt="%.9f")
        Image.fromarray(image.label).save(partial_folder / "truth" / "frame" / f"{stem}.png")
        Image.fromarray(image.instance).save(partial_folder / "truth" / "frame_instance" / f"{stem}.png")
    mesh = scan.reconstruct(
        [image.rgb for image in images],
        [image.depth for image in images],
        cameras,
        np.full(3, -0.15),
        room.size + 0.15,
        voxel=SCAN_VOXEL,
    )
    ply.write_mesh(partial_folder / "mesh.ply", mesh.xyz, mesh.rgb, mesh.face)
    label, instance = surface_labels(renderer, mesh.xyz)
    np.save(partial_folder / "truth" / "vertex_label.npy", label)
    np.save(partial_folder / "truth" / "vertex_instance.npy", instance)
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.rename(folder)


def surface_labels(renderer: Renderer, xyz: F4, spacing: float = 0.02) -> tuple[I2, I4]:
    """(class i2[N], instance i4[N]) of the true surface that is nearest to each point f4[N, 3]; -1 = none."""
    point, face = sample_surface(renderer.mesh.vertex, renderer.mesh.face, spacing)
    nearest = face[cKDTree(point).query(xyz)[1]]
    label = renderer.mesh.label[nearest].astype(np.int16)
    instance = renderer.mesh.instance[nearest].astype(np.int32)
    return np.where(label == 255, -1, label).astype(np.int16), np.where(instance == 0, -1, instance).astype(
        np.int32
    )


def sample_surface(vertex: F4, face: I4, spacing: float) -> tuple[F8, I8]:
    """(points f8[S, 3], faces i8[S]): points on triangles, about `spacing` metres apart and at least one on
    each, and the triangle of each."""
    corner = vertex[face].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    count = np.maximum(1, np.ceil(area / spacing**2)).astype(int)
    which = np.repeat(np.arange(len(face)), count)
    rank = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    # a Kronecker lattice, folded into the triangle, is even and the same every time
    a, b = (0.5 + rank * 0.7548776662466927) % 1, (0.5 + rank * 0.5698402909980532) % 1
    folded = a + b > 1
    a, b = np.where(folded, 1 - a, a), np.where(folded, 1 - b, b)
    alone = count[which] == 1
    a, b = np.where(alone, 1 / 3, a), np.where(alone, 1 / 3, b)
    corner = corner[which]
    return corner[:, 0] + a[:, None] * (corner[:, 1] - corner[:, 0]) + b[:, None] * (
        corner[:, 2] - corner[:, 0]
    ), which


# ------------------------------------------------------------------------- what the small networks learn from


@dataclass(frozen=True)
class ObjectView:
    """A view with one object in its middle."""

    class_index: int  # of the object
    rgb: U1  # u1[S, S, 3]
    label: U1  # u1[S, S], 255 = none
    mask: B1  # b1[S, S], the pixels of the object


def object_view(seed: Iterable[int], split: str, class_index: int, size: int = OBJECT_SIZE) -> ObjectView:
    """A view of one object of a class at the wall of an empty room. In a third of the views a second object
    stands beside it."""
    rng = np.random.default_rng(list(seed))
    while True:
        view = _object_view(rng, split, class_index, size)
        if view.mask.mean() > 0.04:
            return view


def _object_view(rng: np.random.Generator, split: str, class_index: int, size: int) -> ObjectView:
    name = OBJECT_CLASSES[class_index]
    shell, light = bare_corner(rng, split, np.array([*rng.uniform(3.5, 5.5, 2), rng.uniform(2.4, 2.8)]))
    width, depth, height = shell.vertex.max(0)
    objects = []
    structure = name in ("wall", "floor")
    main = draw(rng, split, str(rng.choice(OBJECT_CLASSES[2:])) if structure else name)
    half = min(main.size[0] / 2 + 0.1, width / 2)  # a few library sofas are as wide as the room
    x = rng.uniform(half, width - half)
    lifted = name in rooms.FLAT
    gap = 0.0 if lifted or main.class_name in rooms.FLAT else rng.choice((0.02, rng.uniform(0.1, 1.0)))
    turn = 0.0 if gap < 0.05 else rng.normal(0, 0.5)
    cosine, sine = np.cos(turn), np.sin(turn)
    vertex = main.vertex @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]).T
    vertex = vertex + (x, depth - gap - vertex[:, 1].max(), 0)
    show_main = not structure or rng.random() < 0.5
    if show_main:
        objects.append((main.with_vertex(vertex), CLASSES.index(main.class_name), 1))
    low, high = vertex.min(0), vertex.max(0)
    if rng.random() < 1 / 3:
        other = draw(rng, split, str(rng.choice(CLASSES[2:])))
        place = other.vertex + (0, depth - 0.02 - other.vertex[:, 1].max(), 0)
        for side in (-1, 1):
            offset = low[0] - place[:, 0].max() - 0.1 if side < 0 else high[0] - place[:, 0].min() + 0.1
            moved = place + (offset, 0, 0)
            if moved[:, 0].min() > 0 and moved[:, 0].max() < width:
                objects.append((other.with_vertex(moved), CLASSES.index(other.class_name), 2))
                break
    renderer = Renderer(assemble(objects, shell))
    centre, extent = (low + high) / 2, float(np.linalg.norm(high - low))
    if name == "floor":
        centre, extent = np.array([x, depth - rng.uniform(1.0, 1.8), 0.0]), 1.8
    elif name == "wall":
        centre, extent = np.array([x, depth, rng.uniform(1.0, 1.6)]), 1.8
    field = np.radians(55)
    distance = extent / 2 / np.tan(field / 2) * rng.uniform(0.95, 1.35)
    azimuth = rng.uniform(-0.75, 0.75)
    eye = centre + distance * np.array([np.sin(azimuth), -np.cos(azimuth), 0])
    eye[2] = rng.uniform(1.0, 1.7)
    eye = np.clip(eye, 0.15, np.array([width, depth, height]) - 0.15)
    focal = size / 2 / np.tan(field / 2)
    matrix = np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]])
    aim = centre + rng.normal(0, 0.05, 3) * extent
    camera = Camera(matrix, look_at(eye, aim + (1e-3, 0, 0)), size, size)
    image = sensor_noise(rng, renderer.frame(camera, light))
    mask = image.label == CLASSES.index(name) if structure else image.instance == 1
    return ObjectView(class_index, image.rgb, image.label, mask)


def render_objects(seed: int, split: str, count: int, cache: Path, prefix: str, workers: int = 2) -> None:
    """Write `count` views of objects, with the classes in turn, as PREFIX_{rgb,label,mask,class}.npy to
    `cache`."""
    view = partial(_numbered_object, seed, split)
    shapes: Shapes = {
        "rgb": ((OBJECT_SIZE, OBJECT_SIZE, 3), np.uint8),
        "label": ((OBJECT_SIZE, OBJECT_SIZE), np.uint8),
    }
    shapes |= {"mask": ((OBJECT_SIZE, OBJECT_SIZE), np.bool_), "class": ((), np.uint8)}
    arrays = _open_arrays(cache, prefix, count, shapes)
    for i, found in enumerate(_parallel(view, range(count), workers)):
        arrays["rgb"][i], arrays["label"][i], arrays["mask"][i] = found.rgb, found.label, found.mask
        arrays["class"][i] = found.class_index
        _tell(prefix, i, count)


def _numbered_object(seed: int, split: str, index: int) -> ObjectView:
    place = (ZOO_OBJECTS, seed, list(SPLITS.values()).index(split), index)
    return object_view(place, split, index % len(OBJECT_CLASSES))


def render_rooms(
    seed: int,
    split: str,
    count: int,
    views: int,
    size: tuple[int, int],
    cache: Path,
    prefix: str,
    workers: int = 2,
) -> None:
    """Write `views` frames of each of `count` rooms as PREFIX_{rgb,label,instance,depth}.npy [R, V, H, W] to
    `cache`. size: (width, height)."""
    width, height = size
    shapes: Shapes = {
        "rgb": ((views, height, width, 3), np.uint8),
        "label": ((views, height, width), np.uint8),
    }
    shapes |= {"instance": ((views, height, width), np.uint16), "depth": ((views, height, width), np.float16)}
    arrays = _open_arrays(cache, prefix, count, shapes)
    frames = partial(_numbered_room, seed, split, views, size)
    for i, images in enumerate(_parallel(frames, range(count), workers)):
        for part, array in arrays.items():
            array[i] = np.stack([getattr(image, part) for image in images])
        _tell(prefix, i, count)


def _numbered_room(seed: int, split: str, views: int, size: tuple[int, int], index: int) -> list[Rendered]:
    place = (ZOO_ROOMS, seed, list(SPLITS.values()).index(split), index)
    return room_views(place, split, KINDS[index % len(KINDS)], views, *size)[2]


def _open_arrays(cache: Path, prefix: str, count: int, shapes: Shapes) -> dict[str, Array]:
    cache.mkdir(parents=True, exist_ok=True)
    return {
        part: np.lib.format.open_memmap(
            cache / f"{prefix}_{part}.npy", "w+", dtype=dtype, shape=(count, *shape)
        )
        for part, (shape, dtype) in shapes.items()
    }


def _tell(name: str, index: int, count: int) -> None:
    if (index + 1) % max(1, count // 10) == 0:
        print(f"{name}: {index + 1}/{count}", flush=True)


def _parallel(work: Callable[[Given], Made], tasks: Iterable[Given], workers: int) -> Iterator[Made]:
    """Yield the results of `work`, in the order of the tasks."""
    tasks = list(tasks)
    if workers == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, tasks, chunksize=max(1, min(8, len(tasks) // (4 * workers))))
