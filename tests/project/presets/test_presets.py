"""The presets say what the paper does, and change nothing else of params.yaml."""

import functools
import importlib
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
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
from docs.reference.write import constants
from tests.builders import REPOSITORY
from tests.builders.nested import leaves

READERS = datasets.REGISTRY.names()
READABLE = [name for name in presets.names() if presets.read(name)["dataset"]["reader"] in READERS]

SCENES = {  # that are trained on
    "scannet": list(official_splits().values()).count("train"),
    "matterport3d": 1554,
    "nuscenes": 28_130,
}
LOOP = {"scannet": 5, "matterport3d": 5, "nuscenes": 1}  # passes of an epoch: `loop` of the configurations
FIRST = [name for name in presets.names() if presets.is_first(name)]
READINGS = {"paper": "", "code": "-code"}  # of a data set; the ending of its preset
FREE = {  # keys of presets that no source can give -> why
    **{f"dataset.{key}": "names, folders and readers of ours" for key in ("name", "root", "reader")},
    **{
        f"segmenters.{key}": "where weights lie, and how many frames at a time"
        for key in ("weights", "batch")
    },
    "fusion.point_features": "what is stored",
    "network.precision": "how products are computed",
    "training.*.beside": "where supervised objectives find labels",
}


def value(settings, key):
    return functools.reduce(lambda found, part: found[part], key.split("."), settings)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("row", constants(), ids=lambda row: row["constant"].replace(" ", "_"))
def test_presets_say_what_the_sources_say(row, reading):
    """The list of sources was written from the paper and the released code, not from the presets."""
    place = list(READINGS).index(reading)
    for name in row["presets"]:
        found = presets.read(name + READINGS[reading])
        for key, values in row.get("keys", {}).items():
            assert value(found, key) == values[place], (name, key)


def test_what_is_no_setting_is_what_the_sources_say():
    fixed = {name: number for row in constants() for name, number in row.get("fixed", {}).items()}
    assert len(fixed) > 5
    for name, number in fixed.items():
        module, _, constant = name.rpartition(".")
        found = getattr(importlib.import_module(f"anyscene.{module}"), constant)
        assert np.array_equal(found, number), name


@pytest.mark.parametrize("name", FIRST)
def test_every_key_of_a_preset_has_a_source_or_a_reason(name):
    listed = {key for row in constants() if name in row["presets"] for key in row.get("keys", ())}
    for keys, _ in leaves(presets.read(name)):
        key = ".".join(keys)
        of_any = re.sub(r"^training\.\w+\.", "training.*.", key)
        free = any(of_any == one or of_any.startswith(f"{one}.") for one in FREE)
        assert key in listed or free, key


def test_where_paper_or_code_is_silent_or_another_is_taken_it_says_why():
    for row in constants():
        assert row["paper"]["says"] is not None or row["code"]["says"] is not None, row["constant"]
        for said in (row["paper"], row["code"]):
            assert bool(said["says"]) == bool(said["where"]), row["constant"]


@pytest.fixture
def params(tmp_path):
    return Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))


def test_there_is_one_for_each_data_set_of_the_paper():
    assert FIRST == ["matterport3d", "nuscenes", "scannet"]
    both = [name + ending for name in (*FIRST, "scannet200") for ending in READINGS.values()]
    assert presets.names() == sorted(both)
    for ending in READINGS.values():
        found = presets.read(f"scannet200{ending}")
        assert found.pop("dataset") == presets.read("scannet")["dataset"] | {"label_set": "scannet200"}
        assert found == {k: v for k, v in presets.read(f"scannet{ending}").items() if k != "dataset"}
    assert set(READABLE) >= {"scannet", "matterport3d"}


@pytest.mark.parametrize("name", FIRST)
def test_training_of_the_paper_is_one_run_of_a_hundred_epochs(name):
    """The learning rate falls on one line through both stages, of which the second takes the last 30 %."""
    found = presets.read(name)
    first, last = found["training"]["distilled"], found["training"]["ensembled"]
    assert first["final_learning_rate"] == last["learning_rate"] == pytest.approx(1e-4 - 0.7 * 9e-5)
    assert last["steps"] / (first["steps"] + last["steps"]) == pytest.approx(0.3, abs=1e-3)
    scenes = SCENES[name]
    assert first["steps"] * first["batch"] * first["accumulate"] / scenes == pytest.approx(70, abs=0.01)


@pytest.mark.parametrize("name", FIRST)
def test_steps_of_the_code_are_what_its_sampler_gives(name):
    """Each of the GPUs has an even share of an epoch, the last one filled up, and leaves out what fills no
    batch (DistributedSampler, drop_last)."""
    for entry in presets.read(f"{name}-code")["training"].values():
        share = math.ceil(LOOP[name] * SCENES[name] / entry["accumulate"])
        assert entry["steps"] == 100 * (share // entry["batch"])


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


@pytest.mark.parametrize("name", FIRST)
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
        ConfigError, match="no preset is called 'scanet'; there are matterport3d, matterport3d-code, nus"
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
