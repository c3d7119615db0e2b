import pytest

from stages import projection
from tests.builders.axes import Dense, Encoder


@pytest.fixture
def two_axes(monkeypatch):
    """The made-up 2D model and its text space in the place of the stage's."""
    projection._models.cache_clear()
    monkeypatch.setattr(projection, "load_segmenter", lambda name, params: Dense())
    monkeypatch.setattr(projection, "load_text_encoder", lambda section: Encoder())
    yield
    projection._models.cache_clear()
