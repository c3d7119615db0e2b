"""MinkUNet (Choy, Gwak, Savarese 2019): a residual U-Net with five levels on sparse voxels.

It has the parameter names, shapes and kernel order of MinkowskiEngine, so that published weights load."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import distributed, nn
from torch.nn import functional

from anyscene.networks.sparse.backend import Space
from anyscene.networks.sparse.coordinates import CoordinateMaps
from anyscene.networks.sparse.minkowski import MinkowskiSpace
from anyscene.networks.sparse.torch_backend import TorchSpace
from anyscene.project.parameters import Backend, NetworkPrecision, Statistics


@dataclass(frozen=True)
class Variant:
    """Sizes of a MinkUNet. It has eight blocks, four downwards and four upwards."""

    planes: tuple[int, ...]  # channels of each block
    units: tuple[int, ...]  # residual units in each block
    stem: int = 32  # channels of the first convolution


VARIANTS = {
    "14A": Variant((32, 64, 128, 256, 128, 128, 96, 96), (1,) * 8),
    "18A": Variant((32, 64, 128, 256, 128, 128, 96, 96), (2,) * 8),
    # not published: it has few channels where there are many voxels, so that a CPU can train it
    "small": Variant((16, 32, 64, 96, 64, 48, 32, 32), (1,) * 8, stem=16),
    "34C": Variant((32, 64, 128, 256, 256, 128, 96, 96), (2, 3, 4, 6, 2, 2, 2, 2)),
}


class MinkUNet(nn.Module):
    """The network: coordinates and features of voxels -> features, one row for each row of the input.

    >>> import torch
    >>> network = anyscene.MinkUNet("14A", in_channels=3, out_channels=8, width=0.25, backend="torch")
    >>> batch_x_y_z = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.int32)
    >>> network.eval()(batch_x_y_z, torch.ones(3, 3)).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        variant: str = "18A",
        in_channels: int = 3,
        out_channels: int = 512,
        backend: Backend = "auto",
        *,
        width: float = 1.0,
        bias: bool = True,
        precision: NetworkPrecision = "float32",
    ):
        """variant: a key of VARIANTS. width: a factor of the channels of every layer but the last. bias:
        whether the last layer has one (in OpenScene's weights it has none). precision: of the products in
        the torch backend; parameters, sums and everything between convolutions stay float32. The random
        weights come from torch's global generator."""
        super().__init__()
        self.backend, self.precision = resolve(backend), precision
        shape = VARIANTS[variant]
        planes = [round(width * p) for p in shape.planes]
        stem = round(width * shape.stem)
        self.settings = {
            "variant": variant,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "width": width,
            "bias": bias,
        }
        self.hidden_channels = planes[7]

        self.conv0p1s1 = Convolution(in_channels, stem, size=5)
        self.bn0 = BatchNorm(stem)
        self.conv1p1s2 = Convolution(stem, stem, size=2)
        self.bn1 = BatchNorm(stem)
        self.block1 = _block(stem, planes[0], shape.units[0])
        self.conv2p2s2 = Convolution(planes[0], planes[0], size=2)
        self.bn2 = BatchNorm(planes[0])
        self.block2 = _block(planes[0], planes[1], shape.units[1])
        self.conv3p4s2 = Convolution(planes[1], planes[1], size=2)
        self.bn3 = BatchNorm(planes[1])
        self.block3 = _block(planes[1], planes[2], shape.units[2])
        self.conv4p8s2 = Convolution(planes[2], planes[2], size=2)
        self.bn4 = BatchNorm(planes[2])
        self.block4 = _block(planes[2], planes[3], shape.units[3])

        self.convtr4p16s2 = Convolution(planes[3], planes[4], size=2, up=True)
        self.bntr4 = BatchNorm(planes[4])
        self.block5 = _block(planes[4] + planes[2], planes[4], shape.units[4])
        self.convtr5p8s2 = Convolution(planes[4], planes[5], size=2, up=True)
        self.bntr5 = BatchNorm(planes[5])
        self.block6 = _block(planes[5] + planes[1], planes[5], shape.units[5])
        self.convtr6p4s2 = Convolution(planes[5], planes[6], size=2, up=True)
        self.bntr6 = BatchNorm(planes[6])
        self.block7 = _block(planes[6] + planes[0], planes[6], shape.units[6])
        self.convtr7p2s2 = Convolution(planes[6], planes[7], size=2, up=True)
        self.bntr7 = BatchNorm(planes[7])
        self.block8 = _block(planes[7] + stem, planes[7], shape.units[7])
        self.final = Convolution(planes[7], out_channels, size=1, bias=bias)

    def forward(self, coordinates: torch.Tensor | CoordinateMaps, features: torch.Tensor) -> torch.Tensor:
        """f4[V, Cout], a row for each given row. coordinates: i4[V, 4], batch index first; features:
        f4[V, Cin].

        Rows with the same coordinates are one voxel: its input is their mean, and each of them gets its
        output. Pass CoordinateMaps in place of coordinates to use kernel maps again."""
        result: torch.Tensor = self.final(self.hidden(coordinates, features))
        return result

    def hidden(self, coordinates: torch.Tensor | CoordinateMaps, features: torch.Tensor) -> torch.Tensor:
        """f4[V, hidden_channels]: the input of `final`, the last layer, which is linear in each voxel."""
        maps = coordinates if isinstance(coordinates, CoordinateMaps) else CoordinateMaps(coordinates)
        space = self.space(maps)
        return space.leave(self._unet(space, space.enter(features)))

    def space(self, maps: CoordinateMaps) -> Space:
        """The voxels as the network's backend holds them."""
        if self.backend == "minkowski":
            return MinkowskiSpace(maps)
        return TorchSpace(maps, self.precision)

    def _unet(self, space: Space, x: torch.Tensor) -> torch.Tensor:  # [U_0, Cin] -> [U_0, hidden_channels]
        skip0 = torch.relu(self.bn0(self.conv0p1s1(x, space, 0)))
        x = torch.relu(self.bn1(self.conv1p1s2(skip0, space, 0)))
        skip1 = _run(self.block1, x, space, 1)
        x = torch.relu(self.bn2(self.conv2p2s2(skip1, space, 1)))
        skip2 = _run(self.block2, x, space, 2)
        x = torch.relu(self.bn3(self.conv3p4s2(skip2, space, 2)))
        skip3 = _run(self.block3, x, space, 3)
        x = torch.relu(self.bn4(self.conv4p8s2(skip3, space, 3)))
        x = _run(self.block4, x, space, 4)

        x = torch.relu(self.bntr4(self.convtr4p16s2(x, space, 4)))
        x = _run(self.block5, torch.cat([x, skip3], 1), space, 3)
        x = torch.relu(self.bntr5(self.convtr5p8s2(x, space, 3)))
        x = _run(self.block6, torch.cat([x, skip2], 1), space, 2)
        x = torch.relu(self.bntr6(self.convtr6p4s2(x, space, 2)))
        x = _run(self.block7, torch.cat([x, skip1], 1), space, 1)
        x = torch.relu(self.bntr7(self.convtr7p2s2(x, space, 1)))
        return _run(self.block8, torch.cat([x, skip0], 1), space, 0)


