"""The demo's dense and mask models, small and of random weights."""

import torch

from anyscene.weights import described
from anyscene_demo.segmenters.dense.segmenter import DenseNetwork
from anyscene_demo.segmenters.mask.segmenter import MaskNetwork

WIDTHS = [8, 16, 16, 16]


def write(root):
    """`root`, with dense/ and mask/ in it."""
    torch.manual_seed(0)
    dense = {"kind": "dense", "side": 64, "widths": WIDTHS, "inner": 16, "width": 384}
    described.write(root / "dense", DenseNetwork(WIDTHS, 16), {"architecture": dense})
    mask = {"kind": "mask", "side": 64, "widths": WIDTHS, "embedding": 8, "inner": 16, "width": 384}
    described.write(
        root / "mask", MaskNetwork(WIDTHS, 8, 16), {"architecture": mask, "names": ["wall", "sofa"]}
    )
    return root
