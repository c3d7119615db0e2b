"""Scans, exports, meshes and clouds, as `anyscene query` and `anyscene features` open them, and data sets as
the stages `scenes` and `labels` import them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import anyscene
from anyscene.datasets import ply
from anyscene.datasets.import_labels import import_labels
from anyscene.datasets.import_scenes import import_scenes
from anyscene.datasets.imports import ExportOptions, direction
from anyscene.project import store
from anyscene.project.freshness import Freshness
from benchmarks.quality.fuzz.kind import Answer, Kind
from tests.builders import (
    capture,
    clouds_of_other_tools,
    colmap,
    coloured_room,
    layouts,
    matterport,
    nerfstudio,
    nuscenes,
    polycam,
    record3d,
    scannet,
)
from tests.builders.miniature import Spelling
from tests.builders.project import Project
from tests.builders.wall import DISTORTION, rolled, views

POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=5.0))
COUNTED = frozenset({"cut", "empty", "noise"})  # what a format with lengths in it must notice
WITH_LENGTHS = (".ply", ".glb", ".stl", ".las", ".laz", ".e57", ".npy")
UP = ExportOptions(up=direction("z"))
OF_COLMAP = ExportOptions(scale=colmap.UNIT, up=direction(colmap.up_of(colmap.arbitrary())))


def _opened(name: str, options: ExportOptions, folder: Path) -> Answer:
    cloud = anyscene.open(folder / name, options=options, encoder=Spelling())
    answer: dict[str, object] = {"points": cloud.points, "colours": cloud.colours, "normals": cloud.normals}
    return answer | {"faces": cloud.faces, "superpoints": cloud.superpoints, "world": cloud.world}


def _geometry(ending: str) -> Kind:
    """A mesh or a cloud of a room in a file."""

    def write(folder: Path) -> None:
        xyz, face = coloured_room.mesh(0.5)
        rgb = coloured_room.colour(xyz)
        if ending == ".npy":
            np.save(folder / "room.npy", np.column_stack([xyz, rgb]))
        elif ending == ".ply":
            ply.write_mesh(folder / "room.ply", xyz.astype(np.float32), rgb, face.astype(np.int32))
        elif ending == ".pts":
            clouds_of_other_tools.write_text(folder / "room.pts", xyz, rgb, face)
            lines = (folder / "room.pts").read_text()
            (folder / "room.pts").write_text(f"{len(xyz)}\n{lines}")
        else:
            written = clouds_of_other_tools.WRITERS[".xyz" if ending == ".txt" else ending]
            written(folder / f"room{ending}", xyz, rgb, face)

    told = (
        COUNTED if ending in (".ply", ".glb", ".stl", ".las", ".laz", ".e57", ".npy", ".pts") else frozenset()
    )
    return Kind(f"geometry {ending}", write, partial(_opened, f"room{ending}", UP), told=told)


def _text_ply(folder: Path) -> None:
    xyz, face = coloured_room.mesh(0.5)
    vertices = np.column_stack([xyz, coloured_room.colour(xyz)])
    head = ["ply", "format ascii 1.0", f"element vertex {len(xyz)}"]
    head += [f"property float {axis}" for axis in "xyz"]
    head += [f"property uchar {name}" for name in ("red", "green", "blue")]
    head += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header"]
    rows = [" ".join(f"{value:g}" for value in row) for row in vertices]
    rows += [f"3 {' '.join(map(str, row))}" for row in face]
    (folder / "room.ply").write_text("\n".join([*head, *rows]) + "\n")


def _zipped(folder: Path) -> None:
    _geometry(".obj").write(folder)
    with zipfile.ZipFile(folder / "room.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "room.obj", "room.obj")
    (folder / "room.obj").unlink()


def _export(
    name: str, write: Callable[[Path], object], options: ExportOptions | None = None, at: str = "in"
) -> Kind:
    return Kind(f"export {name}", write, partial(_opened, at, options or ExportOptions()))


def _arkitscenes(folder: Path) -> None:
    sure = [np.full((32, 48), 2, np.uint8)] * 3
    layouts.write_arkitscenes(folder / layouts.VIDEO, views(POSES, depth_size=(48, 32)), confidence=sure)


def _record3d(folder: Path) -> None:
    import lzfse

    sure = [np.full((32, 48), 2, np.uint8)] * 3
    seen = views(POSES, depth_size=(48, 32))
    record3d.write_video(folder / "in.r3d", seen, lzfse.compress, confidence=sure)


def _polycam(folder: Path) -> None:
    sure = [np.full((32, 48), 255, np.uint8)] * 3
    polycam.write_export(folder / "in", views(POSES, depth_size=(48, 32)), confidence=sure)


def _scannetpp(folder: Path) -> None:
    layouts.write_scannetpp_iphone(
        folder / "in", views(POSES, distortion=DISTORTION), list(DISTORTION.values())
    )


def _scannetpp_fisheye(folder: Path) -> None:
    bent = (0.02, -0.01, 0.003, 0.0)
    layouts.write_scannetpp_dslr(folder / "in", views(POSES, fisheye=bent), bent)
    xyz, face = capture.grid(6)
    (folder / "in/scans").mkdir()
    mesh = folder / "in/scans/mesh_aligned_0.05.ply"
    capture.write_ply(mesh, xyz, np.zeros((len(xyz), 3), np.uint8), face)


def _dataset(name: str, write: Callable[[Path], object], **section: str) -> Kind:
    """A data set with the root `raw`, imported with its annotation."""

    def project(folder: Path) -> None:
        changes = {"root": section.pop("root", "raw"), "name": name, "reader": name, **section}
        # the small scans of some contradict themselves: all their images see 2 m
        Project.create(folder, dataset=changes, scenes={"contradictions": "warn"})
        write(folder / "raw")

    return Kind(f"data set {name}", project, _imported, ("raw/**/*",))


def _imported(folder: Path) -> Answer:
    params = Project(folder).params
    fresh = Freshness("")
    import_scenes(params, fresh)
    answer: dict[str, object] = {}
    for scene in store.scene_ids(folder / "data/scenes"):
        path = store.scene_path(folder / "data/scenes", scene)
        found = store.read_scene(path, folder / params.dataset.root)
        answer[f"{scene} frames"] = [(frame.id, frame.camera.pose.tolist()) for frame in found.frames]
        for name in ("xyz", "rgb", "normal", "face"):
            answer[f"{scene} {name}"] = getattr(found, name)
        for frame in found.frames:
            answer[f"{scene} {frame.id} colour"] = frame.read_color()
            depth = frame.read_depth()
            answer[f"{scene} {frame.id} depth"] = 0 if depth is None else depth
    import_labels(params, fresh)
    for scene in store.scene_ids(folder / "data/labels"):
        group = store.open_scene(store.scene_path(folder / "data/labels", scene))
        answer |= {f"{scene} {name}": group[name][:] for name in ("label", "instance")}
    return answer


def _rgbd(folder: Path) -> None:
    capture.write_scans(folder, train=["hall"], val=["kitchen"])


def _scannet(folder: Path) -> None:
    scannet.write_root(folder, "scene0000_00", "scene0011_00", frames=3, lost=(1,))


def _matterport(folder: Path) -> None:
    matterport.write_root(folder, "17DRP5sb8fy", regions=1, assigned=(0,))


def _nuscenes(folder: Path) -> None:
    nuscenes.write_root(folder, "scene-0061", "scene-0103", keyframes=1)


KINDS = (
    *(_geometry(one) for one in (".ply", ".npy", ".pts", ".txt", *clouds_of_other_tools.WRITERS)),
    Kind("geometry .ply in text", _text_ply, partial(_opened, "room.ply", UP)),
    Kind("geometry .zip", _zipped, partial(_opened, "room.zip", UP), told=COUNTED),
    _export("scan", lambda folder: coloured_room.write_scan(folder / "in", 4)),
    _export("scan with a mesh", lambda folder: capture.write_scan(folder, "in")),
    _export("polycam", _polycam),
    _export("record3d", _record3d, ExportOptions(up=direction("y")), "in.r3d"),
    _export(
        "nerfstudio",
        lambda folder: nerfstudio.write_capture(folder / "in", POSES, distortion=DISTORTION),
        ExportOptions(1.0, 0.001, direction("z")),
    ),
    _export(
        "nerfstudio with .npy",
        lambda folder: nerfstudio.write_capture(folder / "in", POSES, npy=True),
        ExportOptions(1.0, 1.0, direction("z")),
    ),
    *(
        _export(
            f"colmap {'binary' if binary else 'text'}",
            lambda folder, binary=binary: colmap.write_workspace(
                folder / "in", views(POSES), colmap.arbitrary(), binary=binary
            ),
            OF_COLMAP,
        )
        for binary in (True, False)
    ),
    _export("arkitscenes", _arkitscenes, at=layouts.VIDEO),
    _export("tum", lambda folder: layouts.write_tum(folder / "in", views(POSES))),
    _export("tum in pairs", lambda folder: layouts.write_tum(folder / "in", views(POSES), paired=True)),
    _export("replica", lambda folder: layouts.write_replica(folder / "in", views(POSES))),
    _export("open3d", lambda folder: layouts.write_open3d(folder / "in", views(POSES))),
    _export("frames", lambda folder: layouts.write_frames(folder / "in", views(POSES))),
    _export("scannetpp", _scannetpp),
    _export("scannetpp fisheye", _scannetpp_fisheye),
    _export("sunrgbd", lambda folder: layouts.write_sunrgbd(folder / "in", views(POSES)[0])),
    _dataset("rgbd", _rgbd),
    _dataset("scannet", _scannet, root="raw/scans"),
    _dataset("matterport", _matterport, root="raw/scans", label_set="matterport21"),
    _dataset("nuscenes", _nuscenes, label_set="nuscenes16"),
)
