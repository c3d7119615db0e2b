"""All ways to compute a sparse convolution agree: outputs and gradients."""

import pytest
import torch

from anyscene.networks import CoordinateMaps, MinkUNet
from anyscene.networks.sparse.minkowski import MinkowskiSpace
from anyscene.networks.sparse.torch_backend import TorchSpace
from tests.builders.clouds import CLOUDS, demo_room, room
from tests.twins.dense_space import DenseSpace

TOLERANCE = 1e-4
SMALL = [name for name in CLOUDS if name != "room at 5 cm"]


def run(make_space, cloud, *, double=False):
    """(output, gradients by parameter) of a narrow network with fixed weights and a fixed linear loss."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, 8, "torch", width=0.25)
    features = torch.rand(len(cloud), 3, generator=generator)
    weight = torch.randn(len(cloud), 8, generator=generator)
    if double:
        network, features, weight = network.double(), features.double(), weight.double()
    network.space = make_space
    output = network(cloud, features)
    (output * weight).sum().backward()
    return output.detach(), {name: p.grad for name, p in network.named_parameters()}


def assert_agree(one, other):
    assert relative(one[0], other[0]) < TOLERANCE
    scale = max(float(g.abs().max()) for g in other[1].values())
    for name, gradient in other[1].items():
        # gradients that cancel to nothing are compared with the size of the others
        floor = max(float(gradient.abs().max()), 1e-3 * scale)
        assert float((one[1][name] - gradient).abs().max()) / floor < TOLERANCE, name


def relative(one, other):
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


@pytest.mark.parametrize("name", SMALL)
def test_torch_backend_equals_dense_convolution(name):
    assert_agree(run(TorchSpace, CLOUDS[name]), run(DenseSpace, CLOUDS[name]))


@pytest.mark.minkowski
@pytest.mark.parametrize("name", CLOUDS)
def test_minkowski_backend_equals_torch_backend(name, engine):
    # on many voxels rounding in single precision tips some ReLUs over, a difference of neither backend
    double = name == "room at 5 cm"
    one, other = (run(space, CLOUDS[name], double=double) for space in (MinkowskiSpace, TorchSpace))
    assert_agree(one, other)


@pytest.mark.minkowski
@pytest.mark.parametrize("size", [0.02, 0.05])
@pytest.mark.parametrize("kind", ["bathroom", "kitchen", "office"])
def test_both_backends_agree_on_rooms_of_the_demo(kind, size, engine):
    cloud = demo_room(kind, size)
    assert len(cloud) > 1000 * 0.05 / size
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


def test_rows_come_back_in_the_order_given():
    cloud = CLOUDS["negative coordinates"]
    cloud = torch.unique(cloud, dim=0)
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(4))
    torch.manual_seed(5)
    network = MinkUNet("14A", 3, 4, "torch", width=0.25).eval()
    features = torch.rand(len(cloud), 3)
    assert torch.allclose(network(cloud[order], features[order]), network(cloud, features)[order], atol=1e-6)


def test_the_same_input_gives_the_same_bits():
    first, second = (run(TorchSpace, CLOUDS["batch of three"]) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


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
