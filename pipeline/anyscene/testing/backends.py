"""What a sparse backend must satisfy: `anyscene.networks.sparse.backend.Space`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest
import torch

from anyscene.networks import CoordinateMaps, MinkUNet
from anyscene.networks.sparse.backend import Space
from anyscene.networks.sparse.torch_backend import TorchSpace
from anyscene.testing.clouds import CLOUDS

TOLERANCE = 1e-4  # of the largest value, to which all backends agree

MakeSpace = Callable[[CoordinateMaps], Space]
Run = tuple[torch.Tensor, Mapping[str, torch.Tensor]]  # output, and gradients by parameter


class BackendTests:
    """Tests of a sparse backend. The fixture `space` returns the class, or a function, that makes a Space.

        class TestMine(BackendTests):
            @pytest.fixture
            def space(self):
                return MySpace

    A narrow MinkUNet runs on it and on `reference`, forwards and backwards.
    """

    # Clouds on which rounding in single precision tips some ReLUs over, the fault of neither backend.
    in_double_precision: ClassVar[tuple[str, ...]] = ("room at 5 cm",)
    # Whether the same input gives the same bits each time. If not, it gives the same numbers to TOLERANCE.
    same_bits: ClassVar[bool] = True

    @pytest.fixture
    def space(self) -> MakeSpace:
        """The class or function that makes the backend from coordinate maps."""
        raise pytest.UsageError("give the fixture `space` in the class that derives from BackendTests")

    @pytest.fixture
    def reference(self) -> MakeSpace:
        """The backend that `space` is compared with."""
        return TorchSpace

    @pytest.mark.parametrize("cloud", CLOUDS)
    def test_outputs_and_gradients_are_those_of_the_reference(
        self, space: MakeSpace, reference: MakeSpace, cloud: str
    ) -> None:
        double = cloud in self.in_double_precision
        assert_agree(*(run(make, CLOUDS[cloud], double=double) for make in (space, reference)))

    def test_rows_come_back_in_the_order_given(self, space: MakeSpace) -> None:
        cloud = torch.unique(CLOUDS["negative coordinates"], dim=0)
        order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(4))
        torch.manual_seed(5)
        network = NarrowNetwork(space, 4).eval()
        features = torch.rand(len(cloud), 3)
        turned, plain = network(cloud[order], features[order]), network(cloud, features)
        assert torch.allclose(turned, plain[order], atol=1e-6)

    def test_the_same_input_gives_the_same_answer(self, space: MakeSpace) -> None:
        first, second = (run(space, CLOUDS["batch of three"]) for _ in range(2))
        if not self.same_bits:
            assert_agree(first, second)
            return
        assert torch.equal(first[0], second[0])
        assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


class NarrowNetwork(MinkUNet):
    """A MinkUNet of few channels on the backend that `make_space` makes."""

    def __init__(self, make_space: MakeSpace, out_channels: int) -> None:
        super().__init__("14A", 3, out_channels, "torch", width=0.25)
        self.make_space = make_space

    def space(self, maps: CoordinateMaps) -> Space:
        return self.make_space(maps)


def run(make_space: MakeSpace, cloud: torch.Tensor, *, double: bool = False) -> Run:
    """Run a narrow network with fixed weights and a fixed linear loss on the backend that `make_space`
    makes."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    network = NarrowNetwork(make_space, 8)
    features = torch.rand(len(cloud), 3, generator=generator)
    weight = torch.randn(len(cloud), 8, generator=generator)
    if double:
        network, features, weight = network.double(), features.double(), weight.double()
    output = network(cloud, features)
    (output * weight).sum().backward()
    gradients = {}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        gradients[name] = parameter.grad
    return output.detach(), gradients


def assert_agree(one: Run, other: Run) -> None:
    """Assert that outputs and gradients of `one` are those of `other`, to TOLERANCE."""
    assert relative(one[0], other[0]) < TOLERANCE
    scale = max(float(g.abs().max()) for g in other[1].values())
    for name, gradient in other[1].items():
        # gradients that cancel to nothing are compared with the size of the others
        floor = max(float(gradient.abs().max()), 1e-3 * scale)
        assert float((one[1][name] - gradient).abs().max()) / floor < TOLERANCE, name


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value of `other`."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
