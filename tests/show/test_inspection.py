import json

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from anyscene.cli.inspect import app
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.show import inspection
from anyscene.tasks.layer import NEUTRAL, distinct_colours
from tests.builders.capture import write_scan


@pytest.fixture
def data(tmp_path):
    """data/scenes/a, data/fusion/a, data/superpoints/a of one small scan."""
    write_scan(tmp_path / "raw", "a")
    for name in ("scenes", "fusion", "superpoints", "projection"):
        (tmp_path / name).mkdir()
    scene = Rgbd(tmp_path / "raw", "test").read("a")
    store.write_scene(store.create(tmp_path / "scenes/a.zarr", "k1"), scene, tmp_path / "raw")
    rng = np.random.default_rng(0)
    fusion = store.create(tmp_path / "fusion/a.zarr", "k2")
    feature = np.where(scene.xyz[:, :1] < 0.5, rng.normal(size=8), rng.normal(size=8)).astype(np.float16)
    store.write(fusion, "feature", feature)
    store.write(fusion, "valid", np.arange(36) > 3)
    superpoints = store.create(tmp_path / "superpoints/a.zarr", "k3")
    store.write(superpoints, "superpoint", np.arange(36, dtype=np.int32) // 12)
    return tmp_path


def printed(tree):
    console = Console(width=200, record=True)
    console.print(tree)
    return console.export_text()


def test_tree_of_a_scene(data):
    text = printed(inspection.tree(data / "scenes/a.zarr"))
    assert "xyz  float32[36, 3]" in text and "0 .. 2" in text
    assert 'key: "k1"' in text and "frames: 3 of them" in text and "x  " in text


def test_tree_of_a_folder(data):
    text = printed(inspection.tree(data / "fusion"))
    assert "1 artefacts" in text and "a.zarr" in text and "feature[36, 8]" in text


def test_range_counts_what_is_not_finite(data):
    group = store.create(data / "fusion/b.zarr", "k")
    store.write(group, "feature", np.array([1, np.nan, np.inf, -2], np.float16))
    store.write(group, "nothing", np.zeros((0, 3), np.int32))
    text = printed(inspection.tree(data / "fusion/b.zarr"))
    assert "-2 .. 1, 1 NaN, 1 infinite" in text and "int32[0, 3]" in text and "empty" in text


@pytest.mark.parametrize("rows", [None, np.arange(49, -1, -3)])
def test_colours_of_features_are_the_same_in_blocks(monkeypatch, rows):
    feature = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float16)
    whole = inspection.principal_colours(feature, rows)
    assert len(np.unique(whole, axis=0)) > 10
    monkeypatch.setattr(inspection, "BLOCK", 6 * 4)
    assert np.abs(inspection.principal_colours(feature, rows).astype(int) - whole).max() <= 1


def test_every_value_is_counted(data, monkeypatch):
    monkeypatch.setattr(inspection, "BLOCK", 8)  # several blocks
    feature = np.ones((10, 4), np.float16)
    feature[[2, 9]], feature[7, 1], feature[9, 3] = 0, np.nan, 5
    group = store.create(data / "fusion/b.zarr", "k")
    for name, array in (
        ("feature", feature),
        ("label", np.array([-1, 3, -1, 9], np.int16)),
        ("valid", np.arange(10) > 6),
        ("nothing", np.full(3, np.nan, np.float32)),
        ("scalar", np.float32(4)),
    ):
        store.write(group, name, np.asarray(array))
    lines = {
        line.split()[1]: line for line in printed(inspection.tree(data / "fusion/b.zarr")).splitlines()[1:]
    }
    assert lines["feature"].endswith("0 .. 5, 1 NaN, 1 empty rows")
    assert lines["label"].endswith("-1 .. 9, 2 of -1")
    assert lines["valid"].endswith("3 of 10 true")
    assert lines["nothing"].endswith("no finite value, 3 NaN")
    assert lines["scalar"].endswith("4 .. 4")


def test_codecs_and_ratio_are_named(data):
    group = store.create(data / "fusion/b.zarr", "k")
    store.write(group, "zero", np.zeros(100_000, np.int32))
    line = printed(inspection.tree(data / "fusion/b.zarr")).splitlines()[-1]
    assert "zstd-3 bitshuffle crc32c" in line
    ratio = float(line.split("x  ")[0].split()[-1])
    stored = sum(f.stat().st_size for f in (data / "fusion/b.zarr/zero").rglob("*") if f.is_file())
    assert ratio == pytest.approx(400_000 / stored, rel=0.01)


