"""A generated capture in nerfstudio's form, after its "Data conventions", of the wall."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders.wall import CENTRE, FOCAL, HEIGHT, WIDTH, render


def write_capture(
    folder: Path, poses, *, size=(WIDTH, HEIGHT), distortion=None, depth_size=None, exif=None, npy=False,
    unit=1.0, steps=1000.0,
) -> Path:  # fmt: skip
    """FOLDER with transforms.json. size: of the stored colour; depth_size: of depth, None = as colour; exif:
    the stored pixels lie turned by this orientation; unit: metres of a unit of the poses; steps: a metre."""
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    frames = []
    for index, pose in enumerate(poses):
        rgb, _ = render(pose, size, distortion)
        _, depth = render(pose, depth_size or size, distortion)
        name = f"images/frame_{index + 1:05d}.png"
        image = Image.fromarray(rgb)
        tags = image.getexif()
        if exif is not None:  # 6: shown turned to the right by a quarter
            image, tags[0x0112] = Image.fromarray(np.rot90(rgb)), exif
        image.save(folder / name, exif=tags)
        stored = f"depth/frame_{index + 1:05d}." + ("npy" if npy else "png")
        if npy:
            np.save(folder / stored, depth.astype(np.float32))
        else:
            Image.fromarray(np.rint(depth * steps).astype(np.uint16)).save(folder / stored)
        matrix = pose.copy()
        matrix[:3, 3] /= unit
        frames.append({"file_path": name, "depth_file_path": stored, "transform_matrix": matrix.tolist()})
    camera = {"camera_model": "OPENCV", "fl_x": FOCAL, "fl_y": FOCAL, "cx": CENTRE[0], "cy": CENTRE[1]}
    content = {**camera, "w": WIDTH, "h": HEIGHT, **(distortion or {}), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def change(folder: Path, frame: int | None = None, **values) -> None:
    """transforms.json with other values, of one frame or of all; None takes a value away."""
    content = json.loads((folder / "transforms.json").read_text())
    place = content if frame is None else content["frames"][frame]
    place |= values
    for name in [name for name, value in values.items() if value is None]:
        del place[name]
    (folder / "transforms.json").write_text(json.dumps(content))
