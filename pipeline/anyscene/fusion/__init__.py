"""Step 6: one feature for each point from those of several 2D models."""

from anyscene.errors import FusionError
from anyscene.fusion.fuse import (
    UNSEEN,
    Fused,
    SuperpointMeans,
    fuse,
    fuse_blocks,
    superpoint_means,
)

__all__ = [
    "UNSEEN",
    "Fused",
    "FusionError",
    "SuperpointMeans",
    "fuse",
    "fuse_blocks",
    "superpoint_means",
]
