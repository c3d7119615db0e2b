"""Training of sparse networks: an engine, views of clouds, and the objectives that are minimised.

Light to import, for reading params.yaml imports the entries of objectives; learning.train trains."""

from __future__ import annotations

import importlib

_MOVED = {  # until all that import it from here do so from there
    "Cloud": "anyscene.networks.cloud",
    "Curve": "anyscene.learning.engine.curve",
    "predict_features": "anyscene.learning.prediction",
    "read_cloud": "anyscene.networks.cloud",
}


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MOVED[name]), name)
