"""Open-vocabulary search: which points, and which superpoints, a free text means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline import store
from pipeline.errors import StoreError
from pipeline.evaluation.artefacts import Artefacts
from pipeline.network import load
from pipeline.training import predict_features, read_cloud

NETWORKS = ("ensembling", "distillation/superpoint", "distillation/pixel")  # the most refined first


@dataclass(frozen=True)
class Match:
    """A superpoint: mean similarity of its `points` points, their mean position and extent in metres."""

    superpoint: int
    similarity: float
    points: int
    centre: tuple[float, float, float]
    extent: tuple[float, float, float]


def scene_features(
    artefacts: Artefacts, scene: str, source: str | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """(feature f4[N, C], valid b1[N], source) of a scene, from the network in the folder models/SOURCE, or of
    `fusion`; without `source` from the most refined that there is. Raises StoreError where there is none."""
    trained = [name for name in NETWORKS if (artefacts.model(name) / "network.json").is_file()]
    fused = store.scene_path(artefacts.data("fusion"), scene)
    source = source or (trained[0] if trained else "fusion")
    if source == "fusion":
        if not fused.is_dir():
            raise StoreError(f"{fused}: neither fused features nor a trained network; run `dvc repro`")
        feature, valid = store.fused_points(fused)
        return feature.astype(np.float32), valid, source
    network, meta = load(artefacts.model(source))
    cloud = read_cloud(artefacts.data("scenes"), artefacts.data("superpoints"), scene)
    feature = predict_features(network, cloud, meta["voxel"], meta["input"] == "colour")
    return feature, np.ones(len(feature), bool), source


def cosine(feature: np.ndarray, valid: np.ndarray, text: np.ndarray) -> np.ndarray:
    """f4[N] similarity of features [N, C] with one embedding [C], NaN where not valid b1[N]."""
    length = np.linalg.norm(feature, axis=1) * np.linalg.norm(text)
    similarity = feature @ text / np.maximum(length, 1e-12)
    return np.where(valid, similarity, np.nan).astype(np.float32)


def best_superpoints(
    similarity: np.ndarray,  # [N]
    superpoint: np.ndarray,  # [N]
    xyz: np.ndarray,  # [N, 3]
    top: int,
) -> list[Match]:
    """The `top` superpoints of the highest mean similarity over their points that have one, best first."""
    known = np.isfinite(similarity)
    size = np.bincount(superpoint[known], minlength=int(superpoint.max(initial=-1)) + 1)
    total = np.bincount(superpoint[known], similarity[known], len(size))
    mean = np.where(size > 0, total / np.maximum(size, 1), -np.inf)
    best = np.argsort(-mean, kind="stable")[:top]
    return [_match(index, float(mean[index]), xyz[superpoint == index]) for index in best if size[index]]


def _match(index: int, similarity: float, xyz: np.ndarray) -> Match:
    centre, extent = xyz.mean(0).tolist(), np.ptp(xyz, axis=0).tolist()
    return Match(int(index), similarity, len(xyz), tuple(centre), tuple(extent))


def relative(similarity: np.ndarray) -> np.ndarray:
    """f4[N] in 0..1 for colours: 0 up to the scene's median and for NaN, 1 from its 99.5th percentile on.
    Cosines of sentence encoders have no absolute scale."""
    known = similarity[np.isfinite(similarity)]
    if known.size == 0:
        return np.zeros_like(similarity)
    low, high = np.percentile(known, [50, 99.5])
    return np.nan_to_num(np.clip((similarity - low) / max(high - low, 1e-6), 0, 1)).astype(np.float32)
