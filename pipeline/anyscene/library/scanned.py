"""What a person has (a capture, a mesh, a cloud, a scene that lies alone) -> a Scene."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from anyscene.arrays import Array
from anyscene.datasets import contradictions, imports, left_out, placement, raw_files
from anyscene.datasets.geometry import colours, formats
from anyscene.datasets.geometry.normals import cloud_normals, vertex_normals
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.placement import Said
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError, StoreError
from anyscene.project import store
from anyscene.project.parameters import Params
from anyscene.scene import Scene, inverse, moved, turned

NOTHING_SAID = ExportOptions()
UPRIGHT = Said(up=np.array([0.0, 0.0, 1.0]))  # of points whose z is up
MESH = "mesh.ply"  # of a scan; a folder that holds it and no images is a mesh
ARCHIVE = ".zip"
OTHERS = {".txt", ".npy"}  # endings that a folder holds for other reasons too


@contextmanager
def as_scene(
    path: Path,
    settings: Params,
    exporter: str | None = None,
    options: ExportOptions = NOTHING_SAID,
    mesh: Path | None = None,
    every: int = 1,
    show_progress: bool = False,
) -> Iterator[tuple[Scene, str]]:
    """A context with (the scene, what a person should know about how it was imported). The images of its
    frames are there as long as the context lasts.

    path: a scan or an export, as for `imports.as_scan`; a file of a mesh or a cloud (`geometry.formats`); a
    folder or a .zip that holds one of these and no images of a scan; or an artefact of data/scenes, whose
    frames are left out. exporter, options, mesh, every: what an export does not say itself; of a scan, a mesh
    or a cloud `options` may give the scale, which direction is up and what becomes of walls. show_progress:
    on stderr, while its frames are read. Raises DataError
    naming the file that is wrong, also where depth maps contradict each other, and StoreError for an artefact
    without points."""
    if path.suffix == store.SUFFIX and path.is_dir():
        imports.refuse(exporter, options, mesh, every, because=f"{path} is an artefact")
        yield _stored(path), ""
        return
    with _bare(path) as file:
        if file is not None:
            imports.refuse(
                exporter, replace(options, scale=None, up=None, walls=None), mesh, every, "it has no images"
            )
            name = path.stem if path.is_file() else path.resolve().name
            yield _read(file, name, options)
            return
    refuse = settings.scenes.contradictions == "refuse" and not options.anyway
    options = replace(options, anyway=not refuse)
    with imports.as_scan(path, exporter, options, mesh, every, show_progress) as (folder, summary):
        if summary is not None:  # depth was checked when it was imported
            scene = _scans_beside(folder, settings, Said(), show_progress).read(folder.name)
            more = [remark for remark in scene.remarks if remark not in summary.remarks]
            more = [remark.replace(str(folder), str(path)) for remark in more]  # what a person gave
            yield scene, "\n".join([str(summary), *more])
            return
        said = Said(options.scale, options.up, walls=options.walls)
        scans = _scans_beside(folder, settings, said, show_progress)
        scene, findings = contradictions.read(scans, folder.resolve().name, refuse)
        lines = [left_out.summary(scene.lost, len(scene.frames) + len(scene.lost))] if scene.lost else []
        lines += [str(findings)] if findings.record() else []
        yield scene, "\n".join([*lines, *scene.remarks])


def _scans_beside(folder: Path, settings: Params, said: Said, show_progress: bool) -> Rgbd:
    """The scans in the folder that holds `folder`, which is one in the rgbd form. said: of its world."""
    section = settings.scenes
    return Rgbd(
        folder.resolve().parent,
        settings.dataset.name,
        section.frame_stride,
        section.voxel,
        farthest=section.farthest,
        said=said,
        show_progress=show_progress,
    )


def _stored(path: Path) -> Scene:
    group = store.open_scene(path)
    if "xyz" not in group:
        raise StoreError(f"{path}: has no points; put it where it was, beside data/scenes, or open that")
    xyz, rgb, normal, face = (group[name][:] for name in ("xyz", "rgb", "normal", "face"))
    said = replace(UPRIGHT, scale=1.0, walls="keep", world=store.world(group))
    return of_points(path, path.name.removesuffix(store.SUFFIX), xyz, rgb, normal, face, said)


@contextmanager
def _bare(path: Path) -> Iterator[Path | None]:
    """A context with the file of a mesh or a cloud without images; None where `path` is something else."""
    if formats.is_known(path):
        yield path
    elif imports.scan_in_archive(path) is not None:
        yield None
    elif path.suffix.lower() == ARCHIVE and path.is_file() and not imports.is_export(path):
        with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
            try:
                zipfile.ZipFile(path).extractall(temporary)
            except raw_files.UNREADABLE as error:
                raise DataError(f"{path}: not a readable archive ({error}); export it again") from error
            yield _only_mesh(Path(temporary), path)
    elif path.is_dir() and not (path / "color").is_dir() and not imports.is_export(path):
        yield path / MESH if (path / MESH).is_file() else _only_mesh(path, path)
    else:
        yield None


def _only_mesh(folder: Path, path: Path) -> Path | None:
    """The mesh in `folder`, or else the cloud: the only one, or the first of several that have one name and
    different endings. Raises DataError naming `path` where there are several others; None where there is
    none."""
    there = [one for deep in ("*", "*/*") for one in sorted(folder.glob(deep)) if not _hidden(one)]
    for known in (formats.MESHES, formats.CLOUDS):
        files = [one for one in there if one.suffix.lower() in set(known) - OTHERS]
        if len({one.stem for one in files}) > 1:
            names = ", ".join(one.name for one in files[:3])
            raise DataError(f"{path}: holds several meshes or clouds ({names}); give one of them")
        if files:
            return min(files, key=lambda one: list(known).index(one.suffix.lower()))
    return None


def _hidden(file: Path) -> bool:
    return file.name.startswith(".") or "__MACOSX" in file.parts


def _read(file: Path, name: str, options: ExportOptions) -> tuple[Scene, str]:
    """The scene `name` in a file without images, and what a person should know about it."""
    found = formats.read(file)
    remarks, rgb = [], found.rgb
    if rgb is None:
        rgb = colours.grey(len(found.xyz))
        remarks.append(
            f"{file.name} has no colours: its points are grey, and a network that knows colours errs"
        )
    said = Said(options.scale, options.up, found.up, options.walls)
    scene = of_points(file, name, found.xyz, rgb, found.normal, found.face, said, found.seen_from)
    return scene, "\n".join([*remarks, *scene.remarks])


def of_points(
    where: str | Path,
    name: str,
    xyz: Array,
    rgb: Array,
    normal: Array | None,
    face: Array,
    said: Said,
    seen_from: Array | None = None,
) -> Scene:
    """Points as a scene without frames.

    xyz: numbers [N, 3], of whose world `said` is known; rgb: u1[N, 3]; normal: numbers [N, 3], 0 or None
    where they are not known; face: integers [F, 3]; seen_from: numbers [N, 3], where the scanner stood, None
    where that is not known. Normals are those of faces; without faces those that are given or those of
    neighbours, turned to where the scanner stood, or to the middle. Raises DataError that begins with
    `where`."""
    if xyz.ndim != 2 or xyz.shape[1] != 3 or not len(xyz) or xyz.dtype.kind not in "fiu":
        raise DataError(f"{where}: points must be numbers [N, 3], not {xyz.dtype}{list(xyz.shape)}")
    if not np.isfinite(xyz).all():
        broken = np.count_nonzero(~np.isfinite(xyz).all(1))
        raise DataError(f"{where}: {broken} points are NaN or infinite; leave them out")
    if rgb.shape != xyz.shape or rgb.dtype != np.uint8:
        raise DataError(
            f"{where}: colours must be uint8 0..255 of {list(xyz.shape)}, not {rgb.dtype}{list(rgb.shape)}"
        )
    if face.ndim != 2 or face.shape[1] != 3 or face.dtype.kind not in "iu":
        raise DataError(f"{where}: faces must be integers [F, 3], not {face.dtype}{list(face.shape)}")
    if len(face) and not 0 <= face.min() <= face.max() < len(xyz):
        raise DataError(f"{where}: faces name points outside 0..{len(xyz) - 1}; mend the mesh")
    if normal is not None and (normal.shape != xyz.shape or not np.isfinite(normal).all()):
        raise DataError(f"{where}: normals must be finite, of {list(xyz.shape)}, not {list(normal.shape)}")
    step = placement.near(where, xyz, said, sized=True)
    xyz, face = moved(xyz, step).astype(np.float32), face.astype(np.int32)
    own = None if normal is None else turned(normal, step).astype(np.float32)
    if len(face):
        found = vertex_normals(xyz, face) if own is None else own
    else:
        middle = np.broadcast_to((xyz.min(0) + xyz.max(0)) / 2, xyz.shape)
        try:
            found = cloud_normals(xyz, middle if seen_from is None else moved(seen_from, step), own)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
    scene = Scene(name, xyz, rgb, found, face, (), "val", "points", world=said.world @ inverse(step))
    return placement.upright(where, scene, said)
