"""What `dvc repro` runs after a change of code, of packages, of files that parameters name."""

import json

import pytest

pytestmark = pytest.mark.integration

FUSE = "pipeline/anyscene/fusion/fuse.py"


def edit(workspace, file, old, new):
    path = workspace.folder / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_words_and_unused_modules_run_nothing(workspace):
    folders = ("data/fusion", "data/labels", "data/projection", "data/superpoints")
    before = workspace.artefacts(*folders)
    edit(workspace, FUSE, '"""', '"""Other words. ')
    edit(
        workspace,
        "pipeline/anyscene/lifting/superpoints.py",
        "\nimport ",
        "\n# why this is imported\nimport ",
    )
    edit(workspace, "pipeline/anyscene/show/charts.py", "\nimport ", "\nUNUSED = 1\nimport ")
    result = workspace.dvc("repro", "fusion", "labels")
    assert result.code == 0 and result.stages == [], result.output
    assert workspace.artefacts(*folders) == before


def test_a_changed_formula_runs_what_reaches_it_and_gives_new_bytes(workspace):
    before = workspace.artefacts("data/fusion", "data/projection")
    edit(workspace, FUSE, "tau: float = 0.05,", "tau: float = 0.05,  # a default")
    assert workspace.dvc("repro", "fusion").stages == []
    edit(workspace, FUSE, "best) / tau)", "best) / tau / 2)")
    result = workspace.dvc("repro", "fusion", "labels")
    assert result.code == 0 and result.stages == ["fusion"], result.output
    assert "fusion: 3 computed, 0 unchanged" in result.output
    after = workspace.artefacts("data/fusion", "data/projection")
    changed = {path.split("/")[1] for path in before if before[path] != after[path]}
    assert changed == {"fusion"} and any(
        before[path] != after[path] for path in before if "/weight/c." in path
    )


def test_a_stage_that_is_run_by_hand_follows_the_same_rule(workspace):
    """Without DVC: the key in the attributes is compared, not dvc.lock."""
    edit(workspace, FUSE, '"""', '"""Other words. ')
    assert "fusion: 0 computed, 3 unchanged" in workspace.run("-m", "stages.fusion").output
    edit(workspace, FUSE, "best) / tau)", "best) / tau / 2)")
    assert "fusion: 3 computed, 0 unchanged" in workspace.run("-m", "stages.fusion").output


def test_a_refactoring_is_adopted_and_nothing_after_it_is_computed(workspace):
    before = workspace.artefacts("data/superpoints", "data/fusion")
    edit(workspace, "pipeline/anyscene/lifting/superpoints.py", "\ndef ", "\nRENAMED = 1\n\n\ndef ")
    result = workspace.run("-m", "anyscene.cli.main", "adopt", "superpoints", "--check", "2")
    assert result.code == 0 and "superpoints: 2 compared, 3 adopted" in result.output, result.output
    result = workspace.dvc("repro", "fusion")
    assert result.stages == ["superpoints"], result.output
    assert "superpoints: 0 computed, 3 unchanged" in result.output
    after = workspace.artefacts("data/superpoints", "data/fusion")
    changed = [path for path in before if before[path] != after[path]]
    assert len(changed) == 3 and all(path.endswith(".zarr/zarr.json") for path in changed)
    attributes = json.loads(after[changed[0]])["attributes"]
    assert len(attributes["adopted"]) == 1 and len(attributes["adopted"][0]["compared"]) == 2


def test_what_a_formula_changes_is_not_adopted(workspace):
    edit(workspace, FUSE, "best) / tau)", "best) / tau / 2)")
    result = workspace.run("-m", "anyscene.cli.main", "adopt", "fusion")
    assert result.code == 1 and "today's code makes different bytes" in result.output
    assert "fusion: 3 computed, 0 unchanged" in workspace.run("-m", "stages.fusion").output


def test_a_damaged_artefact_is_made_again_and_not_recorded(workspace):
    """How a file is damaged makes no difference: tests of `per_scene` try them all."""
    whole = workspace.artefacts("data/fusion")
    file = next(path for path in sorted(whole) if "/superpoint_feature/c." in path)
    path = workspace.folder / file
    path.write_bytes(path.read_bytes()[:-1])
    locked = workspace.lock()["fusion"]
    result = workspace.dvc("repro", "fusion")
    assert result.code == 0 and "fusion: 1 computed, 2 unchanged" in result.output, result.output
    assert workspace.artefacts("data/fusion") == whole
    assert workspace.lock()["fusion"]["outs"] == locked["outs"]


def test_another_version_of_a_package_makes_stale_what_imports_it(workspace, tmp_path):
    """Its metadata is all that is faked: were it run, the stage would find nothing else changed."""
    fake = tmp_path / "fake/open_clip_torch-99.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: open_clip_torch\nVersion: 99\n")
    (fake / "top_level.txt").write_text("open_clip\n")
    assert workspace.run("-m", "stages", path=fake.parent).code == 0
    stale = {name.partition("@")[0] for name in workspace.dvc("repro", "--dry", "fusion").stages}
    assert {"projection", "capability", "fusion"} <= stale
    assert not stale & {"world", "scenes", "labels", "superpoints"}
    result = workspace.dvc("repro", "--single-item", "fusion", path=fake.parent)
    assert result.code == 0 and "fusion: 3 computed, 0 unchanged" in result.output, result.output