def test_what_is_not_ours_is_refused_with_a_hint(data):
    foreign = zarr.create_group(data / "foreign.zarr")
    foreign.create_array("a", shape=(3,), dtype="f4")
    (data / "points.ply").write_text("ply")
    (data / "metrics.json").write_text("{}")
    (data / "broken.safetensors").write_text("no")
    for name, message in (
        ("foreign.zarr", "of another program"),
        ("fusion/a.zarr/feature", "one array; give the artefact that holds it"),
        ("points.ply", "a file, no artefact; give a .zarr folder"),
        ("metrics.json", "`anyscene evaluation --show` prints it"),
        ("raw/a", "a raw scan; once it is imported look at data/scenes/a.zarr"),
        ("raw", "raw scans; once they are imported"),
        ("nowhere", "no such folder; artefacts lie under data/"),
        ("broken.safetensors", r"damaged \(.*\); train it again, or fetch it again"),
    ):
        with pytest.raises(StoreError, match=message) as caught:
            inspection.tree(data / name)
        assert str(data / name) in str(caught.value)


def test_a_model_is_listed_and_shown_as_histograms(data):
    import torch
    from safetensors.torch import save_file

    values = {"conv[bold].kernel": torch.linspace(-1, 1, 600), "bias": torch.zeros(4, dtype=torch.bfloat16)}
    (data / "model").mkdir()
    save_file(values, data / "model/model.safetensors")
    text = printed(inspection.tree(data / "model"))
    assert "604 parameters" in text and "conv[bold].kernel  F32[600]  -1 .. 1" in text
    assert "bias  BF16[4]  0 .. 0" in text
    (data / "model/network.json").write_text('{"voxel": 0.1}')
    assert 'network.json: {"voxel": 0.1}' in printed(inspection.tree(data / "model"))
    (data / "model/network.json").write_text(json.dumps({"title": "long " * 80, "voxel": 0.1}))
    assert '"voxel": 0.1}' in printed(inspection.tree(data / "model"))
    values["bias"][1:] = torch.nan
    save_file(values, data / "model/model.safetensors")
    assert "0 .. 0, 3 NaN" in printed(inspection.tree(data / "model"))
    image = inspection.picture(data / "model", size=200)
    assert image.shape == (200, 200, 3) and (image == (0x33, 0x60, 0x8C)).all(-1).sum() > 500


def test_capability_is_listed_and_shown_as_bars(data):
    (data / "capability").mkdir()
    path = data / "capability/dense.json"
    path.write_text('{"vocabulary": ["wall", "a [red] chair"], "capability": [0.5, 0.25]}')
    text = printed(inspection.tree(path))
    assert "2 classes  0.25 .. 0.5" in text and "0.250  a [red] chair" in text
    image = inspection.picture(path, size=300)
    blue = (image == (0x33, 0x60, 0x8C)).all(-1).sum(1)
    long, short = np.unique(blue[blue > 0])[[-1, 0]]
    assert long == pytest.approx(2 * short, rel=0.05)
    assert "dense.json" in printed(inspection.tree(data / "capability"))
    path.write_text('{"vocabulary": ["wall"], "capability": []}')
    with pytest.raises(StoreError, match=r"dense.json: a file, no artefact"):
        inspection.tree(path)


def test_a_folder_of_folders_says_what_is_in_each(data):
    (data / "projection/dense").mkdir()
    store.create(data / "projection/dense/a.zarr", "k")
    text = printed(inspection.tree(data))
    assert "4 artefacts" in text and "raw  " not in text
    assert "projection/dense  1 of them" in text and "superpoints  1 of them" in text and ": a.zarr" in text
    with pytest.raises(StoreError, match="a folder has no picture"):
        inspection.picture(data / "fusion")


def test_arrays_that_belong_to_no_points_are_shown_as_histograms(data):
    group = store.create(data / "fusion/b.zarr", "k")
    values = np.append(np.random.default_rng(0).normal(size=500), np.nan).astype(np.float32)
    store.write(group, "history", values)
    image = inspection.picture(data / "fusion/b.zarr", size=300)
    assert image.shape == (300, 300, 3) and (image == (0x33, 0x60, 0x8C)).all(-1).sum() > 1000
    none = store.create(data / "fusion/c.zarr", "k")
    store.write(none, "nothing", np.full(3, np.nan, np.float32))
    with pytest.raises(StoreError, match="no array"):
        inspection.picture(data / "fusion/c.zarr")


def test_no_artefact(data):
    (data / "none").mkdir()
    with pytest.raises(StoreError, match="no artefact here"):
        inspection.tree(data / "none")


