import pytest

from anyscene.project import parameters
from anyscene_demo import world


@pytest.fixture(scope="session")
def tiny_section():
    return parameters.World(seed=0, train_rooms=1, val_rooms=1, views=3, width=48, height=36)


@pytest.fixture(scope="session")
def tiny_world(tiny_section, tmp_path_factory):
    """Folder of a world of two rooms, train_000 and val_000, three views each."""
    root = tmp_path_factory.mktemp("world") / "captures"
    world.make_world(tiny_section, root, workers=1)
    return root
