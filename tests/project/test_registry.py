import os
import sys
from importlib import metadata
from pathlib import Path

import pytest

from anyscene.errors import ConfigError
from anyscene.project.registry import Registry

GROUP = "anyscene.things"


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Install a package that offers entries of GROUP."""

    def offer(package, *entries):
        folder = tmp_path / package
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(f"{line}\n" for line in entries))
        (folder / f"{package}_things.py").write_text("ENTRY = 'what is offered'\n")

    return offer


def test_entries_are_found_by_name(offer):
    offer("first_package", "b = first_package_things:ENTRY", "a = first_package_things:ENTRY")
    offer("second_package", "c = second_package_things:ENTRY")
    assert Registry(GROUP).names() == ("a", "b", "c")
    assert Registry(GROUP).get("c") == "what is offered"


def test_a_package_that_comes_to_a_known_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    os.utime(tmp_path, (60, 60))  # long ago
    assert Registry(GROUP).names() == ()
    info = tmp_path / "fifth_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fifth_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ne = fifth_package_things:ENTRY\n")
    assert Registry(GROUP).names() == ("e",)


def test_what_is_installed_is_read_once(monkeypatch):
    read, asked = metadata.entry_points, []
    monkeypatch.setattr(metadata, "entry_points", lambda **group: asked.append(group) or read(**group))
    for _ in range(20):
        Registry(GROUP).names()
    assert len(asked) <= 1


def test_an_unknown_name_is_told_those_that_are_known(offer):
    with pytest.raises(ConfigError, match=r"anyscene\.things: nothing is called 'z'; known: none"):
        Registry(GROUP).get("z")
    offer("third_package", "y = third_package_things:ENTRY", "x = third_package_things:ENTRY")
    with pytest.raises(ConfigError, match="nothing is called 'z'; known: x, y"):
        Registry(GROUP).get("z")


def test_names_are_known_without_an_import(offer):
    offer("fourth_package", "absent = no_such_module:ENTRY", "empty = fourth_package_things:NOTHING")
    assert Registry(GROUP).names() == ("absent", "empty")
    for name in ("absent", "empty"):
        with pytest.raises(ConfigError, match=rf"'{name}' cannot be imported from .*; install its package"):
            Registry(GROUP).get(name)


def test_an_entry_whose_extra_is_missing_names_it(offer, monkeypatch):
    offer("seventh_package", "page = seventh_package_page:ENTRY")
    (Path(sys.path[0]) / "seventh_package_page.py").write_text("import viser\n\nENTRY = 1\n")
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(ConfigError, match=r'it needs viser: pip install "anyscene\[viewer\]"'):
        Registry(GROUP).get("page")


def test_a_name_of_two_packages_is_refused(offer):
    offer("fifth_package", "a = fifth_package_things:ENTRY")
    offer("sixth_package", "a = sixth_package_things:ENTRY")
    with pytest.raises(ConfigError, match=r"'a' is offered by .* and .*; uninstall one"):
        Registry(GROUP).get("a")
