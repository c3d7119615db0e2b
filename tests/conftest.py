"""What tests of every room begin with."""

from pathlib import Path

import pytest

from tests.builders.project import Project

TESTS = Path(__file__).parent
FIRST = (
    "end_to_end/test_many_scenes.py",  # computes what all of end_to_end begins with: meanwhile the next three
    "networks/sparse/test_backend.py",
    "learning/engine/test_checkpoint.py",
    "stages/test_training.py",
    "end_to_end/test_kills.py",
)


def pytest_ignore_collect(collection_path, config):
    """Import no module of which `make quick` leaves out every test: what some import takes seconds."""
    if "not integration" in config.option.markexpr and collection_path.suffix == ".py":
        return "\npytestmark = pytest.mark.integration\n" in collection_path.read_text() or None
    return None


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no process works alone on one of them at the end, and
    none waits for what another computes."""
    assert all((TESTS / path).is_file() for path in FIRST)
    place = {TESTS / path: index for index, path in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in the current folder: params.yaml alone. Its stages run in this process, on the CPU."""
    monkeypatch.chdir(tmp_path)
    return Project.create(tmp_path)


@pytest.fixture(scope="session")
def rooms(tmp_path_factory):
    """The folder of a finished project of two small rooms, room0 and room1, with three networks. A test that
    changes it works on a copy of its own (miniature.copy)."""
    from tests.builders import miniature
    from tests.builders.files import tree_hash

    folder = tmp_path_factory.mktemp("rooms")
    miniature.write(folder, spacing=0.25)
    before = tree_hash(folder)
    yield folder
    assert tree_hash(folder) == before


@pytest.fixture(scope="session")
def minilm():
    """The text encoder of the demo."""
    from anyscene.project.parameters import Text
    from anyscene.text import load_text_encoder

    return load_text_encoder(Text("minilm", "a {} in a scene"))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Folder with small dense and mask models of random weights."""
    from tests.builders import small_demo

    return small_demo.write(tmp_path_factory.mktemp("weights"))
