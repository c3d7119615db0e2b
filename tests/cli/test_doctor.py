import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner

from anyscene.cli import doctor, main
from anyscene.project import extras, parameters, presets, store
from anyscene.segmenters import grounded
from anyscene.study import disk
from tests.builders import REPOSITORY
from tests.builders.capture import write_scans
from tests.builders.project import Project

pytestmark = pytest.mark.integration


def test_doctor(tmp_path, monkeypatch):
    result = CliRunner().invoke(doctor.app, [])
    assert (
        "torch" in result.stdout
        and "sparse backend" in result.stdout
        and "GB free; the demo's run" in result.stdout
    )
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(doctor.app, ["--params", "other.yaml"])
    assert result.exit_code == 1 and "other.yaml: no such file" in result.stdout


def test_where_no_project_is_one_line_says_so_and_packages_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "PACKAGES", ("zarr", "dvc_of_nobody"))
    monkeypatch.setattr(extras, "of_module", {"dvc_of_nobody": "pipeline"}.get)
    result = CliRunner().invoke(doctor.app, [])
    assert result.exit_code == 0, result.output
    assert " project         none here; scans and networks are opened by their paths." in result.stdout
    assert 'not installed: pip install "anyscene[pipeline]"' in result.stdout
    assert "the demo's run" not in result.stdout
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    result = CliRunner().invoke(doctor.app, [])
    assert result.exit_code == 1 and 'missing: pip install "anyscene[pipeline]"' in result.stdout


def test_all_that_is_found_has_three_quarters_of_a_narrow_terminal(tmp_path):
    """Names of what is looked for are short; paths stand beside them."""
    file = tmp_path / ("a" * 60) / "params.yaml"
    file.parent.mkdir()
    shutil.copy(REPOSITORY / "params.yaml", file)
    arguments = (("--params", str(file)), ("--preset", "scannet", "--params", str(file)), (str(file.parent),))
    for given in arguments:
        record = json.loads(CliRunner().invoke(doctor.app, [*given, "--json"]).stdout)
        assert max(len(check["what"]) for check in record["checks"]) <= 20
        assert any(str(file.parent) in check["found"] for check in record["checks"]) or "--preset" in given


