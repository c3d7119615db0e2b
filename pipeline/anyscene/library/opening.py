"""What a person has (a scene of a project, an artefact, a capture, a mesh, points) -> a FeatureCloud.

It also tells which project a person means, and whether a name is that of a scene of it. PyTorch is imported
when the scene is found, so a path that leads nowhere is refused at once."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import U1, Array
from anyscene.datasets import imports, label_set
from anyscene.datasets.geometry import formats
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.walls import Walls
from anyscene.errors import DataError, StoreError, blamed
from anyscene.library.scanned import NOTHING_SAID, UPRIGHT, as_scene, of_points
from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Scene

if TYPE_CHECKING:
    from anyscene.library.feature_cloud import FeatureCloud
    from anyscene.text import TextEncoder


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
    show_progress: bool = False,
) -> FeatureCloud:
    """Open a scene, to find things in it.

    scene is one of:
      - the id of a scene of a project, or the path of one of its artefacts: data/scenes/ID.zarr;
        data/fusion/ID.zarr or data/projection/MODEL/ID.zarr for the features that are in it;
      - a capture: a folder in the form of the reader `rgbd`, or one of the exports and recordings that
        docs/how-to/own-scan.md lists, a folder or an archive;
      - a mesh or a cloud: a file (.ply, .obj, .glb, .gltf, .stl, .las, .laz, .e57, .xyz, .pts, .txt; or .npy
        [N, 6] of x, y, z and red, green, blue in 0..255), or a folder or .zip that holds one alone; metres, z
        up, but glTF +y up.
    source: whose features: "fusion", "projection/MODEL", a network under models/ by its name, or any network
    by the path of its folder. None: the most refined network of the project, else fusion. project: a folder
    with params.yaml and models/, or the path of its params.yaml. None: the project that an artefact lies in,
    else the current folder; built-in parameters where there is no params.yaml. encoder: encodes texts, in
    place of the one that text.encoder names. exporter, options, mesh, every: what a capture does not tell by
    itself, as for `anyscene import`. For a scan, a mesh or a cloud, `options` may give the scale, which
    direction is up and whether walls are kept as they stand; without it these are found where points and
    cameras agree, and stand in `remarks`. show_progress: on stderr, while the frames of a capture are read.

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
    for one in (path, mesh):
        _refuse_unreachable(one)
    if path.suffix == store.SUFFIX and path.is_dir():
        imports.refuse(exporter, options, mesh, every, because=f"{path} is an artefact")
        return _artefact(path, source, project, encoder)
    settings, artefacts = located(project)
    if is_imported(artefacts, str(scene)):
        because = f"{scene} is imported already; if you mean a folder of that name, give ./{scene}"
        imports.refuse(exporter, options, mesh, every, because)
        return _imported(settings, artefacts, str(scene), source, encoder)
    require(artefacts, scene)
    with as_scene(path, settings, exporter, options, mesh, every, show_progress) as (scan, said):
        return _of_scan(scan, settings, artefacts, source, encoder, said)


