"""Test suites for those who add a 2D model, a reader, a sparse backend, an objective or a task.

The built-in ones are tested by the same suites.

A suite is a class. Derive from it in a test module of your own, and define the fixture that it asks for:

    import pytest
    from anyscene.testing import SegmenterTests

    class TestMine(SegmenterTests):
        @pytest.fixture
        def segmenter(self):
            return MySegmenter(...)

pytest then collects its tests under the name of that class. This package needs pytest; no other part of
anyscene imports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from anyscene.testing.backends import BackendTests
    from anyscene.testing.objectives import ObjectiveTests
    from anyscene.testing.readers import ReaderTests
    from anyscene.testing.segmenters import SegmenterTests
    from anyscene.testing.tasks import TaskTests

__all__ = ["BackendTests", "ObjectiveTests", "ReaderTests", "SegmenterTests", "TaskTests"]

MODULES = {
    "BackendTests": "backends",
    "ObjectiveTests": "objectives",
    "ReaderTests": "readers",
    "SegmenterTests": "segmenters",
    "TaskTests": "tasks",
}

# so that an assertion of a suite that fails says what it compared
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in MODULES.values()))


def __getattr__(name: str) -> type:
    """A suite, which is imported when it is asked for. The suite for readers needs no PyTorch."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    suite: type = getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
    return suite
