"""Readers of raw scans, and label sets."""

from pathlib import Path

from pipeline import config
from pipeline.datasets.labels import LabelSet, label_set
from pipeline.datasets.rgbd import Rgbd, Truth

__all__ = ["LabelSet", "Rgbd", "Truth", "label_set", "open_dataset"]


DIGESTS = Path(".cache/digests")


def open_dataset(dataset: config.Dataset, scenes: config.Scenes) -> Rgbd:
    """The raw scans that params.yaml names."""
    return Rgbd(Path(dataset.root), dataset.name, scenes.frame_stride, scenes.voxel, DIGESTS)