def test_pictures(data):
    for name in ("scenes", "fusion", "superpoints"):
        image = inspection.picture(data / name / "a.zarr", size=64)
        assert image.shape == (64, 64, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 2


def test_picture_without_its_scene(data):
    (data / "scenes").rename(data / "elsewhere")
    with pytest.raises(StoreError, match="give it with --scene"):
        inspection.picture(data / "fusion/a.zarr")
    assert inspection.picture(data / "fusion/a.zarr", data / "elsewhere/a.zarr", 32).shape == (32, 32, 3)


def test_synthesised_images_are_shown_with_their_masks(data):
    group = store.create(data / "projection/bed.zarr", "k")
    store.write(group, "image", np.full((3, 8, 8, 3), 200, np.uint8))
    store.write(group, "mask", np.ones((3, 8, 8), bool))
    image = inspection.picture(data / "projection/bed.zarr", size=24)
    assert image.shape == (16, 24, 3) and image[0, 0, 0] == 200 and image[-1, 0, 0] == 255


def test_principal_colours_tell_directions_apart():
    rng = np.random.default_rng(0)
    feature = np.repeat(np.eye(4), 50, 0) @ rng.normal(size=(4, 16)) + rng.normal(size=(200, 16)) * 1e-3
    colours = inspection.principal_colours(feature).astype(int)
    assert np.abs(colours[0] - colours[49]).max() < 30 and np.abs(colours[0] - colours[50]).max() > 100
    assert np.array_equal(colours, inspection.principal_colours(feature))
    assert inspection.principal_colours(np.zeros((0, 16))).shape == (0, 3)


def test_distinct_colours():
    colours = distinct_colours(np.array([0, 1, 0, -1]))
    assert np.array_equal(colours[0], colours[2]) and not np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[3], NEUTRAL)


def test_command(data):
    result = CliRunner().invoke(app, [str(data / "fusion/a.zarr"), "--picture", str(data / "look.png")])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if " feature " in line)
    assert "crc32c" in line and ".." in line  # whole, however narrow
    assert Image.open(data / "look.png").size == (800, 800)
    assert CliRunner().invoke(app, [str(data / "none")]).exit_code == 1
    result = CliRunner().invoke(app, [str(data / "fusion/a.zarr"), "--png", str(data / "other.png")])
    assert result.exit_code == 0 and (data / "other.png").read_bytes() == (data / "look.png").read_bytes()


def as_json(path):
    result = CliRunner().invoke(app, [str(path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_artefact_as_json(data):
    group = store.create(data / "fusion/b.zarr", "k")
    store.write(group, "feature", np.array([[1, np.nan], [np.inf, -2], [0, 0]], np.float16))
    store.write(group, "label", np.array([-1, 3, -1], np.int16))
    store.write(group, "valid", np.array([True, False, True]))
    store.write(group, "nothing", np.zeros((0, 3), np.float32))
    found = as_json(data / "fusion/b.zarr")
    assert (found["path"], found["kind"]) == (str(data / "fusion/b.zarr"), "artefact")
    assert found["attributes"]["key"] == "k" and found["bytes"] > found["arrays"]["label"]["bytes"] > 0
    feature, label = found["arrays"]["feature"], found["arrays"]["label"]
    assert (feature["dtype"], feature["shape"], feature["values"]) == ("float16", [3, 2], 6)
    assert (feature["low"], feature["high"]) == (-2.0, 1.0)
    assert feature["counts"] == {"NaN": 1, "infinite": 1, "empty rows": 1}
    assert (label["low"], label["high"], label["counts"]) == (-1.0, 3.0, {"of -1": 2})
    assert found["arrays"]["valid"]["counts"] == {"true": 2}
    assert found["arrays"]["nothing"]["values"] == 0 and found["arrays"]["nothing"]["low"] is None


def test_a_folder_and_a_capability_as_json(data):
    found = as_json(data)
    assert found["kind"] == "folder" and found["folders"].keys() == {"scenes", "fusion", "superpoints"}
    sizes = [one["bytes"] for inside in found["folders"].values() for one in inside]
    assert found["folders"]["fusion"][0]["name"] == "a.zarr" and found["bytes"] == sum(sizes)
    (data / "capability").mkdir()
    file = data / "capability/dense.json"
    file.write_text('{"vocabulary": ["wall", "chair"], "capability": [0.5, 0.25]}')
    assert as_json(file)["classes"] == {"wall": 0.5, "chair": 0.25}


def test_a_network_as_json(data):
    save_file({"one.bias": torch.tensor([1.5, -2.0]), "two": torch.zeros(2, 3)}, data / "model.safetensors")
    (data / "network.json").write_text('{"voxel": 0.1}')
    (data / "broken.json").write_text("{")
    found = as_json(data)
    assert found["kind"] == "network" and found["records"]["network.json"] == {"voxel": 0.1}
    assert "damaged" in found["records"]["broken.json"]
    bias = found["arrays"]["one.bias"]
    assert (bias["dtype"], bias["shape"], bias["low"], bias["high"]) == ("F32", [2], -2.0, 1.5)
    assert found["arrays"]["two"]["counts"]["empty rows"] == 2


def test_what_is_no_artefact_is_refused_as_json_too(data):
    result = CliRunner().invoke(app, [str(data / "nothing"), "--json"])
    assert result.exit_code == 1 and not result.stdout and "no such folder" in result.stderr
