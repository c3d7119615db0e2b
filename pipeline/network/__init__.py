"""Sparse voxel networks: MinkUNet on two backends, and its checkpoints."""

from pipeline.network.checkpoint import CheckpointError, load, load_weights, save
from pipeline.network.coordinates import CoordinateMaps, CoordinatesError
from pipeline.network.minkunet import VARIANTS, MinkUNet, normalise_by

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
