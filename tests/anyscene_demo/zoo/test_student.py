"""The 3D network that the demo starts from: its recipe, its files, and what it can already do."""

import csv
import json

import pytest
import torch

from anyscene import networks
from anyscene.errors import PipelineError
from anyscene.project import parameters
from anyscene.project.digests import content_hash
from anyscene.weights import reading
from anyscene_demo.zoo import student
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

COMMITTED = REPOSITORY / "models" / "demo" / "student"
PARAMS = parameters.read(REPOSITORY / "params.yaml")


def test_recipe_is_the_demos_with_other_rooms_and_random_weights():
    recipe = student.recipe(PARAMS)
    assert recipe["world"]["seed"] != PARAMS["world"]["seed"] and recipe["world"]["val_rooms"] == 0
    (entry,) = recipe["training"].values()
    (demos,) = (entry for entry in PARAMS["training"].values() if entry["from"] == "demo/student")
    assert entry["from"] == "random" and entry["steps"] == student.STEPS
    assert entry["kind"] == demos["kind"] and entry.keys() == demos.keys()
    changed = {part for part in PARAMS if recipe[part] != PARAMS[part]}
    assert changed == {"world", "training"}
    assert parameters.parse(recipe, "recipe").training["student"].start == "random"


def test_committed_weights_are_those_of_the_recipe():
    recipe = student.recipe(PARAMS)
    stored = json.loads((COMMITTED / "recipe.json").read_text())
    assert stored == {part: recipe[part] for part in stored}
    assert {"world", "network", "augmentation", "training"} == set(stored)
    with open(COMMITTED / "log.csv") as file:
        log = list(csv.DictReader(file))
    assert int(log[-1]["step"]) == student.STEPS
    assert float(log[-1]["loss"]) < 0.5 * float(log[0]["loss"])
    model, meta = networks.load(COMMITTED)
    assert (meta["network"]["variant"], meta["voxel"]) == (
        PARAMS["network"]["variant"],
        PARAMS["network"]["voxel"],
    )
    assert meta["name"] == student.PUBLISHED and meta["start"] is None and not meta["supervised"]
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert (
        sum(file.stat().st_size for file in (REPOSITORY / "models" / "demo").rglob("*") if file.is_file())
        <= 30e6
    )


def test_all_weights_of_the_demo_are_as_noted():
    """Whoever reads them refuses others."""
    files = sorted(COMMITTED.parent.rglob("*.safetensors"))
    assert len(files) == 6 and all(reading.intact(file, content_hash) for file in files)


def test_halved_weights_stay_close(tmp_path):
    torch.manual_seed(0)
    model = networks.MinkUNet("14A", 3, 16, "torch", width=0.25)
    networks.save(model, tmp_path, {})
    student.halve(tmp_path / "model.safetensors", tmp_path / "half.safetensors")
    again = networks.MinkUNet("14A", 3, 16, "torch", width=0.25)
    networks.load_weights(again, tmp_path / "half.safetensors")
    for old, new in zip(model.parameters(), again.parameters(), strict=True):
        assert new.dtype == torch.float32
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (
        tmp_path / "model.safetensors"
    ).stat().st_size


def test_a_published_network_loads_under_its_new_name(tmp_path):
    torch.manual_seed(0)
    model = networks.MinkUNet("14A", 3, 16, "torch", width=0.25)
    networks.save(model, tmp_path / "student", {"name": "student", "voxel": 0.1, "input": "colour"})
    student.publish(tmp_path / "student", tmp_path / "published")
    found = networks.TrainedNetwork.load(tmp_path / "published")
    assert (found.description.name, found.voxel) == ("demo/student", 0.1)
    torch.testing.assert_close(found.network.final.kernel, model.final.kernel, rtol=1e-3, atol=1e-6)


def test_a_stage_that_fails_is_named(tmp_path):
    broken = student.recipe(PARAMS) | {"network": {}}
    with pytest.raises(PipelineError, match="student: world failed"):
        student.train(broken, REPOSITORY, tmp_path / "cache")
    assert (tmp_path / "cache" / "data" / "demo" / "furniture.npz").is_file()
