"""Miniature houses in the on-disk form of Matterport3D, written line by line from data_organization.md and
the property names of its meshes, without any code of the reader under test."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders.capture import LEVEL

SIZE = (32, 24)  # width, height
FOCAL = (30.0, 31.0, 29.0)  # of the cameras that look up, level and down
CENTRE = (14.5, 13.0)  # OpenCV's, rows from the top; a .conf counts from the bottom
BOTTOM = SIZE[1] - 1 - CENTRE[1]
PITCH = (30.0, 0.0, -30.0)  # degrees
STEP = 5.0  # metres from one region to the next
HEADER = "index raw_category category count nyuId nyu40id eigen13id nyuClass nyu40class mpcat40index mpcat40"
TABLE = (  # raw category, nyu40id, nyuClass
    ("wall", 1, "wall"), ("door", 8, "door"), ("ceiling", 22, "ceiling"), ("decoration", 40, ""),
    ("armchair", 5, "chair"), ("doorframe", 8, "door"), ("unknown", 40, "unknown"),
    ("coffee table", 39, "table"),
)  # fmt: skip
WALL, CEILING, DOORFRAME = 1, 3, 6  # rows of the table


def write_root(root: Path, *houses: str, **options) -> Path:
    """ROOT/scans/HOUSE and the table of categories beside it."""
    for seed, house in enumerate(houses):
        write_house(root / "scans", house, seed=seed, **options)
    write_table(root / "category_mapping.tsv")
    return root / "scans"


def write_house(root: Path, house: str, *, regions: int = 2, assigned=(0, 1), seed: int = 0) -> Path:
    """ROOT/HOUSE: `regions` rooms in a row along x; a panorama of 3 cameras at 2 yaws in the middle of each
    that `assigned` has an entry for: the region to which .house gives it."""
    folder, rng = root / house, np.random.default_rng(seed)
    for name in ("region_segmentations", "house_segmentations", "undistorted_camera_parameters",
                 "undistorted_color_images", "undistorted_depth_images"):  # fmt: skip
        (folder / name).mkdir(parents=True)
    for region in range(regions):
        xyz, face, category, instance = room(region)
        rgb = rng.integers(0, 256, (len(xyz), 3), np.uint8)
        write_region(
            folder / "region_segmentations" / f"region{region}.ply", xyz, rgb, face, category, instance
        )
    scans = []
    for panorama in range(len(assigned)):
        for camera in range(3):
            for yaw in range(2):
                write_images(folder, panorama, camera, yaw, rng)
                scans.append((panorama, camera, yaw))
    write_conf(folder / "undistorted_camera_parameters" / f"{house}.conf", scans)
    write_house_file(folder / "house_segmentations" / f"{house}.house", regions, assigned)
    return folder


def name(panorama: int) -> str:
    return f"{panorama:032x}"


def room(region: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(xyz f4[32,3], face i4[30,3], category i4[30], object i4[30]): a wall 1 m wide and high at y = 2 and
    a ceiling from y = 2 to y = -1; the wall's left third is a door frame, its upper row not annotated."""
    side = 4
    x, z = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    wall = np.stack([x.ravel(), np.full(side * side, 2.0), z.ravel()], 1)
    ceiling = np.stack([x.ravel(), 2 - 3 * z.ravel(), np.ones(side * side)], 1)
    xyz = np.concatenate([wall, ceiling]) + [STEP * region, 0, 0]
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side], 1)
    upper = np.stack([corner + 1, corner + side + 1, corner + side], 1)
    column, row = corner % side, corner // side
    category = np.where(row == side - 2, -1, np.where(column == 0, DOORFRAME, WALL))
    instance = np.where(row == side - 2, -1, np.where(column == 0, 4, 7))
    face = np.concatenate([lower, upper, lower + side * side, upper + side * side])
    count = len(corner)
    return (
        xyz.astype(np.float32),
        face.astype(np.int32),
        np.concatenate([category, category, np.full(2 * count, CEILING)]).astype(np.int32),
        np.concatenate([instance, instance, np.full(2 * count, 9)]).astype(np.int32),
    )


