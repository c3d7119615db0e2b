"""What a person has (a capture, a mesh, a cloud, a scene that lies alone) -> a Scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from anyscene.arrays import F4, Array
from anyscene.datasets import cloud_from_depth, imports, placement, ply
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.placement import Said
from anyscene.errors import DataError, StoreError
from anyscene.library.location import POINTS, read_scan
from anyscene.project import store
from anyscene.project.parameters import Params
from anyscene.scene import Scene, inverse, moved, turned

Points = tuple[Array, Array, Array, Array]  # xyz, rgb, normal (0: not known), face

NOTHING_SAID = ExportOptions()
UPRIGHT = Said(up=np.array([0.0, 0.0, 1.0]))  # of points whose z is up
MESH = "mesh.ply"  # of a scan; a folder that holds it and no images is a mesh


@contextmanager
def as_scene(
    path: Path,
    settings: Params,
    exporter: str | None = None,
    options: ExportOptions = NOTHING_SAID,
    mesh: Path | None = None,
    every: int = 1,
) -> Iterator[tuple[Scene, str]]:
    """A context with (the scene, what a person should know about how it was imported). The images of its
    frames are there as long as the context lasts.

    path: a scan or an export, as for `imports.as_scan`; a .ply or .npy file; a folder with mesh.ply and
    without images; or an artefact of data/scenes, whose frames are left out. exporter, options, mesh, every:
    what an export does not say itself; of a scan, a mesh or a cloud `options` may give the scale and which
    direction is up. Raises DataError naming the file that is wrong, and StoreError for an artefact without
    points."""
    if path.suffix == store.SUFFIX and path.is_dir():
        imports.refuse(exporter, options, mesh, every, because=f"{path} is an artefact")
        yield _stored(path), ""
        return
    if (file := _bare(path)) is not None:
        imports.refuse(exporter, replace(options, scale=None, up=None), mesh, every, "it has no images")
        name = file.stem if file == path else path.resolve().name
        scene = of_points(file, name, *READERS[file.suffix](file), Said(options.scale, options.up))
        yield scene, "\n".join(scene.remarks)
        return
    with imports.as_scan(path, exporter, options, mesh, every) as (folder, summary):
        said = Said(options.scale, options.up) if summary is None else Said()
        scene = read_scan(folder, settings, said)
        told = () if summary is None else (str(summary),)
        more = [remark for remark in scene.remarks if summary is None or remark not in summary.remarks]
        yield scene, "\n".join([*told, *more])


def _stored(path: Path) -> Scene:
    group = store.open_scene(path)
    if "xyz" not in group:
        raise StoreError(f"{path}: has no points; put it where it was, beside data/scenes, or open that")
    xyz, rgb, normal, face = (group[name][:] for name in ("xyz", "rgb", "normal", "face"))
    said = replace(UPRIGHT, scale=1.0, world=store.world(group))
    return of_points(path, path.name.removesuffix(store.SUFFIX), xyz, rgb, normal, face, said)


def _bare(path: Path) -> Path | None:
    """The file of a mesh or a cloud without images; None where `path` is something else."""
    if path.suffix in POINTS:
        return path
    if (path / MESH).is_file() and not (path / "color").is_dir() and not imports.is_export(path):
        return path / MESH
    return None


def of_points(
    where: str | Path,
    name: str,
    xyz: Array,
    rgb: Array,
    normal: Array | None,
    face: Array,
    said: Said,
) -> Scene:
    """Points as a scene without frames.

    xyz: numbers [N, 3], of whose world `said` is known; rgb: u1[N, 3]; normal: numbers [N, 3], all 0 or None
    where they are not known; face: integers [F, 3]. Raises DataError that begins with `where`."""
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
    step = placement.near(where, xyz, said, sized=True)
    xyz = moved(xyz, step).astype(np.float32)
    face = face.astype(np.int32)
    if normal is None or (len(face) == 0 and not normal.any()):
        normal = ply.vertex_normals(xyz, face) if len(face) else _normals(where, xyz)
    if normal.shape != xyz.shape or not np.isfinite(normal).all():
        raise DataError(f"{where}: normals must be finite, of {list(xyz.shape)}, not {list(normal.shape)}")
    normal, world = turned(normal, step).astype(np.float32), said.world @ inverse(step)
    scene = Scene(name, xyz, rgb, normal, face, (), "val", "points", world=world)
    return placement.upright(where, scene, said)


def _normals(where: str | Path, xyz: F4) -> F4:
    if len(xyz) < cloud_from_depth.NEIGHBOURS:
        raise DataError(
            f"{where}: {len(xyz)} points without normals or faces; to tell the surface at least "
            f"{cloud_from_depth.NEIGHBOURS} are needed"
        )
    middle = (xyz.min(0) + xyz.max(0)) / 2
    return cloud_from_depth.point_normals(xyz, np.broadcast_to(middle, xyz.shape))


def _read_npy(path: Path) -> Points:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable array ({error}); save it with numpy.save") from error
    if array.ndim != 2 or array.shape[1] != 6 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: expected numbers [N, 6], x, y, z and red, green, blue, not "
            f"{array.dtype}{list(array.shape)}"
        )
    rgb = array[:, 3:]
    whole = ((rgb >= 0) & (rgb <= 255) & (rgb == np.rint(rgb))).all()
    if not whole or 0 < rgb.max(initial=0) <= 1:
        raise DataError(f"{path}: columns 3 to 5 must be colours, whole numbers in 0..255")
    return array[:, :3], rgb.astype(np.uint8), np.zeros((len(array), 3)), np.zeros((0, 3), np.int32)


READERS: dict[str, Callable[[Path], Points]] = dict(zip(POINTS, (ply.read_mesh, _read_npy), strict=True))
