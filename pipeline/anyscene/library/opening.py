"""What a person has (a scene of a project, an artefact, a capture, a mesh, points) -> a FeatureCloud."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from anyscene.arrays import F4, F8, U1, Array
from anyscene.datasets import cloud_from_depth, imports, label_set, ply
from anyscene.datasets.imports import ExportOptions
from anyscene.errors import DataError, StoreError
from anyscene.library.feature_cloud import FeatureCloud
from anyscene.library.location import POINTS, is_imported, located, read_scan, require
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Scene
from anyscene.tasks import sources
from anyscene.tasks.surface import Surface
from anyscene.tasks.truth import Truth
from anyscene.text import TextEncoder

Points = tuple[Array, Array, Array, Array]  # xyz, rgb, normal (0: not known), face

NOTHING_SAID = ExportOptions()
PLAUSIBLE = (0.3, 100.0)  # metres: the longest side of something that was scanned


def open(
    scene: str | Path,
    *,
    source: str | Path | None = None,
    project: str | Path | None = None,
    encoder: TextEncoder | None = None,
    exporter: str | None = None,
    options: ExportOptions = NOTHING_SAID,
    mesh: str | Path | None = None,
    every: int = 1,
) -> FeatureCloud:
    """Open a scene, to find things in it.

    scene is one of:
      - the id of a scene of a project, or the path of one of its artefacts: data/scenes/ID.zarr;
        data/fusion/ID.zarr or data/projection/MODEL/ID.zarr for the features that are in it;
      - a capture: a folder in the form of the reader `rgbd`, or what Polycam, Record3D, nerfstudio or COLMAP
        wrote, a folder or an archive;
      - a mesh or a cloud: a .ply file with colours, or a .npy file [N, 6] of x, y, z and red, green, blue in
        0..255; metres, z up.
    source: whose features: "fusion", "projection/MODEL", a network under models/ by its name, or any network
    by the path of its folder. None: the most refined network of the project, else fusion. project: a folder
    with params.yaml and models/, or the path of its params.yaml. None: the project that an artefact lies in,
    else the current folder; built-in parameters where there is no params.yaml. encoder: encodes texts, in
    place of the one that text.encoder names. exporter, options, mesh, every: what a capture does not tell by
    itself, as for `anyscene import`. For a mesh or a cloud, `options` may give the scale and which direction
    is up.

    Raises StoreError where there is no such scene or `source`, and DataError naming the file that is wrong.
    The network is read when its features are first asked for: CheckpointError where it is damaged, and
    StoreError where no source was named and there is none.

    >>> cloud = anyscene.open("val_000")
    >>> cloud.points.dtype.name, cloud.points.shape == (len(cloud), 3)
    ('float32', True)
    >>> cloud.features.shape == (len(cloud), cloud.encoder.width)
    True
    """
    path, mesh = Path(scene), None if mesh is None else Path(mesh)
    if path.suffix == store.SUFFIX and path.is_dir():
        imports.refuse(exporter, options, mesh, every, because=f"{path} is an artefact")
        return _artefact(path, source, project, encoder)
    settings, artefacts = located(project)
    if is_imported(artefacts, str(scene)):
        because = f"{scene} is a scene that is imported; of an export give the path, ./{scene}"
        imports.refuse(exporter, options, mesh, every, because)
        return _imported(settings, artefacts, str(scene), source, encoder)
    require(artefacts, scene)
    if path.suffix in POINTS:
        imports.refuse(exporter, replace(options, scale=None, up=None), mesh, every, "it has no images")
        xyz, rgb, normal, face = READERS[path.suffix](path)
        turn = _turn(path, options.up)
        scan = _scan(path, path.stem, xyz @ turn.T, rgb, normal @ turn.T, face, options.scale)
        return _of_scan(scan, settings, artefacts, source, encoder)
    with imports.as_scan(path, exporter, options, mesh, every) as (folder, said):
        scan = read_scan(folder, settings)
    return _of_scan(scan, settings, artefacts, source, encoder, str(said or ""))


def from_points(
    points: Array,  # [N, 3]
    colours: U1,  # [N, 3]
    *,
    normals: Array | None = None,  # [N, 3]
    faces: Array | None = None,  # [F, 3]
    scale: float | None = None,
    name: str = "points",
    source: str | Path | None = None,
    project: str | Path | None = None,
    encoder: TextEncoder | None = None,
) -> FeatureCloud:
    """As `anyscene.open`, for points in memory.

    points: floats [N, 3], z up, in units of `scale` metres. Without a scale the unit is a metre, and points
    are refused whose longest side is not that of anything one scans. colours: u1[N, 3]; normals: floats [N,
    3] of length 1; faces: integers [F, 3], indices of points. Without `normals` a point has the normal of its
    faces; where there are none, that of the plane through its 16 neighbours, turned to the middle of all
    points, where a person who scans a room stands. source, project, encoder: as for `anyscene.open`.

    Raises DataError for arrays of another shape or type, and for impossible values.

    >>> rng = np.random.default_rng(0)
    >>> points = rng.uniform(0, 2, (500, 3)) * [1, 1, 0]
    >>> floor = anyscene.from_points(points, np.full((500, 3), 128, np.uint8), name="floor")
    >>> floor, floor.normals[0].tolist()
    (FeatureCloud('floor': 500 points), [0.0, 0.0, 1.0])
    """
    settings, artefacts = located(project)
    face = np.zeros((0, 3), np.int32) if faces is None else np.asarray(faces)
    normal = None if normals is None else np.asarray(normals)
    scan = _scan("points", name, np.asarray(points), np.asarray(colours), normal, face, scale)
    return _of_scan(scan, settings, artefacts, source, encoder)


def _artefact(
    path: Path, source: str | Path | None, project: str | Path | None, encoder: TextEncoder | None
) -> FeatureCloud:
    """The scene of an artefact: ROOT/data/STAGE/ID.zarr or ROOT/data/projection/MODEL/ID.zarr."""
    whole, scene = path.absolute(), path.name.removesuffix(store.SUFFIX)
    for root in list(whole.parents)[2:4]:
        stage = whole.parent.relative_to(root).as_posix()
        beside = store.scene_path(root / "data/scenes", scene)
        if stage.startswith("data/") and beside.is_dir():
            stage = stage.removeprefix("data/")
            if sources.is_stored(stage):
                if source is not None and str(source) != stage:
                    raise StoreError(f"{path}: has features of {stage}, not of {source}; open {beside}")
                source = stage
            settings, _ = located(project or root)
            return _imported(settings, Artefacts(root), scene, source, encoder)
    group = store.open_scene(path)
    if "xyz" not in group:
        raise StoreError(f"{path}: has no points; put it where it was, beside data/scenes, or open that")
    settings, artefacts = located(project)
    xyz, rgb, normal, face = (group[name][:] for name in ("xyz", "rgb", "normal", "face"))
    scan = _scan(path, scene, xyz, rgb, normal, face, scale=1.0)
    return _of_scan(scan, settings, artefacts, source, encoder)


def _imported(
    settings: Params,
    artefacts: Artefacts,
    scene: str,
    source: str | Path | None,
    encoder: TextEncoder | None,
) -> FeatureCloud:
    surface, named = Surface.read(artefacts, scene), None if source is None else str(source)
    if len(surface.superpoint) == 0:
        surface = surface.divided(settings.superpoints)
    if named is not None:
        sources.check(artefacts, named, scene)
    truth = Truth.of(artefacts, scene, label_set(settings.dataset.label_set))
    load = functools.partial(sources.of_scene, artefacts, scene, named)
    return FeatureCloud(surface, settings, load, truth, given=encoder)


def _of_scan(
    scan: Scene,
    settings: Params,
    artefacts: Artefacts,
    source: str | Path | None,
    encoder: TextEncoder | None,
    remarks: str = "",
) -> FeatureCloud:
    named = None if source is None else str(source)
    if named is not None:
        sources.check(artefacts, named)
    surface = Surface.of_scan(scan, settings.superpoints)
    load = functools.partial(sources.of_scan, artefacts, surface.cloud, named)
    return FeatureCloud(surface, settings, load, remarks=remarks, given=encoder)


def _scan(
    where: str | Path,
    name: str,
    xyz: Array,
    rgb: Array,
    normal: Array | None,
    face: Array,
    scale: float | None,
) -> Scene:
    """Points as a scene without frames. Raises DataError that begins with `where`."""
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
    xyz = (xyz * (1.0 if scale is None else scale)).astype(np.float32)
    longest = float(np.ptp(xyz, axis=0).max())
    if scale is None and not PLAUSIBLE[0] <= longest <= PLAUSIBLE[1]:
        raise DataError(
            f"{where}: its longest side would be {longest:g} m; say the metres of a unit by scale: 0.001 for "
            "millimetres, 1 if it is right"
        )
    face = face.astype(np.int32)
    if normal is None or (len(face) == 0 and not normal.any()):
        normal = ply.vertex_normals(xyz, face) if len(face) else _normals(where, xyz)
    if normal.shape != xyz.shape or not np.isfinite(normal).all():
        raise DataError(f"{where}: normals must be finite, of {list(xyz.shape)}, not {list(normal.shape)}")
    return Scene(name, xyz, rgb, normal.astype(np.float32), face, (), "val", "points")


def _normals(where: str | Path, xyz: F4) -> F4:
    if len(xyz) < cloud_from_depth.NEIGHBOURS:
        raise DataError(
            f"{where}: {len(xyz)} points without normals or faces; to tell the surface at least "
            f"{cloud_from_depth.NEIGHBOURS} are needed"
        )
    middle = (xyz.min(0) + xyz.max(0)) / 2
    return cloud_from_depth.point_normals(xyz, np.broadcast_to(middle, xyz.shape))


def _turn(path: Path, up: Array | str | None) -> F8:
    """f8[3, 3]: the smallest rotation that turns `up` to +z."""
    if up is None:
        return np.eye(3)
    if isinstance(up, str):
        raise DataError(f"{path}: has no {up} to tell what is up; give up as a direction [3]")
    turn: F8 = Rotation.align_vectors([0, 0, 1], up)[0].as_matrix()
    return turn


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
