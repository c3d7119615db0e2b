"""Published scores, for evaluations on the same scenes.

All are mIoU in percent, from SAS (Li et al. 2025, arXiv:2503.08512): its tables of zero-shot segmentation, of
the ablation on ScanNet (Table 3), of Matterport3D's most frequent classes, and of three 2D models. In this
room and the later ones, no other module knows objectives by their kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyscene.datasets import raw_files
from anyscene.study.rows import Role, Row


@dataclass(frozen=True)
class LiteratureScores:
    """mIoU in percent on one split with one label set."""

    label_set: str
    split: str
    scenes: str  # name of the official list of their ids
    methods: Mapping[str, float]  # the final score of each method
    rows: Mapping[Role, Mapping[str, float]] = field(default_factory=dict)  # SAS's: role of the row -> kind
    parts: int | None = None  # how many keyframes the listed drives have; None: scenes are listed themselves

    def of(self, row: Row) -> float | None:
        """The score in SAS of a row like this; None where it has none."""
        return None if row.control else self.rows.get(row.role, {}).get(row.kind)


TABLE_3 = LiteratureScores(
    "scannet20",
    "val",
    "scannet_val",
    {"OpenScene": 54.2, "GGSD": 56.5, "OV3D": 57.3, "SAS": 61.9, "SAS with ODISE": 62.5},
    {
        "2d_model": {"lseg": 51.2, "seem": 47.3},
        "fusion": {"add": 48.6, "linear": 49.9, "capability": 55.5},
        "network": {"pixel": 56.7, "superpoint": 59.2, "ensembling": 61.9},
    },
)
BASELINE, METHOD = "pixel", "superpoint"  # objectives of Table 3: distillation of points, and of superpoints
BASELINE_TITLE = "pixel distillation"


def _refined(score: float) -> Mapping[Role, Mapping[str, float]]:
    return {"network": {"ensembling": score}}


PUBLISHED = (
    TABLE_3,
    LiteratureScores(
        "matterport21",
        "test",
        "matterport_test",
        {"OpenScene": 43.4, "GGSD": 40.1, "OV3D": 45.8, "SAS": 48.6, "SAS with ODISE": 49.8},
        _refined(48.6),
    ),
    LiteratureScores("matterport40", "test", "matterport_test", {"SAS": 28.5}, _refined(28.5)),
    LiteratureScores("matterport80", "test", "matterport_test", {"SAS": 16.0}, _refined(16.0)),
    LiteratureScores("matterport160", "test", "matterport_test", {"SAS": 8.1}, _refined(8.1)),
    LiteratureScores(
        "nuscenes16",
        "val",
        "nuscenes_val",
        {"OpenScene": 42.1, "GGSD": 46.1, "OV3D": 44.6, "SAS": 47.5},
        _refined(47.5),
        parts=6019,
    ),
)


def published(metrics: Mapping[str, Any]) -> LiteratureScores | None:
    """The published scores for the evaluation in metrics.json. None unless it covers the whole official split
    with its label set, and every scene is annotated."""
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


def note(metrics: Mapping[str, Any]) -> str | None:
    """The published scores as a sentence; None where `published` has none."""
    if (known := published(metrics)) is None:
        return None
    scores = ", ".join(f"{method} {score:.1f}" for method, score in known.methods.items())
    return f"published mIoU on these scenes: {scores}"
