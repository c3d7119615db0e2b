"""A copy of a project for an experiment, in which what Git does not know is linked."""

import dataclasses
from pathlib import Path

import pytest

from anyscene.errors import ConfigError
from anyscene.project import experiment, parameters
from anyscene.project.stages import Stage
from tests.builders import REPOSITORY

PARAMS = parameters.load(REPOSITORY / "params.yaml")
SCENES = Stage("scenes", writes=(Path("data/scenes"),), reads=("${dataset.root}",))
TRAINING = Stage("training", each="training", writes=(Path("models/${key}"),))


def asking(**sections):
    """The parameters of the demo with other values in some sections."""
    changed = {name: dataclasses.replace(getattr(PARAMS, name), **keys) for name, keys in sections.items()}
    return dataclasses.replace(PARAMS, **changed)


def fill(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)


@pytest.fixture
def origin(tmp_path):
    """The project."""
    fill(tmp_path, "scans/a/mesh.ply", "scans/b/mesh.ply", "weights/big.pt", "models/demo/student/net")
    return tmp_path


@pytest.fixture
def copy(origin, monkeypatch):
    """Its copy, in which this process works."""
    copy = origin / ".dvc/tmp/exps/standalone/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(origin))
    return copy


def link(params, *stages):
    experiment.link({stage.name: stage for stage in stages}, params)


OWN = asking(dataset={"root": "scans"}, segmenters={"weights": "weights"})


def test_what_is_missing_is_linked_as_a_whole(origin, copy):
    link(OWN, SCENES, TRAINING)
    assert (copy / "scans").readlink() == origin / "scans"
    assert (copy / "weights").readlink() == origin / "weights"
    assert (copy / "models/demo/student/net").read_text() == "models/demo/student/net"  # `from` of a network
    link(OWN, SCENES, TRAINING)  # a stage may run twice
    assert sorted(path.name for path in (origin / "scans").iterdir()) == ["a", "b"]


def test_of_a_folder_that_git_knows_in_part_files_are_linked(origin, copy):
    """DVC does not follow links below the folder that a stage reads."""
    fill(copy, "scans/a/mesh.ply")
    link(OWN, SCENES)
    assert not (copy / "scans/a/mesh.ply").is_symlink()
    assert not (copy / "scans/b").is_symlink()
    assert (copy / "scans/b/mesh.ply").readlink() == origin / "scans/b/mesh.ply"


def test_what_stages_write_is_never_linked(origin, copy):
    fill(origin, "data/scenes/a.zarr", "models/distilled/net", "models/other/net", "models/lseg/weights")
    within = asking(dataset={"root": "data/scenes/raw"}, segmenters={"weights": "models"})
    link(within, SCENES, TRAINING)
    assert not (copy / "data").exists() and not (copy / "models/distilled").exists()
    assert (copy / "models/lseg/weights").samefile(origin / "models/lseg/weights")
    assert not (copy / "models").is_symlink()


def test_files_that_parameters_name_are_linked_and_networks_as_a_whole(origin, copy):
    fill(origin, "tables/mine.csv", "models/other/network.json", "models/other/model.safetensors")

    def files(params, item):
        """As seen from the project: in the copy there are no networks."""
        return [Path("tables/mine.csv"), *Path("models").glob("*/network.json")]

    link(OWN, dataclasses.replace(SCENES, files=files), TRAINING)
    assert (copy / "tables/mine.csv").readlink() == origin / "tables/mine.csv"
    assert (copy / "models/other").readlink() == origin / "models/other"


def test_an_absolute_path_needs_no_link(origin, copy, tmp_path):
    link(asking(dataset={"root": str(tmp_path / "scans")}, segmenters={"weights": "weights"}), SCENES)
    assert sorted(path.name for path in copy.iterdir()) == ["models", "weights"]


def test_a_path_that_leads_out_of_the_project_is_refused(origin, copy):
    with pytest.raises(
        ConfigError, match=rf"^\.\./scans: leads out .* in full .*: {origin.parent / 'scans'}$"
    ):
        link(asking(dataset={"root": "../scans"}), SCENES)


def test_digests_are_shared(origin, copy):
    fill(origin, ".cache/digests/cache.db")
    link(OWN, SCENES)
    assert (copy / ".cache/digests").readlink() == origin / ".cache/digests"


@pytest.mark.parametrize("named", [None, "the project itself", "another"])
def test_a_project_is_left_alone(origin, monkeypatch, named):
    """DVC names the project to the stages of the workspace too."""
    monkeypatch.chdir(origin)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    if named is not None:
        monkeypatch.setenv("DVC_ROOT", str(origin if named == "the project itself" else origin / "scans"))
    assert experiment.project() is None
    link(asking(dataset={"root": "../scans"}), SCENES)
    assert not any(path.is_symlink() for path in origin.rglob("*"))