class Convolution(nn.Module):
    """A sparse convolution. Of `size` 1 it treats every voxel by itself; of size 2 it leads to the next
    coarser level, or with `up` to the next finer one; of size 3 or 5 it stays on its level."""

    def __init__(self, inputs: int, outputs: int, size: int, *, up: bool = False, bias: bool = False):
        super().__init__()
        self.size, self.up = size, up
        shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
        self.kernel = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(1, outputs)) if bias else None
        # fan-out of He et al. 2015; only one of the eight offsets of an upward kernel reaches a voxel
        fan = outputs * (1 if up else size**3)
        nn.init.normal_(self.kernel, std=math.sqrt(2 / fan))

    def forward(self, x: torch.Tensor, space: Space | None = None, level: int = 0) -> torch.Tensor:
        """[U_level, Cin] -> [U of the target level, Cout]. `space` may be None where `size` is 1."""
        if self.size == 1:
            return x @ self.kernel if self.bias is None else torch.addmm(self.bias, x, self.kernel)
        assert space is not None  # a kernel of size 1 alone needs no neighbours
        if self.size == 2:
            return (space.up if self.up else space.down)(x, self.kernel, level)
        return space.convolve(x, self.kernel, level, self.size)


class BatchNorm(nn.Module):
    """Batch normalisation over voxels. It is nested as in MinkowskiEngine, so that its parameters have the
    same names."""

    statistics: Statistics = "own"  # by which it normalises in training, see `normalise_by`

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [U, C]
        if self.training and self.statistics == "shared" and distributed.is_initialized():
            return self._over_processes(x)
        if self.training and (self.statistics == "frozen" or len(x) == 1):  # one voxel has no variance
            bn = self.bn
            return functional.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        result: torch.Tensor = self.bn(x)
        return result

    def _over_processes(self, x: torch.Tensor) -> torch.Tensor:
        """As torch.nn.SyncBatchNorm, which works on GPUs only."""
        bn = self.bn
        count = _over_all(x.new_tensor(len(x))).clamp_min(2)
        mean = _over_all(x.sum(0)) / count
        centred = x - mean
        variance = _over_all(centred.square().sum(0)) / count
        assert bn.running_mean is not None and bn.running_var is not None  # they are tracked
        assert bn.num_batches_tracked is not None and bn.momentum is not None
        with torch.no_grad():
            bn.running_mean.lerp_(mean, bn.momentum)
            bn.running_var.lerp_(variance * count / (count - 1), bn.momentum)
            bn.num_batches_tracked += 1
        return centred * (variance + bn.eps).rsqrt() * bn.weight + bn.bias


