"""Where the project and the scans of a person are."""

from __future__ import annotations

from pathlib import Path

from anyscene.datasets.geometry import formats
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Scene

PARAMS = "params.yaml"


def located(project: str | Path | None) -> tuple[Params, Artefacts]:
    """The parameters and the artefacts of a project. project: its folder, or its params.yaml; None: the
    current folder. Outside any project the parameters are built-in ones; scans and networks are then found by
    their paths. Raises ConfigError where the parameters are missing or wrong."""
    path = Path(project or ".")
    path = path / PARAMS if path.is_dir() else path
    named = project is not None and not Path(project).is_dir()
    settings = parameters.load(path) if named or path.is_file() else parameters.defaults()
    return settings, Artefacts(path.parent)


def is_imported(artefacts: Artefacts, scene: str) -> bool:
    """Whether `scene` is the id of an imported scene, and not the path of a scan."""
    return scene == Path(scene).name and store.scene_path(artefacts.data("scenes"), scene).is_dir()


def home(artefact: Path) -> tuple[Path, str] | None:
    """(the folder of the project, the stage) of an artefact: ROOT/data/STAGE/ID.zarr, where STAGE may be
    projection/MODEL. None where it does not lie beside ROOT/data/scenes/ID.zarr."""
    whole = artefact.absolute()
    for root in list(whole.parents)[2:4]:
        stage = whole.parent.relative_to(root).as_posix()
        if stage.startswith("data/") and (root / "data/scenes" / whole.name).is_dir():
            return root, stage.removeprefix("data/")
    return None


def require(artefacts: Artefacts, scene: str | Path) -> None:
    """Raise StoreError or DataError, which say what to do, where `scene` is neither the id of an imported
    scene nor a path."""
    path, imported = Path(scene), artefacts.data("scenes")
    if path.exists() or is_imported(artefacts, str(scene)):
        return
    if path.name == str(scene) and not formats.is_known(path) and imported.is_dir():
        store.open_imported(imported, path.name)  # its error names those that there are
    raise DataError(f"{path}: no such file or folder, and no scene of a project; check the path")


def read_scan(folder: Path, settings: Params) -> Scene:
    """The scan in `folder`, which is in the rgbd form. Raises DataError naming the file that is wrong."""
    folder, section = folder.resolve(), settings.scenes
    return Rgbd(folder.parent, settings.dataset.name, section.frame_stride, section.voxel).read(folder.name)
