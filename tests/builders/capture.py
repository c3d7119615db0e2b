"""Tiny captures in the rgbd form, written for tests of every stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement

WIDTH, HEIGHT, FOCAL = 32, 24, 30.0
LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # rotation of a level camera that looks along +y


def write_scan(
    root: Path, scene: str, *, frames: int = 3, seed: int = 0, mesh: bool = True, annotated: bool = True
) -> Path:
    """ROOT/SCENE: a wall one metre high at y = 2 m, seen from y = 0. Returns its folder."""
    rng = np.random.default_rng(seed)
    folder = root / scene
    for name in ("color", "depth", "pose", *(("truth",) if annotated else ())):
        (folder / name).mkdir(parents=True)
    intrinsics = [[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]]
    np.savetxt(folder / "intrinsics.txt", intrinsics)
    for index in range(frames):
        pose = np.eye(4)
        pose[:3, :3] = LEVEL
        pose[:3, 3] = [0.5 + 0.1 * index, 0, 0.5]
        np.savetxt(folder / "pose" / f"{index}.txt", pose)
        color = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(color).save(folder / "color" / f"{index}.png")
        Image.fromarray(np.full((HEIGHT, WIDTH), 2000, np.uint16)).save(folder / "depth" / f"{index}.png")
    xyz, face = grid(6)
    if mesh:
        write_ply(folder / "mesh.ply", xyz, rng.integers(0, 256, (len(xyz), 3), np.uint8), face)
    if annotated:
        np.save(folder / "truth" / "vertex_label.npy", np.zeros(len(xyz), np.int16))
        np.save(folder / "truth" / "vertex_instance.npy", np.zeros(len(xyz), np.int32))
    return folder


def write_splits(root: Path, train: list[str], val: list[str]) -> None:
    (root / "splits").mkdir(parents=True, exist_ok=True)
    (root / "splits" / "train.txt").write_text("".join(f"{scene}\n" for scene in train))
    (root / "splits" / "val.txt").write_text("".join(f"{scene}\n" for scene in val))


def write_scans(root: Path, *, train: list[str], val: list[str]) -> None:
    """A scan of each name, other colours in each, and the splits."""
    for seed, scene in enumerate([*train, *val]):
        write_scan(root, scene, seed=seed)
    write_splits(root, train, val)


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(xyz f4[side^2,3] in the plane y = 2, face i4[2 (side-1)^2,3])."""
    x, z = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    xyz = np.stack([x.ravel(), np.full(side * side, 2.0), z.ravel()], 1).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side], 1)
    upper = np.stack([corner + 1, corner + side + 1, corner + side], 1)
    return xyz, np.concatenate([lower, upper]).astype(np.int32)


def write_ply(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    vertex = np.empty(
        len(xyz), [(n, xyz.dtype) for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")]
    )
    for column, name in enumerate("xyz"):
        vertex[name] = xyz[:, column]
    for column, name in enumerate(("red", "green", "blue")):
        vertex[name] = rgb[:, column]
    faces = np.empty(len(face), [("vertex_indices", "i4", (3,))])
    faces["vertex_indices"] = face
    PlyData([PlyElement.describe(vertex, "vertex"), PlyElement.describe(faces, "face")]).write(path)
