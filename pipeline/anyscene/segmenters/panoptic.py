"""Masks that do not overlap, from what a network of queries says: Mask2Former, OneFormer and SEEM."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import I4, I8


def panoptic(
    classes: torch.Tensor,  # [Q, L + 1]
    masks: torch.Tensor,  # [Q, h, w]
    size: tuple[int, int],
    confidence: float,
    overlap: float,
    nothing: int = -1,
) -> tuple[I4, I8]:
    """(owner i4[H, W] of `size`, -1 = none; label i8[n] of the masks): masks that do not overlap, from the
    logits of Q queries. `nothing` is the class "no object", by default the last.

    This is the inference of MaskFormer (Cheng et al. 2021, section 3.4). Of the queries that are sure of a
    class, each pixel goes to the one with the highest product of class and mask probability. A mask that
    keeps too little of what it claims (where its mask probability is at least one half) is dropped. As in the
    published code, no mask gets a pixel that it does not claim.
    """
    score, label = classes.float().softmax(1).max(1)
    kept = (label != nothing % classes.shape[1]) & (score > confidence)
    score, label = score[kept], label[kept]
    if len(label) == 0:
        return np.full(size, -1, np.int32), np.zeros(0, np.int64)
    logit = functional.interpolate(masks[kept][None].float(), size=size, mode="bilinear")[0]  # [n, H, W]
    claimed = logit >= 0
    best = (score[:, None, None] * logit.sigmoid()).argmax(0)  # [H, W]
    area = claimed.flatten(1).sum(1)  # [n]
    stands = (area > 0) & (torch.bincount(best.flatten(), minlength=len(label)) >= overlap * area)
    owned = claimed.gather(0, best[None])[0] & stands[best]
    return torch.where(owned, best, -1).to(torch.int32).cpu().numpy(), label.cpu().numpy()
