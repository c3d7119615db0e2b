"""Sparse voxel networks: MinkUNet on two backends, and its checkpoints."""

from anyscene.networks.checkpoint import CheckpointError, load, load_weights, save
from anyscene.networks.minkunet import VARIANTS, MinkUNet, normalise_by
from anyscene.networks.sparse.coordinates import CoordinateMaps, CoordinatesError

__all__ = [
    "VARIANTS",
    "CheckpointError",
    "CoordinateMaps",
    "CoordinatesError",
    "MinkUNet",
    "load",
    "load_weights",
    "normalise_by",
    "save",
]
