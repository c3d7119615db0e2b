"""Sparse voxel networks: MinkUNet on two backends, its files, and the features that trained networks give."""

from anyscene.errors import CheckpointError, CoordinatesError
from anyscene.networks.batch import Batch, View
from anyscene.networks.checkpoint import load, load_weights, save
from anyscene.networks.cloud import Cloud, read_cloud
from anyscene.networks.minkunet import VARIANTS, MinkUNet, normalise_by
from anyscene.networks.sparse.coordinates import CoordinateMaps
from anyscene.networks.trained import Description, TrainedNetwork, described

__all__ = [
    "VARIANTS",
    "Batch",
    "CheckpointError",
    "Cloud",
    "CoordinateMaps",
    "CoordinatesError",
    "Description",
    "MinkUNet",
    "TrainedNetwork",
    "View",
    "described",
    "load",
    "load_weights",
    "normalise_by",
    "read_cloud",
    "save",
]
