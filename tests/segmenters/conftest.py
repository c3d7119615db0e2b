import pytest
import torch

from pipeline.config import Text
from pipeline.segmenters.dense import DenseSegmenter
from pipeline.segmenters.grounded import GroundedSegmenter
from pipeline.segmenters.mask import MaskSegmenter
from pipeline.segmenters.sam3 import Sam3Segmenter
from pipeline.segmenters.universal import UniversalSegmenter
from pipeline.text import load_text_encoder
from tests.segmenters import small_demo, small_grounded, small_sam3, small_universal


@pytest.fixture(scope="session")
def minilm():
    return load_text_encoder(Text("minilm", "a {} in a scene"))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Folder with small dense and mask models of random weights."""
    return small_demo.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def universal_weights(tmp_path_factory):
    """Folder with a small Mask2Former and a small OneFormer of random weights."""
    root = tmp_path_factory.mktemp("universal")
    for name in small_universal.KIND:
        small_universal.write(name, root / name)
    return root


@pytest.fixture(scope="session")
def grounded_weights(tmp_path_factory):
    """Folder with a small Grounding DINO and a small SAM of random weights."""
    return small_grounded.write(tmp_path_factory.mktemp("grounded") / "grounded")


@pytest.fixture(autouse=True)
def small_sam():
    """What vit_b builds, here and nowhere else."""
    with small_grounded.small_sam():
        yield


@pytest.fixture(scope="session")
def sam3_weights(tmp_path_factory):
    """Folder with a small SAM 3 of random weights."""
    return small_sam3.write(tmp_path_factory.mktemp("sam3") / "sam3")


NAMES = ["dense", "mask", "mask2former", "oneformer", "grounded", "sam3"]


@pytest.fixture(scope="session")
def build(request, minilm):
    """build(name, **settings): the small model of random weights."""

    def build(name, **settings):
        cpu = torch.device("cpu")
        if name == "grounded":
            with small_grounded.small_sam():
                return GroundedSegmenter(name, request.getfixturevalue("grounded_weights"), cpu, **settings)
        if name == "sam3":
            folder = request.getfixturevalue("sam3_weights")
            return Sam3Segmenter(name, folder, cpu, confidence=0.2, **settings)
        if name in small_universal.KIND:
            folder = request.getfixturevalue("universal_weights") / name
            overlap = small_universal.OVERLAP
            return UniversalSegmenter(name, folder, minilm, cpu, overlap=overlap, **settings)
        folder = request.getfixturevalue("random_weights") / name
        return {"dense": DenseSegmenter, "mask": MaskSegmenter}[name](name, folder, minilm, **settings)

    return build


@pytest.fixture(scope="session", params=NAMES)
def segmenter(request, build):
    return build(request.param)
