import pytest
import torch

from pipeline.config import Text
from pipeline.segmenters import weights
from pipeline.segmenters.dense import DenseNetwork, DenseSegmenter
from pipeline.segmenters.mask import MaskNetwork, MaskSegmenter
from pipeline.segmenters.universal import UniversalSegmenter
from pipeline.text import load_text_encoder
from tests.segmenters import small_universal

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


@pytest.fixture(scope="session")
def universal_weights(tmp_path_factory):
    """Folder with a small Mask2Former and a small OneFormer of random weights."""
    root = tmp_path_factory.mktemp("universal")
    for name in small_universal.KIND:
        small_universal.write(name, root / name)
    return root


@pytest.fixture(scope="session", params=["dense", "mask", "mask2former", "oneformer"])
def segmenter(request, random_weights, universal_weights, minilm):
    name = request.param
    if name in small_universal.KIND:
        overlap = small_universal.OVERLAP
        return UniversalSegmenter(
            name, universal_weights / name, minilm, torch.device("cpu"), overlap=overlap
        )
    return {"dense": DenseSegmenter, "mask": MaskSegmenter}[name](name, random_weights / name, minilm)
