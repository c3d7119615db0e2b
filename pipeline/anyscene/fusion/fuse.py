"""Fusion: one feature per point out of those of several 2D models (method.md §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anyscene.arrays import B1, F4, F8, I4, I8
from anyscene.errors import FusionError

Method = Literal["capability", "add", "linear", "max"]
UNSEEN = 255  # prediction of a model that has no feature at the point
BLOCK_ELEMENTS = 1 << 24  # of all models' features held at once, unless asked otherwise

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
    method: Method = "capability",
) -> Fused:
    """Weighted sum of M models' features at every point, over the models that have one there.

    features: [M, N, C], or M arrays [N, C]; valid: b1[M, N]; capability: [M, K] in 0..1, of every model in
    every class; text: [K, C], embeddings of the classes. Weights by `method`:
      capability  softmax over models of s / tau, where s is the model's capability in the classes that the
                  models predict, on average; with `normalise`, s is first divided by its sum over models
      linear      proportional to the largest cosine of the model's feature with a text
      max         1 for the model with the largest such cosine
      add         equal: the direction of the sum
    NumPy arrays or tensors; computed in single precision, in double where the features are double.
    Raises FusionError for shapes that do not fit, more than 255 classes and tau <= 0.

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
    blocks = list(fuse_blocks(features, valid, capability, text, tau=tau, normalise=normalise, method=method))
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
    method: Method = "capability",
    rows: int | None = None,
) -> Iterator[Fused]:
    """`fuse` for `rows` points at a time, in tensors; of features in zarr arrays only these are read."""
    models, (points, width) = len(features), features[0].shape
    if len(valid) != models or any(tuple(f.shape) != (points, width) for f in features):
        raise FusionError(f"features of {models} models need one shape [N, C] and as many rows of `valid`")
    if tuple(capability.shape) != (models, len(text)) or text.shape[1] != width:
        raise FusionError(
            f"capability is {list(capability.shape)} and text {list(text.shape)} for {models} models and "
            f"features of width {width}: expected [M, K] and [K, C]"
        )
    if len(text) > UNSEEN:
        raise FusionError(f"{len(text)} classes: at most {UNSEEN} fit into a prediction's byte")
    if method == "capability" and not tau > 0:
        raise FusionError(f"fusion.tau = {tau}: it must be positive (towards 0 the most capable model wins)")
    if method not in get_args(Method):
        raise FusionError(f"fusion.method {method!r}: expected {', '.join(get_args(Method))}")
    rows = rows or max(1, BLOCK_ELEMENTS // max(1, models * width))
    for start in range(0, max(points, 1), rows):
        feature = torch.stack([_tensor(f[start : start + rows]) for f in features])  # [M, n, C]
        feature = feature.to(torch.float64 if feature.dtype == torch.float64 else torch.float32)
        seen = torch.stack([_tensor(v[start : start + rows]).bool() for v in valid]).T  # [n, M]
        seen, capability, text = (_tensor(t).to(feature.device) for t in (seen, capability, text))
        yield _fuse(feature, seen, capability.to(feature), text.to(feature), tau, normalise, method)


def _fuse(
    feature: Tensor,  # [M, n, C]
    seen: Tensor,  # b1[n, M]
    capability: Tensor,  # [M, K]
    text: Tensor,  # [K, C]
    tau: float,
    normalise: bool,
    method: Method,
) -> Fused:
    feature = feature.where(seen.T[..., None], 0)  # fill values may be anything
    similarity, prediction = (feature @ functional.normalize(text).T).max(2)
    similarity, prediction = similarity.T, prediction.T  # [n, M]
    if method == "capability":
        score = _capability(capability, prediction, seen)
        weight = _softmax(_share(score, seen) if normalise else score, seen, tau)
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
    """Every model's mean capability in the classes that the models present at a point predict; [n, M]."""
    of_class = capability.T[prediction]  # [n, M predicting, M judged]
    present = seen.to(capability)[..., None]
    return (of_class * present).sum(1) / present.sum(1).clamp_min(1)


def _share(score: Tensor, seen: Tensor) -> Tensor:
    """Score >= 0 [n, M] divided by its sum over the models present; equal shares where the sum is 0."""
    score = score * seen
    total = score.sum(1, keepdim=True)
    equal = seen / seen.sum(1, keepdim=True).clamp_min(1)
    return torch.where(total > 0, score / total, equal.to(score))


def _softmax(score: Tensor, seen: Tensor, tau: float) -> Tensor:
    """Over the models present; subtracting the largest score first keeps a tiny tau finite."""
    best = score.where(seen, -torch.inf).amax(1, keepdim=True)
    power = ((score - best) / tau).exp().where(seen, 0)
    return power / power.sum(1, keepdim=True).clamp_min(1)


def _tensor(array: ArrayOrTensor) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))


class SuperpointMeans:
    """Mean feature of every superpoint over its points that have one: F_SP of method.md §6, in blocks."""

    def __init__(self, superpoints: int, width: int) -> None:
        self._total = np.zeros((superpoints, width))
        self._count = np.zeros(superpoints, np.int64)

    def add(self, superpoint: I4, feature: F4, valid: B1) -> None:
        """superpoint: i4[n]; feature: f4[n, C]; valid: b1[n]."""
        _add_rows(self._total, self._count, superpoint, feature, valid)

    def result(self) -> tuple[F4, B1]:
        """(mean f4[L, C], valid b1[L]); a superpoint without any valid point has zeros."""
        mean = self._total / np.maximum(self._count, 1)[:, None]
        return mean.astype(np.float32), self._count > 0


def superpoint_means(feature: F4, valid: B1, superpoint: I4) -> tuple[F4, B1]:
    """(mean f4[L, C], valid b1[L]) of feature f4[N, C] where valid b1[N], by dense superpoint ids i4[N].

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
def _add_rows(total: F8, count: I8, row: I4, feature: F4, valid: B1) -> None:
    for n in range(len(row)):
        if valid[n]:
            count[row[n]] += 1
            target, source = total[row[n]], feature[n]
            for c in range(len(source)):
                target[c] += source[c]
