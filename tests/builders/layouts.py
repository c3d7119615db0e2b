"""Generated recordings in the layouts of data sets and recorders, after their descriptions, which
anyscene.datasets.imports names for each. Views have OpenGL axes; `world` takes the true world to that of the
recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.builders.wall import View

OPENGL = np.diag([1.0, -1, -1, 1])
VIDEO, FIRST = "41254925", 78067.167  # of ARKitScenes: an id, and the time of its first frame
STARTED = 1305031102.175304  # of TUM's recordings, seconds


def turned(
    rotation: Sequence[float] = (0.4, -1.9, 0.8), position: Sequence[float] = (1.0, -2.0, 0.7)
) -> np.ndarray:
    """f8[4,4]: a rigid change of the world, by a rotation vector and a shift."""
    world = np.eye(4)
    world[:3, :3] = Rotation.from_rotvec(rotation).as_matrix()
    world[:3, 3] = position
    return world


def pose_of(view: View, world: np.ndarray | None = None) -> np.ndarray:
    """f8[4,4]: camera to world, OpenCV axes."""
    return (np.eye(4) if world is None else world) @ view.pose @ OPENGL


def matrix_of(view: View, first: float = 0.0) -> np.ndarray:
    """f8[3,3]: intrinsics of the colour image, where the middle of the first pixel is (first, first)."""
    cx, cy = (centre - 0.5 + first for centre in view.centre)
    return np.array([[view.focal[0], 0, cx], [0, view.focal[1], cy], [0, 0, 1]])


def write_color(path: Path, view: View) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(view.rgb).save(
        path, **({"quality": 97, "subsampling": 0} if path.suffix != ".png" else {})
    )


def write_depth(path: Path, depth: np.ndarray, steps: float = 1000.0, nothing: int = 0) -> None:
    """16 bits of `steps` a metre; nothing: what is written where there is no reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.where(depth > 0, np.rint(depth * steps), nothing)
    Image.fromarray(stored.astype(np.uint16)).save(path)


def write_frames(
    folder: Path, views: Sequence[View], world: np.ndarray | None = None, nothing: int = 65535
) -> None:
    """7-Scenes, 3DMatch and tsdf-fusion."""
    for index, view in enumerate(views):
        stem = f"frame-{index:06d}"
        write_color(folder / f"{stem}.color.png", view)
        write_depth(folder / f"{stem}.depth.png", view.depth, nothing=nothing)
        np.savetxt(folder / f"{stem}.pose.txt", pose_of(view, world), fmt="%15.8e", delimiter="\t ")
    np.savetxt(folder / "camera-intrinsics.txt", matrix_of(views[0]), fmt="%15.8e")


