import pytest

from anyscene.lifting import project_scenes
from tests.builders.axes import Dense, Encoder


@pytest.fixture(autouse=True)
def nothing_loaded():
    """The stage keeps its models for as long as its process lives, which is one for all tests."""
    project_scenes.models.cache_clear()
    yield
    project_scenes.models.cache_clear()


@pytest.fixture
def two_axes(monkeypatch):
    """The made-up 2D model and its text space in the place of the stage's."""
    monkeypatch.setattr(project_scenes, "load_segmenter", lambda name, params: Dense())
    monkeypatch.setattr(project_scenes, "load_text_encoder", lambda section: Encoder())
