"""Where nothing else can be written, caches lie below the temporary folder, which is nobody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from anyscene.project import caches
from anyscene.text import kept
from tests.builders import REPOSITORY


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder, in which nothing is yet."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    caches.temporary.cache_clear()
    yield folder
    caches.temporary.cache_clear()


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A home in which nothing can be written, even by root: it is a file."""
    home = tmp_path / "home"
    home.write_text("")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return home


def test_the_usual_place_is_taken_where_it_can_be_written(tmp_path, temporary):
    assert caches.folder(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    assert list(temporary.iterdir()) == []


def test_else_each_has_a_place_of_its_own_below_the_temporary_one(nobody, temporary):
    first, second = caches.folder(nobody / "texts"), caches.folder(nobody / "deep" / "texts")
    assert first != second and first == caches.folder(nobody / "texts")
    assert first.parent == second.parent == temporary / f"anyscene-{os.getuid()}"
    assert first.parent.stat().st_mode & 0o777 == 0o700
    assert kept.folder().parent == first.parent


def test_a_folder_that_others_may_write_is_not_taken(temporary):
    others = temporary / f"anyscene-{os.getuid()}"
    others.mkdir()
    others.chmod(0o777)
    assert caches.temporary() != others and caches.temporary().stat().st_mode & 0o777 == 0o700


def test_nor_a_link(temporary, tmp_path):
    (temporary / f"anyscene-{os.getuid()}").symlink_to(tmp_path)
    assert caches.temporary().name.startswith("anyscene-") and not caches.temporary().is_symlink()


@pytest.mark.parametrize("writable", [True, False])
def test_libraries_are_told_where_they_could_not_write(writable, nobody, temporary, tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "module.py").write_text("")
    if not writable:
        (code / "__pycache__").write_text("")
    monkeypatch.setattr(caches, "PACKAGES", code)
    caches.settle()
    place = str(temporary / f"anyscene-{os.getuid()}" / "numba")
    assert os.environ.get("NUMBA_CACHE_DIR") == (None if writable else place)
    assert os.environ["MPLCONFIGDIR"] == str(temporary / f"anyscene-{os.getuid()}" / "matplotlib")
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        os.environ[name] = "said"
    caches.settle()
    assert os.environ["NUMBA_CACHE_DIR"] == os.environ["MPLCONFIGDIR"] == "said"


def test_code_that_cannot_be_written_is_compiled(nobody, temporary, tmp_path):
    """Before, numba refused: "cannot cache function ... no locator available"."""
    code = tmp_path / "code"
    shutil.copytree(REPOSITORY / "pipeline", code, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {file.parent for file in code.rglob("*.py")}:
        (folder / "__pycache__").write_text("")
    run = "import numpy as np; from anyscene.networks import voxels; print(voxels.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(code), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-c", run], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(code))