def write_region(path: Path, xyz, rgb, face, category, instance) -> None:
    """Binary PLY with the properties of Matterport3D's region meshes."""
    names = [("float", n) for n in ("x", "y", "z", "nx", "ny", "nz", "tx", "ty")]
    names += [("uchar", n) for n in ("red", "green", "blue")]
    head = "ply\nformat binary_little_endian 1.0\n"
    head += f"element vertex {len(xyz)}\n" + "".join(f"property {kind} {n}\n" for kind, n in names)
    head += f"element face {len(face)}\nproperty list uchar int vertex_indices\n"
    head += "".join(f"property int {n}\n" for n in ("material_id", "segment_id", "category_id"))
    body = io.BytesIO()
    for point, colour in zip(xyz, rgb, strict=True):
        body.write(struct.pack("<8f3B", *point, 0, 0, 1, 0, 0, *colour))
    for index, corners in enumerate(face):
        body.write(struct.pack("<B3i3i", 3, *corners, 100 + index, instance[index], category[index]))
    path.write_bytes((head + "end_header\n").encode() + body.getvalue())


def pose(panorama: int, camera: int, yaw: int) -> np.ndarray:
    """f8[4,4]: the canonical camera of a .conf looks along -z with y up."""
    pitch, turn = np.radians(PITCH[camera]), np.radians(60.0 * yaw)
    tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about @ tilt @ LEVEL @ np.diag([1, -1, -1])
    matrix[:3, 3] = [STEP * panorama + 0.5, 0, 0.5]
    return matrix


def write_images(folder: Path, panorama: int, camera: int, yaw: int, rng) -> None:
    color = rng.integers(0, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    files = image_names(panorama, camera, yaw)
    Image.fromarray(color).save(folder / "undistorted_color_images" / files[1], quality=90)
    depth = np.full(SIZE[::-1], 8000, np.uint16)  # 2 m
    depth[0] = 0
    Image.fromarray(depth).save(folder / "undistorted_depth_images" / files[0])


def image_names(panorama: int, camera: int, yaw: int) -> tuple[str, str]:
    return f"{name(panorama)}_d{camera}_{yaw}.png", f"{name(panorama)}_i{camera}_{yaw}.jpg"


def write_conf(path: Path, scans) -> None:
    """Intrinsics stand before the scans of one camera at all yaws, as in the released files."""
    lines = ["dataset matterport", f"n_images {len(scans)}", "depth_directory undistorted_depth_images"]
    lines += ["color_directory undistorted_color_images"]
    last = None
    for panorama, camera, yaw in scans:
        if last != (panorama, camera):
            f = FOCAL[camera]
            lines += ["", f"intrinsics_matrix {f:g} 0 {CENTRE[0]:g}  0 {f:g} {BOTTOM:g}  0 0 1"]
            last = panorama, camera
        values = " ".join(f"{v:g}" for v in pose(panorama, camera, yaw).ravel())
        lines.append(f"scan {' '.join(image_names(panorama, camera, yaw))} {values} ")
    path.write_text("\n".join(lines) + "\n")


def write_house_file(path: Path, regions: int, assigned) -> None:
    """H, L, R, P (a portal), P (panoramas); counts of what is left out are 0."""
    zeros, box = " 0 0 0 0 0", " 0 0 0 1 2 1"
    lines = ["ASCII 1.1", f"H {path.stem} -  0 {len(assigned)} 0 0 0 0 0 {regions} 1 1 {zeros} {box} {zeros}"]
    lines += [f"L 0 {regions} -  0 0 0 {box} {zeros}"]
    lines += [f"R {r} 0 0 0 b  0 0 0 {box}  1 0 0 0 0" for r in range(regions)]
    lines += [f"P 0 0 1 -  {box}  0 0 0 0"]
    lines += [f"P  {name(i)}  {i} {region} 0  0 0 0 {zeros}" for i, region in enumerate(assigned)]
    path.write_text("\n".join(lines) + "\n")


def write_table(path: Path, rows=TABLE) -> None:
    """Those columns of category_mapping.tsv that are read, and some that are not."""
    lines = ["\t".join(HEADER.split())]
    for index, (category, nyu40, nyu) in enumerate(rows, 1):
        lines.append(f"{index}\t{category}\t{category}\t9\t1\t{nyu40}\t7\t{nyu}\tany\t1\tany")
    path.write_text("\n".join(lines))  # the released file ends without a line end
