"""A small project to open scenes of."""

import pytest

from tests.builders import miniature


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The folder of a project with one scene, room0, and three networks."""
    folder = tmp_path_factory.mktemp("library")
    miniature.write(folder, scenes=1, spacing=0.25, frames=False)
    return folder
