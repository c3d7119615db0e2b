import os
import time
from pathlib import Path

import pytest

from anyscene.project import digests, layout
from anyscene.project.digests import Digests


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "scan"
    (folder / "sub").mkdir(parents=True)
    for name, text in (("a", "one"), ("sub/b", "two"), ("truth", "three")):
        write(folder / name, text)
    return folder


def write(file, text, age=60):
    """Write a file that seems to be `age` seconds old."""
    file.write_text(text)
    os.utime(file, (time.time() - age,) * 2)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files whose content is read."""
    names, read = [], Path.open

    def watched(path, *arguments, **options):
        names.append(path.name)
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", watched)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Let files seem settled, because the time of their last change cannot be set."""
    monkeypatch.setattr(digests, "SETTLED", -1.0)


def digest(folder, memory=None):
    with Digests(memory) as of:
        return of(folder, lambda file: file.name != "truth")


def test_depends_on_names_and_contents_of_what_is_wanted(folder, tmp_path):
    first = digest(folder)
    write(folder / "truth", "four")
    assert digest(folder) == first
    folder.rename(tmp_path / "moved")
    assert digest(tmp_path / "moved") == first
    write(tmp_path / "moved" / "a", "eno")
    changed = digest(tmp_path / "moved")
    (tmp_path / "moved" / "a").rename(tmp_path / "moved" / "c")
    assert len({first, changed, digest(tmp_path / "moved")}) == 3


def test_what_is_linked_in_counts(folder, tmp_path):
    """A scan whose images lie elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "image", "one")
    first = digest(folder)
    (folder / "color").symlink_to(tmp_path / "elsewhere")
    second = digest(folder)
    write(tmp_path / "elsewhere" / "image", "two")
    assert len({first, second, digest(folder)}) == 3


def test_a_project_remembers_a_file_from_one_process_to_the_next(tmp_path, monkeypatch, settled, opened):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "weights", "one")
    opened.clear()
    first = digests.sha256(Path("weights"))
    assert (
        opened == ["weights"] and not (tmp_path / ".cache").exists()
    )  # outside of a project nothing is kept
    layout.DIGESTS.mkdir(parents=True)
    opened.clear()
    for path in ("weights", "./weights", str(tmp_path / "weights")):
        with Digests(layout.DIGESTS) as of:
            assert of.of_file(Path(path)) == first
    assert opened == ["weights"]
    write(tmp_path / "weights", "two", age=59)
    assert digests.sha256(Path("weights")) != first


def test_files_are_read_once(folder, tmp_path, opened, settled):
    first = digest(folder, tmp_path / "memory")
    assert sorted(opened) == ["a", "b"]
    assert digest(folder, tmp_path / "memory") == first and len(opened) == 2
    write(folder / "sub" / "b", "owt", age=50)  # of the same length
    opened.clear()
    assert digest(folder, tmp_path / "memory") != first and sorted(opened) == ["a", "b"]


def test_what_has_just_changed_is_not_remembered(folder, tmp_path, opened):
    digest(folder, tmp_path / "memory")
    digest(folder, tmp_path / "memory")
    assert len(opened) == 4


def test_of_a_folder_that_grows_only_new_files_are_read(folder, tmp_path, opened, settled):
    def grown():
        opened.clear()
        with Digests(tmp_path / "memory") as of:
            return of(folder, lambda _: True, growing=True), sorted(opened)

    first, read = grown()
    assert read == ["a", "b", "truth"] and grown() == (first, [])
    write(folder / "new", "five")
    second, read = grown()
    assert read == ["new"] and second != first
    assert second == Digests(None)(folder, lambda _: True)  # as if all were read
    write(folder / "sub" / "b", "owt", age=50)  # of the same length
    assert grown()[1] == ["b"]
    (folder / "new").unlink()
    write(folder / "sub" / "b", "two", age=40)
    assert grown() == (first, ["b"])


def test_of_a_folder_that_grows_what_has_just_changed_is_not_remembered(folder, tmp_path, opened):
    for _ in range(2):
        with Digests(tmp_path / "memory") as of:
            of(folder, lambda _: True, growing=True)
    assert len(opened) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_unreadable_folders_are_errors(folder, tmp_path, monkeypatch):
    (folder / "sub").chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="sub"):
            digest(Path("scan"))
    finally:
        os.seteuid(0)