class _AllReduce(torch.autograd.Function):
    """The sum over all processes, whose gradient is the same sum. torch.distributed.nn.functional.all_reduce
    is deprecated in favour of a private module."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient


def _over_all(value: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _AllReduce.apply(value)
    return total


class Residual(nn.Module):
    """Two 3x3x3 convolutions and a shortcut (BasicBlock of He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, size=3)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = Convolution(outputs, outputs, size=3)
        self.norm2 = BatchNorm(outputs)
        self.downsample = None
        if inputs != outputs:
            self.downsample = nn.Sequential(Convolution(inputs, outputs, size=1), BatchNorm(outputs))

    def forward(self, x: torch.Tensor, space: Space, level: int) -> torch.Tensor:
        y = torch.relu(self.norm1(self.conv1(x, space, level)))
        y = self.norm2(self.conv2(y, space, level))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _block(inputs: int, outputs: int, units: int) -> nn.ModuleList:
    return nn.ModuleList([Residual(inputs if i == 0 else outputs, outputs) for i in range(units)])


def _run(block: nn.ModuleList, x: torch.Tensor, space: Space, level: int) -> torch.Tensor:
    for unit in block:
        x = unit(x, space, level)
    return x


def normalise_by(network: MinkUNet, statistics: Statistics) -> None:
    """Choose by which statistics all norms of `network` normalise in training: "own", those of the batch;
    "shared", those of the batches of all processes of torch.distributed; "frozen", the running ones, which
    then do not change."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.statistics = statistics


def resolve(backend: Backend) -> Literal["minkowski", "torch"]:
    """The backend that `backend` stands for. `auto` is torch: it is faster on the CPU, gives the same bits
    from run to run at any number of threads (MinkowskiEngine only at one), and is the only one on current
    GPUs."""
    return "torch" if backend == "auto" else backend
