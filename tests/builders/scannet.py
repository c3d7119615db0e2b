"""Miniature scans in the on-disk form of ScanNet v2, written field by field from the descriptions of its
formats (ScanNet's README.md and SensReader/README.md), without any code of the reader under test."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders.capture import LEVEL, grid

COLOR, DEPTH = (48, 36), (32, 24)  # width, height
FOCAL = 30.0  # of the depth camera
LOST = np.full((4, 4), -np.inf)
TURN = np.array([[0.8, -0.6, 0, 1.5], [0.6, 0.8, 0, -2], [0, 0, 1, 0.25], [0, 0, 0, 1]])
SEGMENT = {"left": 7, "right": 3, "top": 11}  # of the wall's vertices
OBJECTS = (("chair", ["left"]), ("kitchen cabinet", ["right"]))
TABLE = (  # category, id, NYU40 id
    ("wall", 1, 1), ("chair", 2, 5), ("kitchen cabinet", 29, 3), ("office chair", 13, 5), ("bag", 44, 37),
)  # fmt: skip


def write_root(root: Path, *scenes: str, **options) -> Path:
    """ROOT/scans/SCENE and the table of categories beside it, as download-scannet.py leaves them."""
    scans = root / "scans"
    for seed, scene in enumerate(scenes):
        write_scan(scans, scene, seed=seed, **options)
    write_table(root / "scannetv2-labels.combined.tsv", TABLE)
    return scans


def write_scan(
    root: Path, scene: str, *, frames: int = 6, lost=(4,), seed: int = 0, annotated: bool = True
) -> Path:
    """ROOT/SCENE: that of builders.capture, seen by `frames` frames, some of them without a pose."""
    folder = root / scene
    folder.mkdir(parents=True)
    images = make_frames(frames, lost, seed)
    write_sens(folder / f"{scene}.sens", images)
    xyz, face = grid(6)
    rgb = np.random.default_rng(seed).integers(0, 256, (len(xyz), 3), np.uint8)
    write_ply(folder / f"{scene}_vh_clean_2.ply", xyz, rgb, face)
    values = " ".join(f"{v:.6f}" for v in TURN.ravel())
    (folder / f"{scene}.txt").write_text(
        f"appVersionId = 205\naxisAlignment = {values}\nsceneType = Bedroom\n"
    )
    if annotated:
        write_annotation(folder)
    return folder


def make_frames(count: int, lost=(), seed: int = 0) -> list[dict]:
    """Colour u1[36,48,3] encoded as JPEG, depth u2[24,32], pose f4[4,4] of each frame."""
    rng, frames = np.random.default_rng(seed), []
    for index in range(count):
        pose = np.eye(4)
        pose[:3, :3] = LEVEL
        pose[:3, 3] = [0.5 + 0.02 * index, 0, 0.5]
        stream = io.BytesIO()
        color = rng.integers(0, 256, (COLOR[1] // 6, COLOR[0] // 6, 3), np.uint8).repeat(6, 0).repeat(6, 1)
        Image.fromarray(color).save(stream, "JPEG", quality=90, subsampling=0)
        depth = rng.integers(1990, 2011, (DEPTH[1], DEPTH[0])).astype(np.uint16)
        depth[0, : index + 1] = 0  # no reading
        pose = LOST if index in lost else pose
        frames.append({"color": stream.getvalue(), "depth": depth, "pose": pose.astype(np.float32)})
    return frames


def intrinsics(size: tuple[int, int]) -> np.ndarray:
    """f4[4,4] of images with the depth camera's field of view."""
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 0] = matrix[1, 1] = FOCAL * size[0] / DEPTH[0]
    matrix[:2, 2] = (size[0] - 1) / 2, (size[1] - 1) / 2
    return matrix


def write_sens(
    path: Path, frames: list[dict], *, version: int = 4, codecs=(2, 1), shift: float = 1000.0
) -> None:
    """SensReader/README.md, member by member; size_t and time stamps are UINT64."""
    with path.open("wb") as file:
        name = b"StructureSensor"
        file.write(struct.pack("<I", version) + struct.pack("<Q", len(name)) + name)
        for matrix in (intrinsics(COLOR), np.eye(4), intrinsics(DEPTH), np.eye(4)):
            file.write(struct.pack("<16f", *np.asarray(matrix).ravel()))
        file.write(struct.pack("<ii", *codecs))
        file.write(struct.pack("<IIII", *COLOR, *DEPTH))
        file.write(struct.pack("<f", shift))
        file.write(struct.pack("<Q", len(frames)))
        for index, frame in enumerate(frames):
            depth = zlib.compress(frame["depth"].astype("<u2").tobytes())
            file.write(struct.pack("<16f", *frame["pose"].ravel()))
            file.write(struct.pack("<QQ", 33_333 * index, 33_333 * index + 7))
            file.write(struct.pack("<QQ", len(frame["color"]), len(depth)))
            file.write(frame["color"])
            file.write(depth)
        file.write(struct.pack("<Q", 2))
        for index in range(2):
            file.write(struct.pack("<15d", *range(15)) + struct.pack("<Q", index))


