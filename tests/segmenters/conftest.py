import pytest
import torch

from pipeline.config import Text
from pipeline.segmenters import weights
from pipeline.segmenters.dense import DenseNetwork, DenseSegmenter
from pipeline.segmenters.mask import MaskNetwork, MaskSegmenter
from pipeline.text import load_text_encoder

WIDTHS = [8, 16, 16, 16]


@pytest.fixture(scope="session")
def minilm():
    return load_text_encoder(Text("minilm", "a {} in a scene"))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Folder with small dense and mask models of random weights."""
    root = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    dense = {"kind": "dense", "side": 64, "widths": WIDTHS, "inner": 16, "width": 384}
    weights.write(root / "dense", DenseNetwork(WIDTHS, 16), {"architecture": dense})
    mask = {"kind": "mask", "side": 64, "widths": WIDTHS, "embedding": 8, "inner": 16, "width": 384}
    weights.write(
        root / "mask", MaskNetwork(WIDTHS, 8, 16), {"architecture": mask, "names": ["wall", "sofa"]}
    )
    return root


@pytest.fixture(scope="session", params=["dense", "mask"])
def segmenter(request, random_weights, minilm):
    kind = {"dense": DenseSegmenter, "mask": MaskSegmenter}[request.param]
    return kind(request.param, random_weights / request.param, minilm)
