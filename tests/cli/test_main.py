import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anyscene.cli import main


def test_help_lists_all_commands_without_importing_them():
    code = """
import sys
from anyscene.cli.main import app
app(["--help"], standalone_mode=False)
print("torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"
    for name in (*main.stages(), *main.TOOLS):
        assert f"  {name} " in result.stdout


def test_help_ends_with_all_exit_codes():
    said = " ".join(CliRunner().invoke(main.app, ["--help"]).output.split())
    codes = [
        int(code)
        for code in re.findall(r"(\d+) (?:done|refused|called|stopped)", said.split("Exit codes: ")[1])
    ]
    assert codes == [0, 1, 2, 130]


def test_subcommand_has_its_own_help():
    result = CliRunner().invoke(main.app, ["scenes", "--help"])
    assert result.exit_code == 0 and "Import the raw scans" in result.stdout and "--params" in result.stdout


def test_unknown_command():
    result = CliRunner().invoke(main.app, ["nonsense"])
    assert result.exit_code == 2 and "No such command 'nonsense'" in result.stderr


@pytest.mark.parametrize("name", [*main.stages(), *main.TOOLS])
def test_every_command_exists(name):
    result = CliRunner().invoke(main.load(name), ["--help"])
    assert result.exit_code == 0 and "Usage" in result.stdout


def test_a_stage_is_run_in_a_project_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main.app, ["fusion"])
    assert result.exit_code == 2 and "Stages are commands of a project" in result.stderr


@pytest.mark.integration
def test_tools_import_nothing_from_the_current_folder(tmp_path):
    (tmp_path / "anyscene.py").write_text("raise SystemExit('taken from the current folder')")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text("raise SystemExit('taken from the current folder')")
    (tmp_path / "stages/query.py").write_text("raise SystemExit('taken from the current folder')")
    command = [str(Path(sys.executable).with_name("anyscene")), "query", "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0 and "Usage: anyscene query" in result.stdout, result.stderr


def test_version_is_that_of_the_metadata():
    result = CliRunner().invoke(main.app, ["--version"])
    assert result.exit_code == 0 and result.stdout == f"anyscene {metadata.version('anyscene')}\n"


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")  # sets one of the eight colours


@pytest.mark.parametrize("words", [["doctor", "--params", "none.yaml"], ["inspect", "nowhere"]])
def test_colour_only_where_it_is_wanted(words):
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": None}
    shown = CliRunner().invoke(main.app, words, env=terminal)
    assert shown.exit_code == 1 and COLOUR.search(shown.output)
    plain = CliRunner().invoke(main.app, words, env=terminal | {"NO_COLOR": "1"})
    assert plain.exit_code == 1 and not COLOUR.search(plain.output)
    piped = CliRunner().invoke(main.app, words, env={"FORCE_COLOR": None, "NO_COLOR": None})
    assert piped.exit_code == 1 and "\x1b" not in piped.output


@pytest.mark.parametrize("content", [b"\xb1", b"[", b"stages: 3", b"stages:\n- [1]", b"a: 1"])
def test_a_damaged_dvc_yaml_hides_the_stages_alone(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_bytes(content)
    assert main.stages() == {}
