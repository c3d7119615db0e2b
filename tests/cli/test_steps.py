from pathlib import Path

from anyscene.cli.steps import steps
from anyscene.project import presets
from anyscene.weights import needed


def test_steps_leave_out_what_is_there(tmp_path, monkeypatch):
    params = presets.load("scannet", Path("params.yaml"), tmp_path / "my scans")
    monkeypatch.chdir(tmp_path)
    for entry in needed.of(params):
        for file in entry.files:
            path = tmp_path / "weights" / entry.folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert [step.do for step in steps("scannet", params)] == [
        f"anyscene preset scannet --root '{tmp_path}/my scans'",
        "anyscene doctor",
        "dvc repro",
        "anyscene evaluation --show",
    ]
    (tmp_path / "weights/blip/model.safetensors").unlink()
    (tmp_path / "weights/seem/precomputed.json").unlink()
    found = [step.do for step in steps("scannet", params)]
    assert found[1] == "anyscene weights fetch blip" and "anyscene frames" in found
