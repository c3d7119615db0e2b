"""The presets say what the paper does, and change nothing else of params.yaml."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from anyscene import datasets
from anyscene.cli import preset as stage
from anyscene.datasets import label_set
from anyscene.datasets.scannet.reader import official_splits
from anyscene.errors import ConfigError
from anyscene.project import parameters, presets
from anyscene.weights import catalogue
from tests.builders import REPOSITORY

READERS = datasets.REGISTRY.names()
READABLE = [name for name in presets.names() if presets.read(name)["dataset"]["reader"] in READERS]

# method.md of the project, sections 1 to 7: width, height, tolerance, border, stride, network voxel
FRAMES = {
    "scannet": (320, 240, 0.25, 10, 20, 0.02),
    "matterport3d": (640, 512, 0.02, 10, 1, 0.02),
    "nuscenes": (800, 450, None, 5, 1, 0.05),
}
BATCH = {"scannet": 12, "matterport3d": 12, "nuscenes": 8}  # the paper, section 4.1 and Table 7
ELASTIC = {"scannet": 0.95, "matterport3d": 0.95, "nuscenes": 0.0}  # `aug` of the released configurations
INDOOR = (
    "bookshelf, table, wall, bathtub, sofa, ceiling, door, bed, toilet, picture, desk, floor, counter, "
    "shower curtain, sink, curtain, window, chair, cabinet, refrigerator"
).split(", ")
OUTDOOR = (
    "person, bus, wall, grass, car, bicycle, crane, sky, tree, excavator, barricade, trailer, pavement, "
    "building, road, motorcycle, plant, truck, awning, container, lawn, traffic cone, bulldozer"
).split(", ")


@pytest.fixture
def params(tmp_path):
    return Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))


def test_there_is_one_for_each_data_set_of_the_paper():
    assert presets.names() == ["matterport3d", "nuscenes", "scannet"]
    assert set(READABLE) >= {"scannet", "matterport3d"}


@pytest.mark.parametrize("name", FRAMES)
def test_constants_of_the_paper(name):
    found, outdoor = presets.read(name), name == "nuscenes"
    projection, synthesis = found["projection"], found["synthesis"]
    frames = projection["width"], projection["height"], projection.get("tolerance"), projection["border"]
    assert (*frames, found["scenes"]["frame_stride"], found["network"]["voxel"]) == FRAMES[name]
    assert found["vocabulary"] == (OUTDOOR if outdoor else INDOOR)
    assert found["segmenters"]["names"] == (["openseg", "seem"] if outdoor else ["lseg", "seem"])
    assert found["superpoints"]["method"] == ("identity" if outdoor else "mesh")
    assert found["superpoints"].get("min_vertices") == (None if outdoor else 60)
    wanted = {"images": 50, "steps": 50, "guidance": 7.0, "guidance_rescale": 0.0, "attention_threshold": 0.7}
    assert {key: synthesis[key] for key in wanted} == wanted and synthesis["attention_layers"] == "all"
    assert found["fusion"] == {
        "method": "capability", "tau": 0.05, "normalise": True, "point_features": True,
    }  # fmt: skip
    assert (found["network"]["variant"], found["network"]["input"]) == ("18A", "geometry")
    assert found["augmentation"] == {"turn": "free", "elastic": ELASTIC[name]}
    assert found["evaluation"]["split"] == ("test" if name == "matterport3d" else "val")


@pytest.mark.parametrize("name", FRAMES)
def test_training_is_one_run_of_a_hundred_epochs(name):
    """The learning rate falls on one line through both stages, of which the second takes the last 30 %."""
    found = presets.read(name)
    first, last = found["training"]["distilled"], found["training"]["ensembled"]
    assert first["batch"] == last["batch"] == BATCH[name]
    assert (first["from"], last["from"]) == ("random", "distilled")
    assert first["points_per_scene"] == last["points_per_scene"] == round(20_000 / BATCH[name])
    assert first["learning_rate"] == 1e-4 and last["final_learning_rate"] == 1e-5
    assert first["final_learning_rate"] == last["learning_rate"] == pytest.approx(1e-4 - 0.7 * 9e-5)
    assert last["steps"] / (first["steps"] + last["steps"]) == pytest.approx(0.3, abs=1e-3)
    training = {"scannet": list(official_splits().values()).count("train"), "nuscenes": 28_130}
    if name in training:
        assert first["steps"] * BATCH[name] / training[name] == pytest.approx(70, abs=0.01)


@pytest.mark.parametrize("name", READABLE)
def test_a_preset_is_laid_over_the_parameters(params, name):
    before = params.read_text()
    comments = [line.split("#")[1] for line in before.splitlines() if "#" in line]
    settings = presets.load(name, params, Path("/scans"))
    assert params.read_text() == before and settings.dataset.root == "/scans"
    result = CliRunner().invoke(stage.app, [name, "--root", "/scans", "--params", str(params)])
    assert result.exit_code == 0, result.output
    assert parameters.load(params) == settings
    written = params.read_text()
    assert all(comment in written for comment in comments)
    assert settings.runtime == parameters.load(REPOSITORY / "params.yaml").runtime
    assert label_set(settings.dataset.label_set).names
    assert not list(params.parent.glob(".*"))
    again = CliRunner().invoke(stage.app, [name, "--root", "/scans", "--params", str(params)])
    assert again.exit_code == 0 and params.read_text() == written


@pytest.mark.integration
@pytest.mark.parametrize("name", READABLE)
def test_dvc_writes_a_preset_as_it_is(params, name):
    from dvc.utils.hydra import apply_overrides

    presets.write(name, params, Path("/scans"))
    before = params.read_text()
    apply_overrides(params, ["report.scenes=4"])
    assert params.read_text() == before


def test_a_list_in_a_line_becomes_one_as_dvc_writes_it_and_comments_stay(params):
    block, line = "  names:\n  - dense\n  - mask\n", "  names: [dense, mask]\n\n  # below\n"
    params.write_text(params.read_text().replace(block, line))
    presets.change(params, {"segmenters": {"names": ["mask"]}})
    assert "  names:\n  - mask\n\n  # below\n" in params.read_text()


def test_what_a_preset_does_not_set_stays_and_one_follows_another(params):
    values = parameters.read(params)
    values["runtime"]["workers"] = 7
    params.write_text(yaml.safe_dump(values, sort_keys=False))
    presets.write("matterport3d", params)
    presets.write("scannet", params)
    assert parameters.load(params) == presets.load("scannet", params)
    found = parameters.load(params)
    assert found.runtime.workers == 7 and found.projection.height == 240
    assert found.segmenters.settings("lseg").base == 640


@pytest.mark.parametrize("name", FRAMES)
def test_weights_that_a_preset_names_can_be_had(name):
    found = presets.read(name)
    encoder = found["text"]["encoder"].split(":")[2]
    for path in (encoder, found["synthesis"]["diffusion"], found["synthesis"]["sam"]):
        entry = catalogue.entry_of(Path(path))
        assert entry is not None and (entry.repository or entry.url), path
    for model in found["segmenters"]["names"]:
        assert catalogue.get(model).folder == model


def test_unknown_names_and_keys(params, tmp_path, monkeypatch):
    with pytest.raises(
        ConfigError, match="no preset is called 'scanet'; there are matterport3d, nuscenes, s"
    ):
        presets.read("scanet")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    before = params.read_text()
    (tmp_path / "odd.yaml").write_text("fusion: {tua: 1.0}\n")
    with pytest.raises(ConfigError, match=r"params\.yaml: fusion: has no key 'tua', which the preset sets"):
        presets.write("odd", params)
    (tmp_path / "odd.yaml").write_text("fusion: {tau: small}\n")
    with pytest.raises(ConfigError, match=r"preset odd: fusion\.tau: expected float"):
        presets.write("odd", params)
    assert params.read_text() == before


def test_what_changed_as_json(params):
    values = parameters.read(params)
    result = CliRunner().invoke(stage.app, ["scannet", "--root", "here", "--params", str(params), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["params"], record["preset"]) == (str(params), "scannet")
    changed = record["changed"]
    assert changed["dataset.root"] == {"before": "data/world", "after": "here"}
    assert changed["training.distilled.steps"] == {"before": 300, "after": 7006}
    assert "dataset.label_set" not in changed and "world.seed" not in changed
    after = parameters.read(params)
    for path, change in changed.items():
        one, other = values, after
        for key in path.split("."):
            one, other = one[key], other[key]
        assert (one, other) == (change["before"], change["after"]) and one != other
    again = CliRunner().invoke(stage.app, ["scannet", "--root", "here", "--params", str(params), "--json"])
    assert json.loads(again.stdout)["changed"] == {}
