"""The packages of docs/how-to/add-a-*.md, installed as they stand there: their tests pass, and `anyscene`
lists what they offer. The script of docs/how-to/many-machines.md runs what its preset names."""

import os
import subprocess
import sys
import tomllib

import pytest

from anyscene.project import presets
from tests.builders import REPOSITORY, pages

pytestmark = pytest.mark.integration

ADDING = sorted((REPOSITORY / "docs" / "how-to").glob("add-a*.md"))


@pytest.mark.parametrize("page", ADDING, ids=lambda page: page.stem)
def test_the_package_works(page, tmp_path):
    files = {name: block.code for block in pages.blocks(page) if (name := block.file) is not None}
    (toml,) = (block.code for block in pages.blocks(page) if block.language == "toml")
    offered = tomllib.loads(toml)["project"]["entry-points"]
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    lines = [f"[{group}]\n{name} = {value}\n" for group, of in offered.items() for name, value in of.items()]
    (info / "entry_points.txt").write_text("".join(lines))

    tests = [name for name in files if name.startswith("test_")]
    assert len(tests) == 1 and len(files) > 1
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY / "pipeline")])}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *tests]
    done = subprocess.run(suite, **run)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
    said = subprocess.run([sys.executable, "-m", "anyscene.cli.main", "--help"], **run, check=True).stdout
    assert all(name in said for of in offered.values() for name in of)


def test_the_script_for_four_gpus_runs_the_models_and_networks_of_the_preset():
    settings = presets.load("scannet", REPOSITORY / "params.yaml")
    page = (REPOSITORY / "docs/how-to/many-machines.md").read_text()
    assert f'models="{" ".join(settings.segmenters.names)}" ' in page
    assert f"for network in {' '.join(settings.training)}; do" in page
    for entry in settings.training.values():
        assert (4 * entry.batch, entry.accumulate) == (12, 4)
    assert "set batch 12 and accumulate 1 in params.yaml" in page
    shown = [line.split()[-2] for line in page.splitlines() if line.startswith("CUDA_VISIBLE_DEVICES")]
    assert shown == list(settings.segmenters.names)