def write_tum(
    folder: Path, views: Sequence[View], world: np.ndarray | None = None, *, paired: bool = False
) -> None:
    """TUM's benchmark: 30 images a second, depth 4 ms later, poses every 10 ms. paired: associations.txt
    instead of lists."""
    lists, poses = {"rgb": [], "depth": []}, ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    for index, view in enumerate(views):
        time, pose = STARTED + index / 30, pose_of(view, world)
        for name, at in (("rgb", time), ("depth", time + 0.004)):
            lists[name].append((f"{at:.6f}", f"{name}/{at:.6f}.png"))
        write_color(folder / lists["rgb"][-1][1], view)
        write_depth(folder / lists["depth"][-1][1], view.depth, 5000.0)
        quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
        values = " ".join(f"{value:.6f}" for value in (*pose[:3, 3], *quaternion))
        poses += [f"{time + shift:.4f} {values}" for shift in (-0.0062, 0.0038)]
    (folder / "groundtruth.txt").write_text("\n".join(poses) + "\n")
    (folder / "calibration.txt").write_text(
        " ".join(str(matrix_of(views[0])[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    )
    if paired:
        lines = [
            " ".join((*color, *depth)) for color, depth in zip(lists["rgb"], lists["depth"], strict=True)
        ]
        (folder / "associations.txt").write_text("\n".join(lines) + "\n")
        return
    for name, images in lists.items():
        lines = ["# color images", "# timestamp filename", *(" ".join(image) for image in images)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_replica(folder: Path, views: Sequence[View], world: np.ndarray | None = None) -> None:
    """Replica of iMAP and NICE-SLAM."""
    lines = []
    for index, view in enumerate(views):
        write_color(folder / "results" / f"frame{index:06d}.jpg", view)
        write_depth(folder / "results" / f"depth{index:06d}.png", view.depth, 6553.5)
        lines.append(" ".join(f"{value:.18e}" for value in pose_of(view, world).ravel()))
    (folder / "traj.txt").write_text("\n".join(lines) + "\n")
    (fx, _, cx), (_, fy, cy), _ = matrix_of(views[0]).tolist()
    height, width = views[0].rgb.shape[:2]
    camera = {"w": width, "h": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy, "scale": 6553.5}
    (folder.parent / "cam_params.json").write_text(json.dumps({"camera": camera}))


def write_open3d(
    folder: Path, views: Sequence[View], world: np.ndarray | None = None, *, depth_scale: float | None = None
) -> None:
    """Open3D: of Azure Kinect, or with depth_scale of RealSense's RSBagReader."""
    lines = []
    for index, view in enumerate(views):
        write_color(folder / "color" / f"{index:05d}.jpg", view)
        write_depth(folder / "depth" / f"{index:05d}.png", view.depth, depth_scale or 1000.0)
        lines.append(f"{index} {index} {index + 1}")
        lines += [" ".join(f"{value:.12g}" for value in row) for row in pose_of(view, world)]
    (folder / "scene").mkdir()
    (folder / "scene" / "trajectory.log").write_text("\n".join(lines) + "\n")
    height, width = views[0].rgb.shape[:2]
    intrinsic = {"width": width, "height": height, "intrinsic_matrix": matrix_of(views[0]).T.ravel().tolist()}
    intrinsic |= {"serial_number": "0001", "stream_length_usec": 1000000}
    if depth_scale is not None:
        intrinsic["depth_scale"] = depth_scale
    (folder / "intrinsic.json").write_text(json.dumps(intrinsic, indent=4))


def write_nerfstudio(folder: Path, views: Sequence[View], world: np.ndarray | None = None) -> None:
    """transforms.json with intrinsics of each frame, and depth in millimetres."""
    frames = []
    for index, view in enumerate(views):
        height, width = view.rgb.shape[:2]
        color, depth = f"images/{index:05d}.jpg", f"depth/{index:05d}.png"
        write_color(folder / color, view)
        write_depth(folder / depth, view.depth)
        (fx, fy), (cx, cy) = view.focal, view.centre
        camera = {"w": width, "h": height, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        matrix = (pose_of(view, world) @ OPENGL).tolist()
        frames.append({"file_path": color, "depth_file_path": depth, "transform_matrix": matrix, **camera})
    (folder / "transforms.json").write_text(json.dumps({"camera_model": "OPENCV", "frames": frames}))


def write_arkitscenes(
    folder: Path,
    views: Sequence[View],
    world: np.ndarray | None = None,
    *,
    confidence: Sequence[np.ndarray] = (),
) -> list[str]:
    """ARKitScenes, of images at 10 Hz; the times in the names."""
    lines, times = [], [f"{FIRST + index / 10:.3f}" for index in range(len(views))]
    for index, (time, view) in enumerate(zip(times, views, strict=True)):
        write_color(folder / "lowres_wide" / f"{VIDEO}_{time}.png", view)
        write_depth(folder / "lowres_depth" / f"{VIDEO}_{time}.png", view.depth)
        (fx, _, cx), (_, fy, cy), _ = matrix_of(view).tolist()
        height, width = view.rgb.shape[:2]
        camera = folder / "lowres_wide_intrinsics" / f"{VIDEO}_{float(time) + (index % 2) / 1000:.3f}.pincam"
        camera.parent.mkdir(exist_ok=True)
        camera.write_text(f"{width} {height} {fx} {fy} {cx} {cy}")
        seen = np.linalg.inv(pose_of(view, world))
        vector = Rotation.from_matrix(seen[:3, :3]).as_rotvec()
        lines.append(" ".join(str(value) for value in (float(time) + 2e-5, *vector, *seen[:3, 3])))
        if confidence:
            (folder / "confidence").mkdir(exist_ok=True)
            Image.fromarray(confidence[index]).save(folder / "confidence" / f"{VIDEO}_{time}.png")
    (folder / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    return times


def write_colmap_text(
    folder: Path, views: Sequence[View], names: Sequence[str], model: str, distortion: Sequence[float]
) -> None:
    """cameras.txt of one camera, and images.txt."""
    folder.mkdir(parents=True)
    height, width = views[0].rgb.shape[:2]
    values = (*views[0].focal, *views[0].centre, *distortion)
    (folder / "cameras.txt").write_text(
        f"# Camera list\n1 {model} {width} {height} {' '.join(map(str, values))}\n"
    )
    lines = ["# Image list with two lines of data per image:"]
    for index, (view, name) in enumerate(zip(views, names, strict=True)):
        seen = np.linalg.inv(pose_of(view))
        x, y, z, w = Rotation.from_matrix(seen[:3, :3]).as_quat()
        lines += [" ".join(map(str, (index + 1, w, x, y, z, *seen[:3, 3], 1, name))), ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def write_scannetpp_iphone(
    scene: Path, views: Sequence[View], distortion: Sequence[float] = (0, 0, 0, 0)
) -> list[str]:
    """ScanNet++ by its iPhone, its video extracted, every tenth frame registered; the names of the frames.
    pose_intrinsic_imu.json has one frame more, of which there is no image."""
    names = [f"frame_{10 * index:06d}" for index in range(len(views))]
    for name, view in zip(names, views, strict=True):
        write_color(scene / "iphone" / "rgb" / f"{name}.jpg", view)
        write_depth(scene / "iphone" / "depth" / f"{name}.png", view.depth)
    write_colmap_text(
        scene / "iphone" / "colmap", views, [f"{name}.jpg" for name in names], "OPENCV", distortion
    )
    said = {
        name: {
            "aligned_pose": pose_of(view).tolist(),
            "pose": (turned() @ pose_of(view)).tolist(),
            "intrinsic": matrix_of(view).tolist(),
        }
        for name, view in zip([*names, "frame_000999"], [*views, views[0]], strict=True)
    }
    (scene / "iphone" / "pose_intrinsic_imu.json").write_text(json.dumps(said))
    return names


def write_scannetpp_dslr(scene: Path, views: Sequence[View], distortion: Sequence[float]) -> list[str]:
    """ScanNet++ by its camera, of views of a fisheye; the names of the frames."""
    names = [f"DSC{4500 + index:05d}" for index in range(len(views))]
    for name, view in zip(names, views, strict=True):
        write_color(scene / "dslr" / "resized_images" / f"{name}.JPG", view)
    files = [f"{name}.JPG" for name in names]
    write_colmap_text(scene / "dslr" / "colmap", views, files, "OPENCV_FISHEYE", distortion)
    return names


def write_sunrgbd(folder: Path, view: View) -> np.ndarray:
    """SUN RGB-D, one view; returns f8[4,4], what takes the true world to its own, that of the camera."""
    name = "0000001"
    write_color(folder / "image" / f"{name}.jpg", view)
    millimetres = np.rint(1000 * view.depth).astype(np.uint16)
    for place in ("depth", "depth_bfx"):
        (folder / place).mkdir(parents=True)
        Image.fromarray((millimetres << 3) | (millimetres >> 13)).save(folder / place / f"{name}.png")
    (folder / "intrinsics.txt").write_text(
        " ".join(str(value) for value in matrix_of(view, first=1.0).ravel())
    )
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # from z up to x right, y down, z ahead
    tilt = level @ pose_of(view)[:3, :3]
    (folder / "extrinsics").mkdir()
    np.savetxt(folder / "extrinsics" / "20140808220511.txt", np.column_stack([tilt, np.zeros(3)]), fmt="%.6f")
    world = np.eye(4)
    world[:3, 3] = -view.pose[:3, 3]
    return world