def from_points(
    points: Array,  # [N, 3]
    colours: U1,  # [N, 3]
    *,
    normals: Array | None = None,  # [N, 3]
    faces: Array | None = None,  # [F, 3]
    scale: float | None = None,
    walls: Walls = "align",
    name: str = "points",
    source: str | Path | None = None,
    project: str | Path | None = None,
    encoder: TextEncoder | None = None,
) -> FeatureCloud:
    """As `anyscene.open`, for points in memory.

    points: floats [N, 3], z up, in units of `scale` metres. Without a scale the unit is a metre, and points
    are refused whose longest side is not that of anything one scans. colours: u1[N, 3]; normals: floats [N,
    3] of length 1; faces: integers [F, 3], indices of points. Without `normals` a point has the normal of its
    faces; where there are none, that of the plane through the 16 nearest cubes of 2 cm that hold points,
    turned to the middle of all points, where a person who scans a room stands. walls: "align" turns the
    points about z until walls are along x and y, where these tell their angle, and says so in `remarks`;
    "keep" leaves them. source, project, encoder: as for `anyscene.open`.

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
    said = replace(UPRIGHT, scale=scale, walls=walls)
    scan = of_points("points", name, np.asarray(points), np.asarray(colours), normal, face, said)
    return _of_scan(scan, settings, artefacts, source, encoder, "\n".join(scan.remarks))


def located(project: str | Path | None) -> tuple[Params, Artefacts]:
    """The parameters and the artefacts of a project. project: its folder, or its params.yaml; None: the
    current folder. Outside any project the parameters are built-in ones; scans and networks are then found by
    their paths. Raises ConfigError where the parameters are missing or wrong."""
    path = Path(project or ".")
    _refuse_unreachable(path)
    path = path / layout.PARAMETERS if path.is_dir() else path
    named = project is not None and not Path(project).is_dir()
    settings = parameters.load(path) if named or path.is_file() else parameters.defaults()
    return settings, Artefacts(path.parent)


def is_imported(artefacts: Artefacts, scene: str) -> bool:
    """Whether `scene` is the id of an imported scene, and not the path of a scan."""
    try:
        return scene == Path(scene).name and store.scene_path(artefacts.data("scenes"), scene).is_dir()
    except OSError:  # longer than an id can be; the file or folder may be there
        return False


def home(artefact: Path) -> tuple[Path, str] | None:
    """(the folder of the project, the stage) of an artefact: ROOT/data/STAGE/ID.zarr, where STAGE may be
    projection/MODEL. None where it does not lie beside ROOT/data/scenes/ID.zarr."""
    whole = artefact.absolute()
    for root in list(whole.parents)[2:4]:
        stage = whole.parent.relative_to(root)
        if stage.is_relative_to(layout.DATA) and (root / layout.SCENES / whole.name).is_dir():
            return root, stage.relative_to(layout.DATA).as_posix()
    return None


def require(artefacts: Artefacts, scene: str | Path) -> None:
    """Raise StoreError or DataError, which say what to do, where `scene` is neither the id of an imported
    scene nor a path."""
    path, imported = Path(scene), artefacts.data("scenes")
    _refuse_unreachable(path)
    if path.exists() or is_imported(artefacts, str(scene)):
        return
    remedy = "check the path"
    if path.name == str(scene) and not formats.is_known(path):
        if imported.is_dir():
            try:
                store.open_imported(imported, path.name)
            except StoreError as error:  # it names those that there are
                raise StoreError(f"{error}; nor is there a file or a folder of this name") from error
        if (artefacts.root / layout.PARAMETERS).is_file():
            remedy = "run `dvc repro` (`make demo` in a clone), which imports the scenes, or check the path"
    raise DataError(f"{path}: no such file or folder, and no scene of a project; {remedy}")


def _refuse_unreachable(path: Path | None) -> None:
    """Raise DataError where it cannot even be looked whether the path is there."""
    try:
        if path is not None:
            path.exists()
    except OSError as error:
        raise DataError(blamed(error) or f"{path}: cannot be read ({error}); check the path") from error


def require_features(scene: str | Path, source: str | Path | None, project: str | Path | None) -> None:
    """Raise StoreError, which says what to do, where `scene` has yet to be read and no network is there that
    would give it features: a capture can take minutes. source, project: as for `open`."""
    artefacts = located(project)[1]
    if Path(scene).suffix == store.SUFFIX or is_imported(artefacts, str(scene)):
        return
    require(artefacts, scene)
    require_network(artefacts, source)


def require_network(artefacts: Artefacts, source: str | Path | None) -> None:
    """Raise StoreError, which says what there is, where `source` is no network; None: where there is none."""
    from anyscene.tasks import sources

    named = None if source is None else str(source)
    known = [network.name for network in sources.networks(artefacts)]
    if named is not None and not (sources.is_stored(named) or sources.is_network(named) or named in known):
        there = f"there are {', '.join(known)}" if known else f"no network is in {artefacts.networks}"
        raise StoreError(
            f"no features of {named}: {there}; give {'one, or ' if known else ''}the folder of one"
        )
    sources.check(artefacts, named)


def _artefact(
    path: Path, source: str | Path | None, project: str | Path | None, encoder: TextEncoder | None
) -> FeatureCloud:
    """The scene of an artefact: ROOT/data/STAGE/ID.zarr or ROOT/data/projection/MODEL/ID.zarr."""
    found, scene = home(path), path.name.removesuffix(store.SUFFIX)
    if found is None:
        settings, artefacts = located(project)
        with as_scene(path, settings) as (scan, _):
            return _of_scan(scan, settings, artefacts, source, encoder)
    from anyscene.tasks import sources

    root, stage = found
    if sources.is_stored(stage):
        if source is not None and str(source) != stage:
            beside = store.scene_path(Artefacts(root).data("scenes"), scene)
            raise StoreError(f"{path}: has features of {stage}, not of {source}; open {beside}")
        source = stage
    settings, _ = located(project or root)
    return _imported(settings, Artefacts(root), scene, source, encoder)


def _imported(
    settings: Params,
    artefacts: Artefacts,
    scene: str,
    source: str | Path | None,
    encoder: TextEncoder | None,
) -> FeatureCloud:
    from anyscene.library.feature_cloud import FeatureCloud
    from anyscene.tasks import sources
    from anyscene.tasks.surface import Surface
    from anyscene.tasks.truth import Annotation

    surface, named = Surface.read(artefacts, scene), None if source is None else str(source)
    if len(surface.superpoint) == 0:
        surface = surface.divided(settings.superpoints)
    if named is not None:
        sources.check(artefacts, named, scene)
    truth = Annotation.of(artefacts, scene, label_set(settings.dataset.label_set))
    load = functools.partial(sources.of_scene, artefacts, scene, named, settings.runtime.device)
    return FeatureCloud(surface, settings, load, truth, given=encoder)


def _of_scan(
    scan: Scene,
    settings: Params,
    artefacts: Artefacts,
    source: str | Path | None,
    encoder: TextEncoder | None,
    remarks: str = "",
) -> FeatureCloud:
    from anyscene.library.feature_cloud import FeatureCloud
    from anyscene.tasks import sources
    from anyscene.tasks.surface import Surface

    named = None if source is None else str(source)
    if named is not None:
        require_network(artefacts, named)
    surface = Surface.of_scan(scan, settings.superpoints)
    load = functools.partial(sources.of_scan, artefacts, surface.cloud, named, settings.runtime.device)
    return FeatureCloud(surface, settings, load, remarks=remarks, given=encoder)