def test_doctor_says_where_missing_weights_are_had(tmp_path, monkeypatch):
    values = parameters.read()
    values["segmenters"] |= {"names": ["lseg"], "weights": "weights"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    found, _, said = doctor.check_model("lseg", parameters.load())
    assert not found and "weights/lseg/demo_e200.ckpt" in said and "isl-org/lang-seg" in said
    (tmp_path / "weights/lseg").mkdir(parents=True)
    (tmp_path / "weights/lseg/demo_e200.ckpt").write_text("<html>404</html>")
    found, _, said = doctor.check_model("lseg", parameters.load())
    assert not found and "demo_e200.ckpt: no file of PyTorch, it begins with '<html>404</html>'" in said
    torch.save({}, tmp_path / "weights/lseg/demo_e200.ckpt")
    assert doctor.check_model("lseg", parameters.load())[0]
    found, _, said = doctor.check_model("oneformer", parameters.load())
    assert not found and "weights/oneformer/config.json" in said and "huggingface.co/shi-labs" in said
    values["segmenters"] |= {"names": [], "captioner": "blip"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    checks = doctor.check_settings(parameters.load(), Path("params.yaml"))
    said = [said for found, what, said in checks if what == "captioner blip"]
    assert len(said) == 1 and "weights/blip/config.json" in said[0] and "huggingface.co/Salesforce" in said[0]
    assert "run `make zoo`" in doctor.check_model("dense", parameters.load())[2]
    assert "docs/segmenters.md" in doctor.check_model("mine", parameters.load())[2]
    assert "docs/precomputed.md" in doctor.check_model("odise", parameters.load())[2]
    for name in ("maskclip", "grounded", "sam3", "mask2former", "seem"):
        assert f"`anyscene weights fetch {name}`" in doctor.check_model(name, parameters.load())[2]


def test_doctor_looks_at_every_file_of_weights_that_a_model_reads(tmp_path, monkeypatch):
    """Grounding DINO's beside SAM's, and those inside a pipeline that draws images."""
    values = parameters.read()
    values["segmenters"] |= {"names": ["grounded"], "weights": "weights"}
    values["synthesis"] |= {"diffusion": "weights/drawing"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    for folder, files in (("grounded", grounded.FILES), ("drawing", ("model_index.json",))):
        (tmp_path / "weights" / folder).mkdir(parents=True)
        for name in files:
            (tmp_path / "weights" / folder / name).write_text("<html>")
    torch.save({}, tmp_path / "weights/grounded/sam_vit_b_01ec64.pth")
    unet = tmp_path / "weights/drawing/unet/diffusion_pytorch_model.safetensors"
    unet.parent.mkdir()
    unet.write_text("version https://git-lfs.github.com/spec/v1")
    checks = {
        what: (fine, said)
        for fine, what, said in doctor.check_settings(parameters.load(), Path("params.yaml"))
    }
    fine, said = checks["2D model grounded"]
    assert (
        not fine and "model.safetensors: no safetensors file, it begins with '<html>'; get it again" in said
    )
    fine, said = checks["text-to-image model"]
    assert (
        not fine and "diffusion_pytorch_model.safetensors: no safetensors file, it begins with 'ver" in said
    )
    (tmp_path / "weights/grounded/model.safetensors").unlink()
    save_file({"a": torch.ones(1)}, tmp_path / "weights/grounded/model.safetensors")
    save_file({"a": torch.ones(1)}, unet)
    checks = {what: fine for fine, what, _ in doctor.check_settings(parameters.load(), Path("params.yaml"))}
    assert checks["2D model grounded"] and checks["text-to-image model"]


def test_doctor_says_what_a_preset_needs_and_costs(tmp_path, monkeypatch):
    params = str(Path("params.yaml").resolve())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(doctor.app, ["--preset", "scannet", "--params", params])
    assert result.exit_code == 1
    for words in (
        "weights/lseg/demo_e200.ckpt: no LSeg weights",
        "weights/seem/seem_focall_v0.pt: no SEEM weights",
        "weights/clip-vit-b32/open_clip_model.safetensors: not there; `anyscene weights fetch clip-vit-b32`",
        "weights/stable-diffusion-v1-5: not there; `anyscene weights fetch stable-diffusion-v1-5`",
        "weights/sam/sam_vit_h_4b8939.pth: not there; `anyscene weights fetch sam_vit_h`",
        "scans/scannet: no such folder",
        "1,513 scenes, 125,000 views",
        "seem                  125,000 views, ",
        "1,000 images, hours: not measured",
        "distilled: 70 epochs of 1,201 scenes",
        "84,072 passes over scenes, ",
        "weights/tap/models/tap_vit_h_v1_1.pkl: no such weights",
        "125,000 views, each mask of them, ",
        # 61 bytes of a point, 1026 of each of two models, 1031 of the fusion; 150,000 points in 1,513 scenes
        "up to 3.14 GB a million points",
        "714 GB if a scene has 150,000",
    ):
        assert words in result.stdout, result.stdout
    assert "elsewhere" not in result.stdout and "anyscene frames" not in result.stdout
    assert result.stdout.partition("in this order\n")[2].splitlines() == [
        "    # get the scans of scannet into scans/scannet: from http://www.scan-net.org",
        "    anyscene init scannet --preset scannet --root scans/scannet  # makes a project of its own",
        "    cd scannet  # all that follows is done there",
        "    anyscene weights fetch seem tap clip-vit-b32 stable-diffusion-v1-5 sam_vit_h  # into weights",
        "    # put demo_e200.ckpt into weights/lseg: from https://github.com/isl-org/lang-seg "
        '("Download Demo Model")',
        "    anyscene weights verify  # says whether they are whole",
        "    anyscene doctor  # says what is still missing",
        '    git add --all && git commit --message "Start"  # DVC\'s experiments want a commit',
        "    dvc repro  # computes everything",
        '    git add --all && git commit --message "First run"  # what an experiment goes back to',
        "    anyscene evaluation --show  # prints the table",
    ]
    assert list(tmp_path.iterdir()) == []
    result = CliRunner().invoke(doctor.app, ["--preset", "none", "--params", params])
    assert result.exit_code == 1 and "no preset is called 'none'" in result.stderr


def planned(*arguments):
    result = CliRunner().invoke(doctor.app, ["--preset", "scannet", "--json", *map(str, arguments)])
    return result, json.loads(result.stdout or "{}")


def test_doctor_says_what_a_preset_costs_before_its_scans_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no project
    (tmp_path / "scans").mkdir()
    result, record = planned("--root", "scans")
    assert result.exit_code == 1 and record["data"]["views"] == 125_000, result.output
    assert {one["what"]: one["found"] for one in record["checks"]}["raw scans"].startswith("scans: is empty")
    assert [step["do"] for step in record["steps"]][:2] == [
        "get the scans of scannet into scans",
        "anyscene init scannet --preset scannet --root scans",
    ]
    result, _ = planned("--params", "none.yaml")
    assert result.exit_code == 1 and "none.yaml: no such file" in result.stderr


def test_doctor_does_not_plan_another_project_where_one_is_at_hand(tmp_path, monkeypatch):
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    presets.write("scannet", Path("params.yaml"), Path("scans"))
    assert planned("--root", "scans")[1]["steps"][1]["do"] == "anyscene preset scannet --root scans"


@pytest.mark.parametrize(
    ("speeds", "said"),
    [
        ({}, "not known: no rate was measured"),
        # 125,000 views, 1,000 synthesised images, 120,096 visits of scenes
        ({"lseg": ("CPU, 1 thread", 1.0)}, "at least 35 hours on CPU, 1 thread: take a GPU"),
        ({"lseg": ("CPU, 1 thread", 10.0)}, "at least 4 hours on CPU, 1 thread"),
        (
            dict.fromkeys(("lseg", "seem", "tap", "sd15", "sam vit_h"), ("a GPU", 10.0))
            | dict.fromkeys(("superpoint 18A, 2 cm", "ensembling 18A, 2 cm"), ("another", 10.0)),
            "about 11 hours on a GPU and 3 hours on another",
        ),
    ],
)
def test_hours_are_summed_up(tmp_path, monkeypatch, speeds, said):
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    rows = [
        {"what": what, "device": device, "setting": "s", "per_second": speed}
        for what, (device, speed) in speeds.items()
    ]
    Path("reports").mkdir()
    Path("reports/throughput.json").write_text(json.dumps(rows))
    result = CliRunner().invoke(doctor.app, ["--preset", "scannet"])
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(" in all ")]
    assert line.removeprefix(" in all ").strip() == said


@pytest.mark.parametrize(("free", "fine"), [(713e9, False), (715e9, True)])
def test_a_run_without_scans_has_the_disk_of_its_preset(tmp_path, monkeypatch, free, fine):
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    presets.write("scannet", Path("params.yaml"), Path("scans"))
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=int(free)))
    record = json.loads(CliRunner().invoke(doctor.app, ["--json"]).stdout)
    (found,) = [one for one in record["checks"] if one["what"] == "disk"]
    assert found["fine"] == fine and "demo" not in found["found"]
    assert "GB free; a run takes up to 3.14 GB a million points" in found["found"]
    assert found["found"].endswith("714 GB if a scene has 150,000")


