"""The published sizes, once, with random weights: that they are those, that they load, and what they take."""

import pytest
import torch

from anyscene.weights import sam as sam_module
from benchmarks.speed import full_size, throughput

pytestmark = pytest.mark.integration

LIMIT_GIB = 10
# parameters as published: Kirillov et al. 2023 give 91, 308 and 636 M for the image encoders alone
SAM = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}
BUILT = ("sd15, one step", "sdxl, one step", "sam vit_b", "clip ViT-B/32", "clip ViT-L/14@336")


def count(network):
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize("name", full_size.ARCHITECTURES)
def test_networks_have_the_published_number_of_parameters(name):
    architecture = full_size.ARCHITECTURES[name]
    with torch.device("meta"):
        found = {part: count(architecture.build(part)) for part in architecture.parts}
    assert found == full_size.PARAMETERS[name]


@pytest.mark.parametrize("kind", SAM)
def test_sam_has_the_published_number_of_parameters(kind):
    with torch.device("meta"):
        assert count(sam_module.sam_model_registry[kind]()) == SAM[kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_full_size_fits_into_memory(name):
    """Written to disk, read by the pipeline's own code, and asked once or more."""
    measured = throughput.measure(name, "cpu")
    assert 0 < measured.peak_gib < LIMIT_GIB
    assert measured.per_second > 0 and measured.seconds > 0