def write_extracted(folder: Path, frames: list[dict], every: int = 1) -> None:
    """color/, depth/, pose/ and intrinsic/ as SensReader's export leaves them."""
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir()
    for index in range(0, len(frames), every):
        frame = frames[index]
        (folder / "color" / f"{index}.jpg").write_bytes(frame["color"])
        Image.fromarray(frame["depth"]).save(folder / "depth" / f"{index}.png")
        np.savetxt(folder / "pose" / f"{index}.txt", frame["pose"], fmt="%f")
    for camera, size in (("color", COLOR), ("depth", DEPTH)):
        np.savetxt(folder / "intrinsic" / f"intrinsic_{camera}.txt", intrinsics(size), fmt="%f")
        np.savetxt(folder / "intrinsic" / f"extrinsic_{camera}.txt", np.eye(4), fmt="%f")


def segment_of_vertices() -> np.ndarray:
    """i8[36] of the wall: its upper row, and the left and the right of what is below."""
    xyz, _ = grid(6)
    side = np.where(xyz[:, 0] < 0.5, SEGMENT["left"], SEGMENT["right"])
    return np.where(xyz[:, 2] > 0.99, SEGMENT["top"], side)


def write_annotation(folder: Path, objects=OBJECTS) -> None:
    """segs.json, aggregation.json and labels.ply, as their descriptions have them."""
    scene, segment = folder.name, segment_of_vertices()
    (folder / f"{scene}_vh_clean_2.0.010000.segs.json").write_text(
        json.dumps(
            {
                "params": {"kThresh": "0.0001", "segMinVerts": "20"},
                "sceneId": scene,
                "segIndices": segment.tolist(),
            }
        )
    )
    groups = [
        {"id": i, "objectId": i, "segments": [SEGMENT[name] for name in names], "label": label}
        for i, (label, names) in enumerate(objects)
    ]
    (folder / f"{scene}.aggregation.json").write_text(
        json.dumps(
            {
                "sceneId": f"scannet.{scene}",
                "appId": "Aggregator.v2",
                "segGroups": groups,
                "segmentsFile": f"scannet.{scene}_vh_clean_2.0.010000.segs.json",
            }
        )
    )
    nyu40 = {name: value for name, _, value in TABLE}
    label = np.zeros(len(segment), np.uint16)
    for category, names in objects:
        label[np.isin(segment, [SEGMENT[name] for name in names])] = nyu40[category]
    xyz, face = grid(6)
    write_ply(folder / f"{scene}_vh_clean_2.labels.ply", xyz, np.zeros((len(xyz), 3), np.uint8), face, label)


def write_ply(path: Path, xyz, rgb, face, label: np.ndarray | None = None) -> None:
    """Binary little-endian PLY with the properties of ScanNet's: alpha after the colours, then the label."""
    names = [("float", n) for n in "xyz"] + [("uchar", n) for n in ("red", "green", "blue", "alpha")]
    names += [] if label is None else [("ushort", "label")]
    head = "ply\nformat binary_little_endian 1.0\ncomment MLIB generated\n"
    head += f"element vertex {len(xyz)}\n" + "".join(f"property {kind} {name}\n" for kind, name in names)
    head += f"element face {len(face)}\nproperty list uchar int vertex_indices\nend_header\n"
    body = io.BytesIO()
    for i in range(len(xyz)):
        body.write(struct.pack("<3f4B", *xyz[i], *rgb[i], 255))
        body.write(b"" if label is None else struct.pack("<H", label[i]))
    for corners in face:
        body.write(struct.pack("<B3i", 3, *corners))
    path.write_bytes(head.encode() + body.getvalue())


def write_table(path: Path, rows) -> None:
    """Those columns of scannetv2-labels.combined.tsv that are read, and some that are not."""
    lines = ["id\traw_category\tcategory\tcount\tnyu40id\teigen13id\tnyuClass\tnyu40class"]
    lines += [f"{id}\t{name}\t{name}\t9\t{nyu40}\t12\t{name}\tany" for name, id, nyu40 in rows]
    path.write_text("\n".join(lines) + "\n")