def test_of_scans_of_which_nothing_is_known_no_disk_is_foretold(tmp_path, monkeypatch):
    Project.create(tmp_path, dataset={"name": "mine", "root": "scans"})
    monkeypatch.chdir(tmp_path)
    record = json.loads(CliRunner().invoke(doctor.app, ["--json"]).stdout)
    (found,) = [one for one in record["checks"] if one["what"] == "disk"]
    assert found["found"].endswith("GB free; what a run takes is not known without the scans")


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A project of three scans, one of which is imported."""
    Project.create(tmp_path, dataset={"name": "mine", "root": "scans"})
    write_scans(tmp_path / "scans", train=["a", "b"], val=["c"])
    (tmp_path / "stages").symlink_to(REPOSITORY / "stages")
    group = store.create(tmp_path / "data/scenes/a.zarr", "key")
    store.write(group, "xyz", np.random.default_rng(0).random((100_000, 3), np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("models", "data/demo"):
        (tmp_path / name).symlink_to(REPOSITORY / name)


def test_doctor_foretells_the_disk_from_the_scenes_that_are_there(scans):
    result = CliRunner().invoke(doctor.app, [])
    assert result.exit_code == 0, result.stdout
    rows = {
        row.split()[0]: row.split()[1:] for row in result.stdout.partition("lies on disk")[2].splitlines()[1:]
    }
    assert rows["data/scenes"] == ["0.003", "0.001", "by", "1", "of", "3"]
    # 3 scenes of 100,000 points, 384 channels of f2, and a count; histories of two: 20 classes, f4, twice
    assert rows["data/projection/dense"] == ["0.231", "0.000", "at", "most,", "for", "3"]
    assert rows[".cache/training/ensembled"] == ["0.032", "0.000", "at", "most,", "for", "2"]
    record = json.loads(CliRunner().invoke(doctor.app, ["--json"]).stdout)
    dense = next(one for one in record["disk"] if one["folder"] == "data/projection/dense")
    assert dense == {
        "folder": "data/projection/dense",
        "bytes": 231_000_000,
        "there": 0,
        "measured": 0,
        "of": 3,
    }
    (found,) = [one for one in record["checks"] if one["what"] == "disk"]
    whole, there = (sum(one[key] for one in record["disk"]) / 1e9 for key in ("bytes", "there"))
    assert f"takes at most {whole:.1f} GB, of which {there:.1f} are there" in found["found"] and found["fine"]


def test_a_damaged_artefact_is_named_and_no_disk_is_foretold_of_another_data_set(scans):
    Path("data/scenes/a.zarr/zarr.json").write_text("{")
    result = CliRunner().invoke(doctor.app, ["--json"])
    record = json.loads(result.stdout)
    checks = {one["what"]: one for one in record["checks"]}
    assert result.exit_code == 1 and "disk" not in record
    assert "a.zarr" in checks["artefacts"]["found"] and not checks["artefacts"]["fine"]
    assert "GB free; a run takes up to" in checks["disk"]["found"]


def test_the_demo_is_said_to_take_so_much_before_its_rooms_are_built(tmp_path, monkeypatch):
    Project.create(tmp_path, dataset={"name": "demo", "root": "data/world"})
    monkeypatch.chdir(tmp_path)
    record = json.loads(CliRunner().invoke(doctor.app, ["--json"]).stdout)
    (found,) = [one for one in record["checks"] if one["what"] == "disk"]
    assert found["found"].endswith(f"the demo's run takes up to {doctor.DISK_GB} GB")


def test_a_disk_is_too_small_for_what_was_measured_not_for_an_upper_bound(scans, monkeypatch):
    usage = shutil.disk_usage(".")

    def fine(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        record = json.loads(CliRunner().invoke(doctor.app, ["--json"]).stdout)
        return next(one["fine"] for one in record["checks"] if one["what"] == "disk")

    scenes = 2 * disk.taken(Path("data/scenes/a.zarr"))  # two are still to come
    assert fine(scenes) and not fine(scenes - 1)


def test_doctor_as_json():
    result = CliRunner().invoke(main.app, ["doctor", "--json"])
    record = json.loads(result.stdout)
    assert list(record) == ["checks"]
    checks = {one["what"]: one for one in record["checks"]}
    assert checks["zarr"] == {"fine": True, "what": "zarr", "found": "installed"}
    assert (result.exit_code == 0) == all(one["fine"] for one in checks.values())


def test_doctor_of_a_preset_as_json():
    record = json.loads(CliRunner().invoke(main.app, ["doctor", "--preset", "scannet", "--json"]).stdout)
    assert list(record) == ["checks", "data", "work", "disk", "steps"]
    assert record["data"]["scenes"] == 1513 and record["disk"]["bytes"] == 1513 * 150_000 * 3144
    seem = next(one for one in record["work"] if one["what"] == "seem")
    assert seem["count"] == 125_000 and seem["hours"] > 0  # by the rate in reports/throughput.json
    tap = next(one for one in record["work"] if one["what"] == "tap")
    assert tap["count"] == 125_000 and tap["hours"] > 0
    assert [step["by_hand"] for step in record["steps"]].count(True) == 2


@pytest.mark.parametrize(
    ("settings", "fine"),
    [
        ({"PYTHONUTF8": "1"}, True),
        ({"LC_ALL": "C"}, True),  # Python takes this for UTF-8
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, False),
    ],
)
def test_files_are_read_in_utf8(settings, fine):
    code = "from anyscene.cli.main import app; app(['doctor', '--json'])"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | settings)
    (check,) = [one for one in json.loads(done.stdout)["checks"] if one["what"] == "encoding"]
    assert check["fine"] == fine and (fine or "set PYTHONUTF8=1" in check["found"])
