"""Scores of the literature, for an evaluation on the very scenes that they are of.

All are mIoU in percent, from SAS (Li et al. 2025, arXiv:2503.08512): its tables of zero-shot segmentation, of
the ablation on ScanNet, of Matterport3D's most frequent classes, and of three 2D models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyscene.datasets import raw_files


@dataclass(frozen=True)
class LiteratureScores:
    """scenes: name of the official list of their ids; rows: what SAS has for rows of the ablation; methods:
    final scores; parts: how many keyframes the listed drives have."""

    label_set: str
    split: str
    scenes: str
    methods: Mapping[str, float]
    rows: Mapping[str, float] = field(default_factory=dict)
    parts: int | None = None


PUBLISHED = (
    LiteratureScores(
        "scannet20",
        "val",
        "scannet_val",
        {"OpenScene": 54.2, "GGSD": 56.5, "OV3D": 57.3, "SAS": 61.9, "SAS with ODISE": 62.5},
        {
            "lseg": 51.2,
            "seem": 47.3,
            "add": 48.6,
            "linear": 49.9,
            "capability": 55.5,
            "pixel_distillation": 56.7,
            "superpoint_distillation": 59.2,
            "ensembling": 61.9,
        },
    ),
    LiteratureScores(
        "matterport21",
        "test",
        "matterport_test",
        {"OpenScene": 43.4, "GGSD": 40.1, "OV3D": 45.8, "SAS": 48.6, "SAS with ODISE": 49.8},
        {"ensembling": 48.6},
    ),
    LiteratureScores("matterport40", "test", "matterport_test", {"SAS": 28.5}, {"ensembling": 28.5}),
    LiteratureScores("matterport80", "test", "matterport_test", {"SAS": 16.0}, {"ensembling": 16.0}),
    LiteratureScores("matterport160", "test", "matterport_test", {"SAS": 8.1}, {"ensembling": 8.1}),
    LiteratureScores(
        "nuscenes16",
        "val",
        "nuscenes_val",
        {"OpenScene": 42.1, "GGSD": 46.1, "OV3D": 44.6, "SAS": 47.5},
        {"ensembling": 47.5},
        parts=6019,
    ),
)


def published(metrics: dict[str, Any]) -> LiteratureScores | None:
    """What is published about the evaluation of metrics.json; None unless it is of the whole official split
    with its label set, every scene annotated."""
    if metrics["unannotated"]:
        return None
    for entry in PUBLISHED:
        if (entry.label_set, entry.split) == (metrics["label_set"], metrics["split"]):
            official = set(raw_files.lines(raw_files.SPLITS / f"{entry.scenes}.txt"))
            # HOUSE_regionN is a region of a listed house, DRIVE_NN a keyframe of a listed drive
            found = {scene if scene in official else scene.rpartition("_")[0] for scene in metrics["scenes"]}
            whole = entry.parts in (None, len(metrics["scenes"]))
            return entry if official and found == official and whole else None
    return None


def note(metrics: dict[str, Any]) -> str | None:
    """The published scores as a sentence, where `published` has any."""
    if (known := published(metrics)) is None:
        return None
    scores = ", ".join(f"{method} {score:.1f}" for method, score in known.methods.items())
    return f"published mIoU on these scenes: {scores}"
