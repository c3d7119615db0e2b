"""Language-aligned features for every point of a posed RGB-D scan, without annotation.

    import anyscene

    cloud = anyscene.open("my_scan", source="models/mine")
    for group in cloud.query("somewhere to sit"):
        print(group.score, group.shows, group.box)

Names are imported when they are first asked for: `import anyscene` takes no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anyscene.project import caches

if TYPE_CHECKING:  # what HOMES says, for those who read without running
    from anyscene.capability.score import score as score
    from anyscene.datasets.imports.export_options import ExportOptions as ExportOptions
    from anyscene.datasets.label_sets import LabelSet as LabelSet
    from anyscene.datasets.label_sets import label_set as label_set
    from anyscene.datasets.ply import read_mesh as read_mesh
    from anyscene.datasets.ply import write_mesh as write_mesh
    from anyscene.errors import PipelineError as PipelineError
    from anyscene.fusion.fuse import Fused as Fused
    from anyscene.fusion.fuse import fuse as fuse
    from anyscene.fusion.fuse import superpoint_means as superpoint_means
    from anyscene.library.feature_cloud import FeatureCloud as FeatureCloud
    from anyscene.library.opening import from_points as from_points
    from anyscene.library.opening import open as open
    from anyscene.library.ranking import Group as Group
    from anyscene.library.ranking import Ranking as Ranking
    from anyscene.lifting.projection import visible_pixels as visible_pixels
    from anyscene.lifting.superpoints import segment_mesh as segment_mesh
    from anyscene.lifting.superpoints import segment_points as segment_points
    from anyscene.networks.minkunet import MinkUNet as MinkUNet
    from anyscene.project.store import open_scene as open_scene
    from anyscene.scene import Camera as Camera
    from anyscene.tasks.segmentation.metrics import Metrics as Metrics
    from anyscene.tasks.segmentation.metrics import evaluate as evaluate
    from anyscene.text import embeddings as embeddings

__version__ = "0.1.0"

HOMES = {  # public name -> the module that it stands in
    "Camera": "anyscene.scene",
    "ExportOptions": "anyscene.datasets.imports.export_options",
    "FeatureCloud": "anyscene.library.feature_cloud",
    "Fused": "anyscene.fusion.fuse",
    "Group": "anyscene.library.ranking",
    "LabelSet": "anyscene.datasets.label_sets",
    "Metrics": "anyscene.tasks.segmentation.metrics",
    "MinkUNet": "anyscene.networks.minkunet",
    "PipelineError": "anyscene.errors",
    "Ranking": "anyscene.library.ranking",
    "embeddings": "anyscene.text",
    "evaluate": "anyscene.tasks.segmentation.metrics",
    "from_points": "anyscene.library.opening",
    "fuse": "anyscene.fusion.fuse",
    "label_set": "anyscene.datasets.label_sets",
    "open": "anyscene.library.opening",
    "open_scene": "anyscene.project.store",
    "read_mesh": "anyscene.datasets.ply",
    "score": "anyscene.capability.score",
    "segment_mesh": "anyscene.lifting.superpoints",
    "segment_points": "anyscene.lifting.superpoints",
    "superpoint_means": "anyscene.fusion.fuse",
    "visible_pixels": "anyscene.lifting.projection",
    "write_mesh": "anyscene.datasets.ply",
}

__all__ = list(HOMES)
caches.settle()  # before numba is imported: it compiles where it can keep the code, or not at all


def __getattr__(name: str) -> Any:
    """The public name, imported now (PEP 562)."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
