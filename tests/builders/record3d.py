"""Generated recordings of Record3D, as its author describes them (its issues 7, 27 and 53)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.builders.wall import View


def write_video(
    path: Path,
    views: Sequence[View],
    compress: Callable[[bytes], bytes],
    *,
    confidence: Sequence[np.ndarray] = (),
    each: bool = True,
    without: Sequence[str] = (),
    **metadata: object,
) -> np.ndarray:
    """PATH, an .r3d; returns f8[4,4], what takes the true world to its own, that of the first camera.

    compress: LZFSE; confidence: u1 maps 0..2; each: intrinsics of each frame, else of all; without: files
    that are left out; metadata: other values, None takes one away."""
    world, content = _metadata(views, each, metadata)
    files = {"metadata": content, "icon": b""}
    for number, view in enumerate(views):
        files[f"rgbd/{number}.jpg"] = _jpeg(view)
        files[f"rgbd/{number}.depth"] = compress(view.depth.astype("<f4").tobytes())
        if confidence:
            files[f"rgbd/{number}.conf"] = compress(confidence[number].tobytes())
    with zipfile.ZipFile(path, "w") as archive:
        for name in files.keys() - set(without):
            archive.writestr(name, files[name])
    return world


def write_sequence(
    folder: Path, views: Sequence[View], *, png: bool = False, each: bool = True, **metadata: object
) -> np.ndarray:
    """FOLDER, an export "EXR + JPG sequence"; returns as `write_video`. png: colour as some tools have it."""
    world, content = _metadata(views, each, metadata)
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    (folder / "metadata.json").write_bytes(content)
    for number, view in enumerate(views):
        if png:
            Image.fromarray(view.rgb).save(folder / "rgb" / f"{number}.png")
        else:
            (folder / "rgb" / f"{number}.jpg").write_bytes(_jpeg(view))
        write_exr(folder / "depth" / f"{number}.exr", {"R": view.depth.astype(np.float32)})
    return world


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def _metadata(views: Sequence[View], each: bool, other: dict[str, object]) -> tuple[np.ndarray, bytes]:
    """(what takes the true world to that of the first camera, the JSON)."""
    world = np.linalg.inv(views[0].pose)
    poses = [world @ view.pose for view in views]
    quaternions = Rotation.from_matrix([pose[:3, :3] for pose in poses]).as_quat()
    first, content = views[0], {}
    content["w"], content["h"] = first.rgb.shape[1], first.rgb.shape[0]
    content["dw"], content["dh"] = first.depth.shape[1], first.depth.shape[0]
    content["K"] = [first.focal[0], 0, 0, 0, first.focal[1], 0, *first.centre, 1]
    content["fps"], content["initPose"] = 60, [0, 0, 0, 1, 0, 0, 0]
    content["poses"] = [[*q, *pose[:3, 3]] for q, pose in zip(quaternions.tolist(), poses, strict=True)]
    if each:
        content["perFrameIntrinsicCoeffs"] = [[*view.focal, *view.centre] for view in views]
    content = {name: value for name, value in (content | other).items() if value is not None}
    return world, json.dumps(content).encode()


def _jpeg(view: View) -> bytes:
    image = io.BytesIO()
    Image.fromarray(view.rgb).save(image, "JPEG", quality=97, subsampling=0)
    return image.getvalue()
