"""The packages of docs/how-to/add-a-*.md, installed as they stand there: their tests pass, and `anyscene`
lists what they offer."""

import os
import subprocess
import sys
import tomllib

import pytest

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
