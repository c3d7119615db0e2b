"""Readers of raw scans, and label sets."""

from pathlib import Path

from anyscene.datasets.label_sets import LabelSet, label_set
from anyscene.datasets.matterport.reader import Matterport
from anyscene.datasets.nuscenes.reader import NuScenes
from anyscene.datasets.rgbd import Rgbd
from anyscene.datasets.scannet.reader import ScanNet
from anyscene.datasets.truth import Truth
from anyscene.project import parameters

__all__ = [
    "Dataset", "LabelSet", "Matterport", "NuScenes", "Rgbd", "ScanNet", "Truth", "label_set", "open_dataset",
]  # fmt: skip


DIGESTS = Path(".cache/digests")

Dataset = (
    Rgbd | ScanNet | Matterport | NuScenes
)  # splits, keys, truth_keys, read, read_truth, read_frame_truth


def open_dataset(dataset: parameters.Dataset, scenes: parameters.Scenes) -> Dataset:
    """The raw scans that params.yaml names."""
    root = Path(dataset.root)
    if dataset.reader == "scannet":
        return ScanNet(
            root, dataset.name, scenes.frame_stride, dataset.label_set, dataset.axis_alignment, DIGESTS
        )
    if dataset.reader == "matterport":
        return Matterport(
            root, dataset.name, scenes.frame_stride, dataset.label_set, dataset.region_frames, DIGESTS
        )
    if dataset.reader == "nuscenes":
        return NuScenes(
            root, dataset.name, scenes.frame_stride, dataset.label_set, dataset.sweep_seconds, DIGESTS
        )
    return Rgbd(root, dataset.name, scenes.frame_stride, scenes.voxel, DIGESTS)
