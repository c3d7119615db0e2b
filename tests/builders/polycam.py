"""A generated raw export of Polycam, after "Polycam's data format" in the README of PolyCam/polyform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders.wall import View

ARKIT = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # of a world with z up: y up
FIRST, STEP = 1442008525605, 250000  # microseconds: names of the files


def write_export(
    folder: Path, views: Sequence[View], *, corrected: bool = True, confidence: Sequence[np.ndarray] = ()
) -> list[str]:
    """FOLDER/keyframes; the names of the frames. corrected: with the optimised poses, and others beside them;
    confidence: u1 maps, none by default."""
    ids = [str(FIRST + STEP * index) for index in range(len(views))]
    frames = folder / "keyframes"
    for name in ("images", "cameras", "depth", "confidence", *(("corrected_images",) if corrected else ())):
        (frames / name).mkdir(parents=True)
    for index, (id, view) in enumerate(zip(ids, views, strict=True)):
        height, width = view.rgb.shape[:2]
        save = Image.fromarray(view.rgb).save
        save(frames / "images" / f"{id}.jpg", quality=97, subsampling=0)
        camera = {"fx": view.focal[0], "fy": view.focal[1], "cx": view.centre[0], "cy": view.centre[1]}
        camera |= {"width": width, "height": height, "blur_score": 74.1, "timestamp": int(id)}
        pose = ARKIT @ view.pose
        if corrected:
            save(frames / "corrected_images" / f"{id}.jpg", quality=97, subsampling=0)
            write_camera(frames / "corrected_cameras" / f"{id}.json", camera, pose)
            pose = pose + 0.05 * np.eye(4, k=3)  # the device's own pose has drifted
        write_camera(frames / "cameras" / f"{id}.json", camera, pose)
        millimetres = np.rint(1000 * view.depth).astype(np.uint16)
        Image.fromarray(millimetres).save(frames / "depth" / f"{id}.png")
        if confidence:
            Image.fromarray(confidence[index]).save(frames / "confidence" / f"{id}.png")
    (folder / "mesh_info.json").write_text('{"faceCount": 0}')
    return ids


def write_camera(path: Path, camera: dict, pose: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = {f"t_{row}{column}": pose[row, column] for row in range(3) for column in range(4)}
    path.write_text(json.dumps(camera | rows))
