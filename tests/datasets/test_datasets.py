"""Readers are found by name, say which files they read beside the scans, and keep one protocol."""

import dataclasses
import subprocess
import sys

import pytest
import yaml

from anyscene import datasets
from anyscene.errors import ConfigError
from anyscene.project import parameters, presets
from tests.builders import REPOSITORY

NAMES = datasets.REGISTRY.names()


@pytest.fixture
def load(tmp_path):
    """load(**changes): the parameters with those keys of `dataset`."""

    def load(**changes):
        values = parameters.read(REPOSITORY / "params.yaml")
        values["dataset"] |= changes
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        return parameters.load(tmp_path / "params.yaml")

    return load


def test_the_readers_of_this_project_are_registered():
    assert set(NAMES) >= {"rgbd", "scannet", "matterport", "nuscenes"}
    for name in NAMES:
        assert datasets.entry(name).name == name


def test_a_reader_is_imported_by_its_entry_alone():
    """Otherwise a change of one reader's code would make stale what others read."""
    code = """
import sys
from anyscene import datasets
readers = ["anyscene.datasets." + name for name in ("rgbd", "scannet.reader", "matterport.reader")]
print([name for name in readers if name in sys.modules])
print(datasets.entry("scannet").module, [name for name in readers if name in sys.modules])
print("torch" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [
        "[]",
        "anyscene.datasets.scannet.reader ['anyscene.datasets.scannet.reader']",
        "False",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_reach_the_reader(load, tmp_path, name):
    params = load(reader=name, name="mine", root=str(tmp_path / "scans"), label_set="scannet200")
    params = dataclasses.replace(params, scenes=dataclasses.replace(params.scenes, frame_stride=7))
    found = datasets.open_dataset(params.dataset, params.scenes)
    assert isinstance(found, datasets.Dataset)
    assert (found.root, found.name, found.stride) == (tmp_path / "scans", "mine", 7)


def test_how_clouds_are_made_from_depth_reaches_the_reader(load):
    params = load()
    scenes = dataclasses.replace(params.scenes, voxel=0.07, farthest=3.5)
    found = datasets.open_dataset(params.dataset, scenes)
    assert (found.voxel, found.farthest) == (0.07, 3.5)


@pytest.mark.parametrize(
    ("reader", "changes", "value", "attribute"),
    [
        ("scannet", {"scannet": {"axis_alignment": True, "intrinsics": "own"}}, True, "align"),
        (
            "scannet",
            {"scannet": {"axis_alignment": False, "intrinsics": "openscene"}},
            "openscene",
            "intrinsics",
        ),
        ("scannet", {"label_set": "nyu40"}, "nyu40", "labels"),
        ("matterport", {"matterport": {"region_frames": "house"}}, "house", "region_frames"),
        ("nuscenes", {"nuscenes": {"sweep_seconds": 0.25}}, 0.25, "seconds"),
    ],
)
def test_keys_of_a_reader_reach_it(load, reader, changes, value, attribute):
    params = load(reader=reader, **changes)
    assert getattr(datasets.open_dataset(params.dataset, params.scenes), attribute) == value


def test_unknown_readers_and_sections_are_named(load):
    with pytest.raises(
        ConfigError, match=r"dataset\.reader: no reader is called 'replica'; known: matterport"
    ):
        load(reader="replica")
    with pytest.raises(ConfigError, match="dataset: unknown key 'rgbd'; known: name, root, reader"):
        load(rgbd={"stride": 2})
    with pytest.raises(ConfigError, match="dataset: missing key 'rgbd'"):
        load().dataset.settings("rgbd")


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("axis_alignment", "dataset.scannet.axis_alignment"),
        ("region_frames", "dataset.matterport.region_frames"),
        ("sweep_seconds", "dataset.nuscenes.sweep_seconds"),
    ],
)
def test_a_key_beside_the_section_that_it_belongs_to_is_told_where(load, key, now):
    with pytest.raises(ConfigError, match=rf"dataset: unknown key '{key}'; set {now}$"):
        load(**{key: 0})


def test_a_preset_over_a_file_of_before_says_so_too(tmp_path):
    values = parameters.read(REPOSITORY / "params.yaml")
    del values["dataset"]["scannet"]
    values["dataset"]["axis_alignment"] = False
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"set dataset\.scannet\.axis_alignment$"):
        presets.load("scannet", tmp_path / "params.yaml")


def test_the_section_of_the_reader_alone_is_required(tmp_path):
    values = parameters.read(REPOSITORY / "params.yaml")
    del values["dataset"]["scannet"]
    assert parameters.parse(values, "here").dataset.reader == "rgbd"
    values["dataset"]["reader"] = "scannet"
    with pytest.raises(ConfigError, match="dataset: missing key 'scannet'"):
        parameters.parse(values, "here")


@pytest.mark.parametrize(
    ("reader", "table"),
    [("scannet", "scannetv2-labels.combined.tsv"), ("matterport", "category_mapping.tsv")],
)
def test_files_beside_the_scans_are_told(load, tmp_path, reader, table):
    root = tmp_path / "data" / "scans"
    root.mkdir(parents=True)
    params = load(reader=reader, root=str(root))
    found = datasets.entry(reader)
    assert found.files(params.dataset) == ()
    (root.parent / table).touch()
    assert found.files(params.dataset) == (root / ".." / table,)
    (tmp_path / "link").symlink_to(root)  # beside what it stands for
    (named,) = found.files(load(reader=reader, root=str(tmp_path / "link")).dataset)
    assert named.samefile(root.parent / table) and named.parts[:-2] == (tmp_path / "link").parts
    (root / table).touch()  # which is read before the one beside it
    assert found.files(params.dataset) == ()


def test_what_is_no_entry_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "REGISTRY", Offering(datasets.entry("rgbd")))
    with pytest.raises(ConfigError, match="wanted an Entry of that name; correct its package"):
        datasets.entry("scannet")


@dataclasses.dataclass(frozen=True)
class Offering:
    """A registry in which every name stands for `what`."""

    what: object
    group: str = "anyscene.readers"

    def get(self, name):
        return self.what


def test_published_extents_are_of_the_whole_data_set():
    assert datasets.entry("rgbd").published(1) is None
    for name in ("scannet", "matterport", "nuscenes"):
        whole, half = (datasets.entry(name).published(stride) for stride in (1, 2))
        assert half.views == whole.views // 2 and "et al." in whole.known
