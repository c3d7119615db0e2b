"""Open-vocabulary search: which points a free text means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyscene.errors import StoreError
from anyscene.learning import Cloud, predict_features, read_cloud
from anyscene.networks import load
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.text.glosses import Vocabulary

NETWORKS = ("ensembling", "distillation/superpoint", "distillation/pixel")  # the most refined first
TEMPERATURE = 0.03  # of the softmax over classes: cosines of the demo's features differ by about as much


def scene_features(
    artefacts: Artefacts, scene: str, source: str | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """(feature f4[N, C], valid b1[N], source) of a scene, from the network in the folder models/SOURCE, or of
    `fusion`; without `source` from the most refined that there is. Raises StoreError where there is none."""
    fused = store.scene_path(artefacts.data("fusion"), scene)
    source = source or trained(artefacts) or "fusion"
    if source == "fusion":
        if not fused.is_dir():
            raise StoreError(f"{fused}: neither fused features nor a trained network; run `dvc repro`")
        feature, valid = store.fused_points(fused)
        return feature.astype(np.float32), valid, source
    cloud = read_cloud(artefacts.data("scenes"), artefacts.data("superpoints"), scene)
    feature = network_features(artefacts, cloud, source)
    return feature, np.ones(len(feature), bool), source


def network_features(artefacts: Artefacts, cloud: Cloud, source: str) -> np.ndarray:
    """f4[N, C] of the network in the folder models/SOURCE, for every point of the cloud."""
    network, meta = load(artefacts.model(source))
    return predict_features(network, cloud, meta["voxel"], meta["input"] == "colour")


def trained(artefacts: Artefacts) -> str | None:
    """The most refined network that there is, as the folder models/SOURCE that it lies in."""
    found = (name for name in NETWORKS if (artefacts.model(name) / "network.json").is_file())
    return next(found, None)


def cosine(feature: np.ndarray, valid: np.ndarray, text: np.ndarray) -> np.ndarray:
    """f4[N, K] similarity of features [N, C] with embeddings [K, C], or f4[N] with one [C]; NaN where not
    valid b1[N]."""
    length = np.linalg.norm(feature, axis=1, keepdims=True) * np.linalg.norm(np.atleast_2d(text), axis=1)
    similarity = feature @ np.atleast_2d(text).T / np.maximum(length, 1e-12)
    similarity = np.where(valid[:, None], similarity, np.nan).astype(np.float32)
    return similarity if text.ndim == 2 else similarity[:, 0]


def closer_to(negative: Sequence[np.ndarray], positive: np.ndarray) -> np.ndarray:
    """b1[N]: whether one of the texts that are not meant, of similarities [N] each, stands out more at a
    point than the text that is, of similarity [N]. In `relative` terms, as a short text may be closer to all
    points than a long one. No more is asked of them: their difference as a score would let any text, however
    far off, change the order of what is found."""
    if len(negative) == 0:
        return np.zeros(len(positive), bool)
    heat = relative(positive)
    return np.any([relative(other) > heat for other in negative], axis=0)


def shares(known: np.ndarray) -> np.ndarray:
    """f4[N, V]: how much of each class a point shows, a softmax over its similarities `known` f4[N, V]. NaN
    stays NaN."""
    share = np.exp((known - known.max(1, keepdims=True)) / TEMPERATURE)
    share /= share.sum(1, keepdims=True)
    return share


def through_vocabulary(share: np.ndarray, classes: Vocabulary, text: np.ndarray) -> np.ndarray:
    """f4[N]: the likeness of a text [C] with the classes that a point shows, in proportions `share` f4[N, V].
    Coarser than the cosine, and less noisy: what tells features of one class apart is left out."""
    return share @ classes.likeness(text)


def own(
    cosine: np.ndarray,  # [N]
    general: np.ndarray,  # [N]
    classes: Vocabulary,
    text: np.ndarray,  # [C]
) -> np.ndarray:
    """f4[N]: the cosine of a point's feature with a text, less what the text has in common with all classes.
    general: the feature's cosine with `classes.common`. A feature between several classes is closest of all
    to what they share, so that otherwise points that are sure of nothing would resemble any text."""
    return cosine - general * np.float32(classes.common @ text)


def both(through: np.ndarray | None, own: np.ndarray | None) -> np.ndarray:
    """f4[N], the mean of `through_vocabulary` and `own`, or the one that there is. A text that resembles a
    class is found by that, one that resembles none, or tells things of a class apart, by the features."""
    if through is None or own is None:
        return own if through is None else through
    return (through + own) / 2


def deviation(similarity: np.ndarray) -> float:
    """The standard deviation of what is known of f4[N], NaN where nothing is; 0 where all is NaN."""
    known = similarity[np.isfinite(similarity)]
    return float(known.std(dtype=np.float64)) if known.size else 0.0


def relative(similarity: np.ndarray) -> np.ndarray:
    """f4[N] in 0..1 for colours: 0 up to the scene's median and for NaN, 1 from its 99.5th percentile on.
    Cosines of sentence encoders have no absolute scale."""
    known = similarity[np.isfinite(similarity)]
    if known.size == 0:
        return np.zeros_like(similarity)
    low, high = np.percentile(known, [50, 99.5])
    return np.nan_to_num(np.clip((similarity - low) / max(high - low, 1e-6), 0, 1)).astype(np.float32)
