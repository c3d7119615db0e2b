"""The pages of docs/reference that are written by a program are what it writes."""

import dataclasses

import pytest

from docs.reference import write
from tests.builders import REPOSITORY


@pytest.fixture(autouse=True)
def clone(monkeypatch):
    """The repository as the current folder: there stages are commands."""
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("name", write.PAGES)
def test_pages_are_fresh(name):
    file = REPOSITORY / "docs" / "reference" / name
    assert file.read_text() == write.PAGES[name](), "run `python -m docs.reference.write`"


def test_meanings_stand_beside_fields_or_above_them():
    assert write.meanings(Documented) == {"one": "the first", "two": "the second", "three": "the third"}
    with pytest.raises(ValueError, match=r"Silent\.four"):
        write.meanings(Silent)


def test_options_are_those_of_the_command_line():
    (query,) = write.commands("query").values()
    taken = {one.names[0]: one for one in write.taken(query)}
    assert {"SCENE", "TEXT", "--not", "--from", "--json", "--top"} <= taken.keys()
    assert taken["SCENE"].argument and taken["SCENE"].required and not taken["--top"].required
    assert set(write.commands("weights")) == {"weights list", "weights verify", "weights fetch"}


@dataclasses.dataclass
class Documented:
    one: int  # the first
    # the second
    two: int
    three: int = 3  # the third


@dataclasses.dataclass
class Silent(Documented):
    four: int = 4
