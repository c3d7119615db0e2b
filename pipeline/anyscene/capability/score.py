"""How well a 2D model knows a class: its masks of synthesised images compared with the pseudo masks."""

from __future__ import annotations

from anyscene.arrays import B1


def score(pseudo: B1, predicted: B1, pooled: bool = True) -> float:
    """The intersection over union of two stacks of masks b1[m, H, W], in 0..1.

    pooled: whether it is the sum of intersections / the sum of unions over all images, as in the released
    code of SAS, or the mean of the ratios of the images, as in the paper. An image for which both masks are
    empty is left out; if all are, the score is 0. Raises ValueError where the shapes of the masks differ, or
    they are not b1[m, H, W].

    >>> pseudo = np.array([[[True, True, False, False]], [[True, False, False, False]]])
    >>> predicted = np.array([[[True, False, False, False]], [[True, False, False, False]]])
    >>> anyscene.score(pseudo, predicted)  # (1 + 1) / (2 + 1)
    0.6666666666666666
    >>> anyscene.score(pseudo, predicted, pooled=False)  # (1/2 + 1/1) / 2
    0.75
    """
    if pseudo.shape != predicted.shape or pseudo.ndim != 3:
        raise ValueError(
            f"expected two stacks [m, H, W] of one shape, got {pseudo.shape} and {predicted.shape}"
        )
    if pseudo.dtype != bool or predicted.dtype != bool:
        raise ValueError(f"expected boolean masks, got {pseudo.dtype} and {predicted.dtype}")
    intersection = (pseudo & predicted).sum((1, 2))
    union = (pseudo | predicted).sum((1, 2))
    if not union.any():
        return 0.0
    if pooled:
        return float(intersection.sum() / union.sum())
    seen = union > 0
    return float((intersection[seen] / union[seen]).mean())
