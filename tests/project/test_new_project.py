"""`anyscene init`: a project of one's own beside the clone."""

import inspect
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from anyscene.cli import main, predict
from anyscene.errors import ConfigError
from anyscene.project import new_project, parameters, presets
from tests.builders import REPOSITORY, capture
from tests.builders.workspace import Workspace


def initialise(*arguments):
    return CliRunner().invoke(main.app, ["init", *map(str, arguments)])


@pytest.fixture
def raw(tmp_path):
    capture.write_scans(tmp_path / "raw", train=["hall"], val=["kitchen"])
    return tmp_path / "raw"


def comments(file):
    """The comments of a YAML file, in their order."""
    return [line.partition("#")[2].strip() for line in file.read_text().splitlines() if "#" in line]


def test_it_is_the_clone_without_the_demo(tmp_path, raw):
    folder = tmp_path / "my project"
    result = initialise(folder, "--root", raw)
    assert result.exit_code == 0, result.output
    assert f"cd '{folder}'" in result.stdout and str(raw) in result.stdout
    *_, run, kept = result.stdout.splitlines()
    assert run.split() == ["dvc", "repro"] and 'git commit --message "First run"' in kept
    params, clone = parameters.load(folder / "params.yaml"), parameters.load(REPOSITORY / "params.yaml")
    assert (params.dataset.name, params.dataset.reader) == ("mine", "rgbd")
    assert params.dataset.root == str(raw) and params.training == clone.training
    assert comments(folder / "params.yaml") == comments(REPOSITORY / "params.yaml")
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    known = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert {"world": known["world"], **stages} == known and "world" not in stages
    assert {file.stem for file in (folder / "stages").glob("*.py")} == (
        known.keys() | {"__init__", "__main__"}
    ) - {
        "world",
        "freshness",
    }
    assert (folder / "models/demo/student/model.safetensors").is_file()
    assert sorted(path.name for path in (folder / "data").iterdir()) == [".gitignore"]
    assert (folder / ".git").is_dir() and not list(tmp_path.glob(".*.partial"))


def test_git_passes_over_what_commands_and_guides_write_at_the_top(tmp_path):
    folder = tmp_path / "mine"
    assert initialise(folder, "--preset", "scannet").exit_code == 0
    default = inspect.signature(predict.predict).parameters["out"].default
    made = [str(default), "found.png", "dist/anyscene-0.1.0-py3-none-any.whl"]
    done = subprocess.run(
        ["git", "check-ignore", *made, "mesh.ply"], cwd=folder, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == made


@pytest.mark.integration
@pytest.mark.parametrize("preset", [(), ("--preset", "scannet")])
def test_dvc_writes_its_parameters_as_they_are(tmp_path, preset):
    from dvc.utils.hydra import apply_overrides

    assert initialise(tmp_path / "mine", *preset).exit_code == 0
    path = tmp_path / "mine/params.yaml"
    before = path.read_text()
    apply_overrides(path, ["report.scenes=4"])
    assert path.read_text() == before


def test_a_preset_takes_none_of_the_demo(tmp_path):
    result = initialise(tmp_path / "scannet", "--preset", "scannet")
    assert result.exit_code == 0, result.output
    params = parameters.load(tmp_path / "scannet/params.yaml")
    assert params == presets.load("scannet", REPOSITORY / "params.yaml", Path("scans"))
    assert not (tmp_path / "scannet/models/demo").exists() and (tmp_path / "scannet/scans").is_dir()


def test_in_a_repository_no_other_is_made(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert initialise(tmp_path / "below", "--preset", "scannet").exit_code == 0
    assert not (tmp_path / "below/.git").exists()


def test_a_git_that_fails_is_said(tmp_path, monkeypatch):
    """The project is there: only Git is left to be called."""
    (tmp_path / "git").write_text("#!/bin/sh\necho no room for hooks >&2\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = initialise(tmp_path / "mine", "--preset", "scannet")
    assert result.exit_code == 1 and (tmp_path / "mine/params.yaml").is_file()
    assert "mine: is written, but `git init` failed: no room for hooks\n" in result.stderr
    (tmp_path / "git").unlink()
    result = initialise(tmp_path / "other", "--preset", "scannet")
    assert result.exit_code == 1 and "other: is written, but git is not installed; then" in result.stderr


def test_what_is_refused_changes_nothing(tmp_path, raw, monkeypatch):
    (tmp_path / "file").touch()
    cases = [
        (("raw",), "raw: is there and not empty; name a new folder"),
        (("file",), "file: is there and not empty"),
        (("new", "--root", "nowhere"), "nowhere: no such folder; --root is that of the raw scans"),
        (("new", "--preset", "none"), "no preset is called 'none'"),
    ]
    monkeypatch.chdir(tmp_path)
    for arguments, message in cases:
        result = initialise(*arguments)
        assert result.exit_code == 1 and message in result.stderr, result.output
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "raw"]
    monkeypatch.setattr(new_project, "CLONE", tmp_path)
    with pytest.raises(ConfigError, match="no clone of the repository"):
        new_project.create(tmp_path / "new")


@pytest.mark.integration
def test_dvc_runs_in_it_and_its_dvc_yaml_is_fresh(tmp_path, raw):
    assert initialise(tmp_path / "mine", "--root", raw).exit_code == 0
    workspace = Workspace(tmp_path / "mine")
    path = REPOSITORY / "pipeline"
    done = workspace.dvc("repro", "superpoints", path=path)
    assert done.code == 0 and done.stages == ["scenes", "superpoints"], done.output
    assert "2 computed, 0 unchanged" in done.output
    _goes_back(workspace, path)
    before = (workspace.folder / "dvc.yaml").read_text()
    done = workspace.run("-m", "anyscene.cli.stages", "--write", path=path)
    assert done.code == 0 and (workspace.folder / "dvc.yaml").read_text() == before


def _goes_back(workspace, path):
    """As docs/how-to/experiments.md says: what was committed after a run comes back after an experiment."""

    def git(*arguments):
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        said = subprocess.run(
            ["git", *identity, *arguments], cwd=workspace.folder, capture_output=True, text=True
        )
        assert said.returncode == 0, said.stderr
        return said.stdout

    git("add", "--all")
    git("commit", "--quiet", "--message", "First run")
    lock = (workspace.folder / "dvc.lock").read_text()
    done = workspace.dvc("exp", "run", "-S", "superpoints.min_vertices=5", "superpoints", path=path)
    assert done.code == 0 and done.stages == ["superpoints"], done.output
    assert (workspace.folder / "dvc.lock").read_text() != lock
    git("checkout", "params.yaml", "dvc.lock", "reports")
    back = workspace.dvc("checkout", "superpoints", path=path)
    assert back.code == 0, back.output
    assert not git("status", "--short")
    again = workspace.dvc("repro", "superpoints", path=path)
    assert again.code == 0 and again.stages == [], again.output
