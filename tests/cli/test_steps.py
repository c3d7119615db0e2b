import dataclasses
from pathlib import Path

import pytest

from anyscene.cli.steps import steps
from anyscene.project import presets
from anyscene.weights import needed


@pytest.fixture
def params(tmp_path, monkeypatch):
    (tmp_path / "my scans" / "scene0000_00").mkdir(parents=True)
    found = presets.load("scannet", Path("params.yaml"), tmp_path / "my scans")
    monkeypatch.chdir(tmp_path)
    return found


def test_steps_begin_with_a_project_of_its_own_where_none_is_at_hand(params, tmp_path):
    begin = f"anyscene init scannet --preset scannet --root '{tmp_path}/my scans'"
    assert [step.do for step in steps("scannet", params, at_hand=False)][:2] == [begin, "cd scannet"]
    (tmp_path / "weights").mkdir()
    found = [step.do for step in steps("scannet", params, at_hand=False)]
    assert found[:3] == [begin, "mv weights scannet/", "cd scannet"]
    assert found.index('git add --all && git commit --message "Start"') + 1 == found.index("dvc repro")


def test_steps_leave_out_what_is_there(params, tmp_path):
    for entry in needed.of(params):
        for file in entry.files:
            path = tmp_path / "weights" / entry.folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert [step.do for step in steps("scannet", params, at_hand=True)] == [
        f"anyscene preset scannet --root '{tmp_path}/my scans'",
        "anyscene doctor",
        "dvc repro",
        'git add --all && git commit --message "First run"',
        "anyscene evaluation --show",
    ]
    (tmp_path / "weights/tap/text_tokenizer.model").unlink()
    section = dataclasses.replace(params.segmenters, names=("lseg", "odise"))
    params = dataclasses.replace(params, segmenters=section)
    assert [step.do for step in steps("scannet", params, at_hand=True)][1:7] == [
        "anyscene weights fetch tap",
        "anyscene weights verify",
        "dvc repro scenes synthesis",
        "anyscene frames",
        "run odise on data/frames",
        "anyscene convert FOLDER --from odise --out weights/odise",
    ]


def test_steps_fetch_no_other_weights_of_a_model_that_has_some(params, tmp_path):
    """SEEM and TAP were published in several files, of which one is enough."""

    def fetched():
        return [step.do for step in steps("scannet", params, at_hand=True)][1].split()

    assert fetched()[:5] == ["anyscene", "weights", "fetch", "seem", "tap"]
    for file in ("seem/seem_focalt_v1.pt", "tap/models/tap_vit_l_v1_1.pkl", "tap/text_tokenizer.model"):
        path = tmp_path / "weights" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert fetched()[3] == "clip-vit-b32"


@pytest.mark.parametrize("there", [True, False])
def test_tensorflow_is_installed_first_where_openseg_wants_it(params, monkeypatch, there):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if there else None)
    section = dataclasses.replace(params.segmenters, names=("openseg", "seem"))
    found = steps("nuscenes", dataclasses.replace(params, segmenters=section), at_hand=True)
    asked = [step.do for step in found if step.do.startswith("pip")]
    assert asked == ([] if there else ['pip install "anyscene[openseg]"'])
