"""All ways to compute a sparse convolution agree: outputs and gradients."""

import numpy as np
import pytest
import torch

from anyscene.networks import CoordinateMaps, MinkUNet
from anyscene.networks.sparse import torch_backend
from anyscene.networks.sparse.minkowski import MinkowskiSpace
from anyscene.networks.sparse.torch_backend import TorchSpace
from anyscene.testing import BackendTests
from anyscene.testing.backends import TOLERANCE, assert_agree, relative, run
from anyscene.testing.clouds import CLOUDS, room
from tests.builders.clouds import demo_room
from tests.twins.dense_space import DenseSpace


class TestTorch(BackendTests):
    @pytest.fixture
    def space(self):
        return TorchSpace

    @pytest.fixture
    def reference(self):
        return DenseSpace

    @pytest.mark.parametrize("cloud", [name for name in CLOUDS if name != "room at 5 cm"])  # dense: too large
    def test_outputs_and_gradients_are_those_of_the_reference(self, space, reference, cloud):
        super().test_outputs_and_gradients_are_those_of_the_reference(space, reference, cloud)


@pytest.mark.minkowski
class TestMinkowski(BackendTests):
    same_bits = False  # its threads add up gradients in any order

    @pytest.fixture
    def space(self, engine):
        return MinkowskiSpace


@pytest.mark.integration
@pytest.mark.minkowski
@pytest.mark.parametrize(
    ("kind", "size", "side", "voxels"),
    [
        ("bathroom", 0.05, np.inf, 28_000),
        ("kitchen", 0.05, np.inf, 43_000),
        ("office", 0.05, np.inf, 49_000),
        ("bathroom", 0.02, np.inf, 184_000),
        ("kitchen", 0.02, 1.5, 50_000),  # whole, each of the two takes a minute
        ("office", 0.02, 1.5, 50_000),
    ],
)
def test_both_backends_agree_on_rooms_of_the_demo(kind, size, side, voxels, engine):
    cloud = demo_room(kind, size, side)
    assert len(cloud) > voxels
    one, other = (run(space, cloud, double=True) for space in (MinkowskiSpace, TorchSpace))
    assert_agree(one, other)


@pytest.mark.minkowski
def test_full_size_network_agrees_with_minkowski_engine_on_a_room(engine):
    cloud = room(0.05)
    features = torch.rand(len(cloud), 3, generator=torch.Generator().manual_seed(2))
    outputs = []
    for backend in ("minkowski", "torch"):
        torch.manual_seed(3)
        outputs.append(MinkUNet("18A", 3, 32, backend).eval()(cloud, features).detach())
    assert relative(*outputs) < TOLERANCE


def test_bfloat16_is_close_and_returns_float32():
    exact, _ = run(TorchSpace, CLOUDS["room at 5 cm"])
    rough, gradients = run(lambda maps: TorchSpace(maps, "bfloat16"), CLOUDS["room at 5 cm"])
    assert rough.dtype == torch.float32
    assert float((rough - exact).square().mean().sqrt() / exact.std()) < 0.05
    assert all(torch.isfinite(g).all() for g in gradients.values())


@pytest.mark.parametrize("inputs", [2, 13])  # few channels are multiplied by rows, more by offset
def test_gradients_of_both_products_pass_gradcheck(inputs):
    maps = CoordinateMaps(CLOUDS["negative coordinates"][:12])
    features = torch.randn(maps.size(0), inputs, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(27, inputs, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, k: TorchSpace(maps).convolve(f, k, 0, 3), (features, kernel))


def test_the_size_of_blocks_is_not_seen_in_the_answer(monkeypatch):
    cloud = CLOUDS["room at 5 cm"]
    whole = run(TorchSpace, cloud, double=True)
    monkeypatch.setattr(torch_backend, "BLOCK", 300)  # of products by rows; the last block is a part of one
    monkeypatch.setattr(torch_backend, "CACHE", 1)  # of products by offset: the least rows
    assert_agree(run(TorchSpace, cloud, double=True), whole)


def test_any_number_of_threads_gives_the_same_convolution():
    """Outputs and gradients of the inputs bit for bit; those of the kernel are added up in another order."""
    cloud = room(0.05)
    maps = CoordinateMaps(cloud)
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(27, 128, 128, generator=generator)
    given, arriving = torch.randn(2, maps.size(0), 128, generator=generator)
    assert len(maps.neighbours(0, 3).blocks(1024)) > 3
    results, before = [], torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        features, weight = given.clone().requires_grad_(), kernel.clone().requires_grad_()
        output = TorchSpace(maps).convolve(features, weight, 0, 3)
        output.backward(arriving)
        results.append((output.detach(), features.grad, weight.grad))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for output, by_feature, by_kernel in results[1:]:
        assert torch.equal(output, results[0][0])
        assert torch.equal(by_feature, results[0][1])
        assert relative(by_kernel, results[0][2]) < 1e-5
