"""Fusion: one feature for each point from those of several 2D models (method.md §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anyscene.arrays import B1, F4, F8, I8, Integers
from anyscene.errors import FusionError
from anyscene.project.parameters import TAU, FusionMethod

UNSEEN = 255  # the prediction of a model that has no feature at a point
BLOCK_ELEMENTS = 1 << 24  # the default number of elements in a block of all models' features

ArrayOrTensor = Any  # a NumPy array or a tensor: what goes in comes out


class Fused(NamedTuple):
    """What M models say together of N points."""

    feature: ArrayOrTensor  # f4[N, C], 0 where not valid
    valid: ArrayOrTensor  # b1[N], whether any model has a feature
    weight: ArrayOrTensor  # f4[N, M], of sum 1 where valid, else 0
    prediction: ArrayOrTensor  # u1[N, M], the class that each model sees; 255 where it has no feature


def fuse(
    features: ArrayOrTensor | Sequence[ArrayOrTensor],
    valid: ArrayOrTensor | Sequence[ArrayOrTensor],
    capability: ArrayOrTensor,
    text: ArrayOrTensor,
    *,
    tau: float = 0.05,
    normalise: bool = True,
    method: FusionMethod = "capability",
    other: ArrayOrTensor | None = None,
) -> Fused:
    """The weighted sum of the features of M models at every point, over the models that have one there.

    features: [M, N, C], or M arrays [N, C].
    valid: b1[M, N], or M arrays b1[N].
    capability: [M, K] in 0..1, of every model in every class.
    text: [K, C], the embeddings of the classes.
    method: what the weights are:
      capability  softmax over models of s / tau, where s is the mean capability of a model in the classes
                  that the models predict; with `normalise`, s is first divided by its sum over models
      linear      proportional to the largest cosine of the model's feature with a text
      max         1 for the model with the largest such cosine
      add         all equal, which gives the direction of the sum

    other: [C], the embedding of a class K beside the K others, of which no model is capable. A point of
    which the first model says so keeps its feature alone (SAS's feat_fusion/fusion_scannet.py:29-30). It
    counts with the method "capability" alone.

    The result has the kind of the features, NumPy arrays or tensors. It is computed in single precision, or
    in double where the features are double. Raises FusionError for shapes that do not fit, more than 255
    classes, and a tau outside of `parameters.TAU`.

    At a point one model sees the first class and another the second; the first one knows both better:

    >>> text = np.eye(2, dtype=np.float32)
    >>> features, valid = text[:, None], np.ones((2, 1), bool)
    >>> capability = np.array([[0.9, 0.6], [0.1, 0.4]])
    >>> fused = anyscene.fuse(features, valid, capability, text, tau=0.25)
    >>> fused.weight.astype(float).round(2).tolist()  # the softmax of 0.75 / tau and 0.25 / tau
    [[0.88, 0.12]]
    >>> fused.prediction.tolist()
    [[0, 1]]
    """
    how: dict[str, Any] = {"tau": tau, "normalise": normalise, "method": method, "other": other}
    blocks = list(fuse_blocks(features, valid, capability, text, **how))
    if isinstance(features[0], Tensor):
        return Fused(*map(torch.cat, zip(*blocks, strict=True)))
    return Fused(*(torch.cat(parts).numpy() for parts in zip(*blocks, strict=True)))


def fuse_blocks(
    features: ArrayOrTensor | Sequence[ArrayOrTensor],
    valid: ArrayOrTensor | Sequence[ArrayOrTensor],
    capability: ArrayOrTensor,
    text: ArrayOrTensor,
    *,
    tau: float = 0.05,
    normalise: bool = True,
    method: FusionMethod = "capability",
    other: ArrayOrTensor | None = None,
    rows: int | None = None,
) -> Iterator[Fused]:
    """Yield what `fuse` returns for `rows` points at a time, as tensors. Features may be arrays of artefacts,
    which are read block by block. Raises FusionError as `fuse`."""
    models, (points, width) = len(features), features[0].shape
    if len(valid) != models or any(tuple(f.shape) != (points, width) for f in features):
        raise FusionError(f"features of {models} models need one shape [N, C] and as many rows of `valid`")
    if tuple(capability.shape) != (models, len(text)) or text.shape[1] != width:
        raise FusionError(
            f"capability is {list(capability.shape)} and text {list(text.shape)} for {models} models and "
            f"features of width {width}: expected [M, K] and [K, C]"
        )
    if other is not None and tuple(other.shape) != (width,):
        raise FusionError(f"other is {list(other.shape)} for features of width {width}: expected [C]")
    if len(text) + (other is not None) > UNSEEN:
        raise FusionError(f"{len(text)} classes: at most {UNSEEN} fit into a prediction's byte")
    if method == "capability" and not TAU[0] <= tau <= TAU[1]:
        raise FusionError(
            f"fusion.tau = {tau}: it must be {TAU[0]:g} to {TAU[1]:g} (towards 0 the most capable model wins)"
        )
    if method not in get_args(FusionMethod):
        raise FusionError(f"fusion.method {method!r}: expected {', '.join(get_args(FusionMethod))}")
    rows = rows or max(1, BLOCK_ELEMENTS // max(1, models * width))
    for start in range(0, max(points, 1), rows):
        feature = torch.stack([_tensor(f[start : start + rows]) for f in features])  # [M, n, C]
        feature = feature.to(torch.float64 if feature.dtype == torch.float64 else torch.float32)
        seen = torch.stack([_tensor(v[start : start + rows]).bool() for v in valid]).T  # [n, M]
        seen, capability, text = (_tensor(t).to(feature.device) for t in (seen, capability, text))
        capable, texts, beside = capability.to(feature), text.to(feature), None
        if other is not None and method == "capability":
            beside = len(text)
            texts = torch.cat([texts, _tensor(other).to(feature)[None]])
            capable = functional.pad(capable, (0, 1))
        yield _fuse(feature, seen, capable, texts, tau, normalise, method, beside)


def _fuse(
    feature: Tensor,  # [M, n, C]
    seen: Tensor,  # b1[n, M]
    capability: Tensor,  # [M, K]
    text: Tensor,  # [K, C]
    tau: float,
    normalise: bool,
    method: FusionMethod,
    other: int | None,  # of the K classes the one that is of the first model alone
) -> Fused:
    feature = feature.where(seen.T[..., None], 0)  # fill values may be anything
    similarity, prediction = (feature @ functional.normalize(text).T).max(2)
    similarity, prediction = similarity.T, prediction.T  # [n, M]
    if method == "capability":
        score = _capability(capability, prediction, seen)
        weight = _softmax(_share(score, seen) if normalise else score, seen, tau)
        if other is not None:
            alone = seen[:, :1] & (prediction[:, :1] == other)
            first = functional.one_hot(torch.zeros(1, dtype=torch.long), seen.shape[1]).to(weight)
            weight = torch.where(alone, first, weight)
    elif method == "add":
        weight = _share(torch.zeros_like(similarity), seen)
    else:
        cosine = similarity / feature.norm(dim=2).T.clamp_min(1e-12)
        if method == "linear":
            weight = _share(cosine.clamp_min(0), seen)
        else:
            best = cosine.where(seen, -torch.inf).argmax(1)
            weight = functional.one_hot(best, seen.shape[1]).to(feature) * seen
    fused = torch.einsum("nm,mnc->nc", weight, feature)
    return Fused(fused, seen.any(1), weight, prediction.where(seen, UNSEEN).to(torch.uint8))


def _capability(capability: Tensor, prediction: Tensor, seen: Tensor) -> Tensor:
    """[n, M]: the mean capability of each model in the classes that the models present at a point predict."""
    of_class = capability.T[prediction]  # [n, M predicting, M judged]
    present = seen.to(capability)[..., None]
    return (of_class * present).sum(1) / present.sum(1).clamp_min(1)


def _share(score: Tensor, seen: Tensor) -> Tensor:
    """[n, M]: the score, which is >= 0, divided by its sum over the models present; equal shares where that
    is 0."""
    score = score * seen
    total = score.sum(1, keepdim=True)
    equal = seen / seen.sum(1, keepdim=True).clamp_min(1)
    return torch.where(total > 0, score / total, equal.to(score))


def _softmax(score: Tensor, seen: Tensor, tau: float) -> Tensor:
    """[n, M]: the softmax over the models present. The largest score is subtracted first, so that a tiny tau
    stays finite."""
    best = score.where(seen, -torch.inf).amax(1, keepdim=True)
    power = ((score - best) / tau).exp().where(seen, 0)
    return power / power.sum(1, keepdim=True).clamp_min(1)


def _tensor(array: ArrayOrTensor) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))


class SuperpointMeans:
    """The mean feature of every superpoint over its points that have one, F_SP of method.md §6, in blocks."""

    def __init__(self, superpoints: int, width: int) -> None:
        self._total = np.zeros((superpoints, width))
        self._count = np.zeros(superpoints, np.int64)

    def add(self, superpoint: Integers, feature: F4, valid: B1) -> None:
        """Add points. superpoint: i4[n], ids; feature: f4[n, C]; valid: b1[n]."""
        _add_rows(self._total, self._count, superpoint, feature, valid)

    def result(self) -> tuple[F4, B1]:
        """(mean f4[L, C], valid b1[L]). A superpoint without a valid point has the mean 0."""
        mean = self._total / np.maximum(self._count, 1)[:, None]
        return mean.astype(np.float32), self._count > 0


def superpoint_means(feature: F4, valid: B1, superpoint: Integers) -> tuple[F4, B1]:
    """(mean f4[L, C], valid b1[L]): the mean of `feature` f4[N, C] over the points of each superpoint that
    are `valid` b1[N]. superpoint: integers [N], ids 0..L-1. A superpoint without a valid point has the mean
    0.

    >>> feature = np.array([[1, 0], [3, 0], [9, 9], [5, 5]], np.float32)
    >>> valid = np.array([True, True, False, False])
    >>> mean, known = anyscene.superpoint_means(feature, valid, np.array([0, 0, 0, 1]))
    >>> mean.tolist(), known.tolist()
    ([[2.0, 0.0], [0.0, 0.0]], [True, False])
    """
    means = SuperpointMeans(int(superpoint.max(initial=-1)) + 1, feature.shape[1])
    means.add(superpoint, feature, valid)
    return means.result()


@numba.njit(cache=True, nogil=True)
def _add_rows(total: F8, count: I8, row: Integers, feature: F4, valid: B1) -> None:
    for n in range(len(row)):
        if valid[n]:
            count[row[n]] += 1
            target, source = total[row[n]], feature[n]
            for c in range(len(source)):
                target[c] += source[c]
