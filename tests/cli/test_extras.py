"""Commands where the packages of extras are not installed."""

import json
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from anyscene.cli import main
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

HIDDEN = "import json, sys; sys.modules |= dict.fromkeys(json.loads(sys.argv.pop(1)))\n"
COMMAND = "from anyscene.cli.main import app; app(prog_name='anyscene')"
LOAD = """
from anyscene.cli.main import TOOLS, load
print(*[name for name in TOOLS if name != "view" and load(name)])
"""


def run(hidden, code, *arguments, cwd=None):
    """A process in which importing one of the modules `hidden` fails as where it is not installed."""
    return subprocess.run(
        [sys.executable, "-c", HIDDEN + code, json.dumps(list(hidden)), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def clone(tmp_path):
    shutil.copytree(REPOSITORY / "stages", tmp_path / "stages")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("viser", "viewer", ["view"]),
        ("dvclive", "pipeline", ["training", "distilled"]),
        ("jinja2", "pipeline", ["report"]),
        ("diffusers", "synthesis", ["synthesis"]),
        ("embreex", "demo", ["world"]),
    ],
)
def test_a_command_names_the_extra_that_it_needs(clone, module, extra, command):
    done = run([module], COMMAND, *command, cwd=clone)
    assert done.stderr == f'anyscene {command[0]} needs {module}: pip install "anyscene[{extra}]"\n'
    assert done.returncode == 1 and done.stdout == ""


def test_the_tools_of_the_core_need_no_extra(tmp_path):
    lines = [Requirement(line) for line in metadata.requires("anyscene")]
    of_extras = {canonicalize_name(one.name) for one in lines if one.marker} - {"jinja2"}  # PyTorch brings it
    hidden = [
        name
        for name, held in metadata.packages_distributions().items()
        if of_extras & {canonicalize_name(one) for one in held}
    ]
    assert {"viser", "dvc", "diffusers", "open_clip", "torchvision"} <= set(hidden)
    done = run(hidden, LOAD, cwd=tmp_path)
    assert done.stdout.split() == [name for name in main.TOOLS if name != "view"], done.stderr
