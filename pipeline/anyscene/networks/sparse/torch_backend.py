"""Sparse convolution in plain PyTorch, on any device: the `torch` backend.

There are two ways to multiply. Both are free of races, so a result depends on nothing but its inputs:
- by offset: gather the inputs of one offset, multiply, and add the products to its outputs. This wastes no
  work and serves float32. Voxels that are near in Morton order are near in space, so a block of outputs and
  its inputs stay in the cache for all offsets. Every thread has blocks of its own.
- by rows: gather all offsets of a block of outputs into one matrix (zeros where there is no neighbour) and
  multiply once. This sums inside the product and writes each output once, but on surfaces it multiplies
  about two zeros for each neighbour. It is faster where products are cheap beside memory traffic: for
  bfloat16, and for very few input channels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import torch

from anyscene.arrays import I4, Array
from anyscene.networks.sparse.coordinates import CoordinateMaps, Neighbourhood, Pairs
from anyscene.project.parameters import NetworkPrecision

T = TypeVar("T")
Gradients = tuple[torch.Tensor | None, ...]  # of what `forward` was given

BLOCK = 1024  # outputs in a gathered matrix; with 27 x 48 bfloat16 channels they just fill a cache of 2.5 MB
CACHE = 1 << 19  # bytes of the outputs of a block
BLOCK_ON_GPU = 1 << 16  # outputs in a gathered matrix; with 27 x 256 bfloat16 channels they take 0.9 GB
FEW_CHANNELS = 12  # with fewer input channels products by offset are mostly overhead


class TorchSpace:
    """anyscene.networks.sparse.backend.Space on the kernel maps of `maps`."""

    def __init__(self, maps: CoordinateMaps, precision: NetworkPrecision = "float32"):
        self.maps = maps
        self.half = precision == "bfloat16"

    def enter(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U_0, C]
        return self.maps.gather(features)

    def leave(self, features: torch.Tensor) -> torch.Tensor:  # [U_0, C] -> [V, C]
        return self.maps.spread(features)

    def convolve(self, features: torch.Tensor, kernel: torch.Tensor, level: int, size: int) -> torch.Tensor:
        around = self.maps.neighbours(level, size)
        if self.half or features.shape[1] < FEW_CHANNELS:
            dtype = torch.bfloat16 if self.half else features.dtype
            return _applied(_ByRows, features, kernel, around.table, dtype)
        return _applied(_ByBlocks, features, kernel, around)

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        return _applied(_ByOffset, features, kernel, self.maps.families(level), self.maps.size(level + 1))

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        pairs = tuple((parent, child) for child, parent in self.maps.families(level - 1))
        return _applied(_ByOffset, features, kernel, pairs, self.maps.size(level - 1))


def _applied(function: type[torch.autograd.Function], *arguments: object) -> torch.Tensor:
    """`function.apply`, which torch leaves without a type."""
    result: torch.Tensor = function.apply(*arguments)
    return result


class _ByBlocks(torch.autograd.Function):
    """Convolution of stride 1 by offset. The map is its own mirror image: where j meets i at offset k, i
    meets j at the opposite one. So gradients of the inputs are gathered for a block at a time as well, along
    the same pairs."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, kernel: torch.Tensor, around: Neighbourhood
    ) -> torch.Tensor:  # [U, Cin], [K, Cin, Cout] -> [U, Cout]
        ctx.save_for_backward(features, kernel)
        ctx.around = around
        rows = _rows_of_block(features, kernel)
        centre = len(kernel) // 2
        result = features.new_empty(len(features), kernel.shape[2])
        blocks = around.blocks(rows)

        def fill(share: range) -> None:
            for block in share:
                here = slice(block * rows, (block + 1) * rows)
                torch.mm(features[here], kernel[centre], out=result[here])
                for k, (source, target) in enumerate(blocks[block]):
                    if k != centre and len(source):
                        _add_rows(result, target, features.index_select(0, source) @ kernel[k])

        _share_out(fill, len(blocks))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Gradients:  # [U, Cout]
        features, kernel = ctx.saved_tensors
        rows = _rows_of_block(features, kernel)
        volume = len(kernel)
        centre = volume // 2
        transposed = kernel.transpose(1, 2)
        by_feature = torch.empty_like(features)
        blocks = ctx.around.blocks(rows)

        def fill(share: range) -> torch.Tensor:
            by_kernel = torch.zeros_like(kernel)
            for block in share:
                here = slice(block * rows, (block + 1) * rows)
                torch.mm(gradient[here], transposed[centre], out=by_feature[here])
                by_kernel[centre].addmm_(features[here].T, gradient[here])
                for opposite, (there, own) in enumerate(blocks[block]):
                    k = volume - 1 - opposite
                    if k != centre and len(own):
                        arriving = gradient.index_select(0, there)
                        by_kernel[k].addmm_(features.index_select(0, own).T, arriving)
                        _add_rows(by_feature, own, arriving @ transposed[k])
            return by_kernel

        by_kernel, *others = _share_out(fill, len(blocks))
        for part in others:
            by_kernel += part
        return by_feature, by_kernel, None


def _share_out(work: Callable[[range], T], blocks: int) -> list[T]:
    """The results of `work` on equal shares of the blocks, each on a thread of its own. Threads that divided
    the small products of one block would wait for each other."""
    threads = torch.get_num_threads()
    shares = max(1, min(threads, blocks))
    if shares == 1:
        return [work(range(blocks))]
    bounds = [blocks * i // shares for i in range(shares + 1)]
    mode = torch.inference_mode() if torch.is_inference_mode_enabled() else torch.no_grad()
    try:
        with ThreadPoolExecutor(shares, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(mode(work), map(range, bounds, bounds[1:])))  # threads begin without a mode
    finally:
        torch.set_num_threads(threads)  # the number holds for the whole process


def _add_rows(result: torch.Tensor, target: torch.Tensor, rows: torch.Tensor) -> None:
    """result.index_add_(0, target, rows)"""
    if result.device.type == "cpu":
        _add_rows_compiled(result.numpy(), target.numpy(), rows.numpy())
    else:
        result.index_add_(0, target, rows)


@numba.njit(cache=True, nogil=True)
def _add_rows_compiled(result: Array, target: I4, rows: Array) -> None:
    for i in range(len(target)):
        for c in range(rows.shape[1]):
            result[target[i], c] += rows[i, c]


def _rows_of_block(features: torch.Tensor, kernel: torch.Tensor) -> int:
    """How many outputs fill the cache together with their inputs; on a GPU all of them."""
    if features.device.type != "cpu":
        return max(1, len(features))
    return max(256, CACHE // (features.element_size() * max(kernel.shape[1:])))


class _ByOffset(torch.autograd.Function):
    """Convolution to the next level: every voxel of the finer level takes part once."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, kernel: torch.Tensor, pairs: Pairs, outputs: int
    ) -> torch.Tensor:  # [U, Cin], [8, Cin, Cout] -> [outputs, Cout]
        ctx.save_for_backward(features, kernel)
        ctx.pairs = pairs
        result = features.new_zeros(outputs, kernel.shape[2])
        for k, (source, target) in enumerate(pairs):
            result.index_add_(0, target, features.index_select(0, source) @ kernel[k])
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Gradients:  # [outputs, Cout]
        features, kernel = ctx.saved_tensors
        by_kernel = torch.zeros_like(kernel)
        by_feature = torch.zeros_like(features)
        for k, (source, target) in enumerate(ctx.pairs):
            arriving = gradient.index_select(0, target)
            torch.mm(features.index_select(0, source).T, arriving, out=by_kernel[k])
            by_feature.index_add_(0, source, arriving @ kernel[k].T)
        return by_feature, by_kernel, None, None


class _ByRows(torch.autograd.Function):
    """Convolution of stride 1 by rows. The map is its own mirror image, so the gradient of the input is the
    same product with the offsets of the kernel reversed."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, kernel: torch.Tensor, table: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:  # [U, Cin], [K, Cin, Cout], i4[U, K] -> [U, Cout]
        padded = _with_zero_row(features, dtype)
        ctx.save_for_backward(padded, kernel, table)
        ctx.dtype = dtype
        return _by_rows(padded, kernel.to(dtype), table).to(features.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Gradients:  # [U, Cout]
        padded, kernel, table = ctx.saved_tensors
        arriving = _with_zero_row(gradient, ctx.dtype)
        by_feature = None
        if ctx.needs_input_grad[0]:
            by_feature = _by_rows(arriving, kernel.to(ctx.dtype).flip(0).transpose(1, 2), table)
            by_feature = by_feature.to(gradient.dtype)
        volume, inputs, outputs = kernel.shape
        by_kernel = kernel.new_zeros(volume * inputs, outputs)
        blocks = (torch.split(t, _block(table)) for t in (table, arriving[:-1]))
        for rows, part in zip(*blocks, strict=True):
            by_kernel += _neighbourhoods(padded, rows).T @ part
        return by_feature, by_kernel.view_as(kernel), None, None


def _by_rows(padded: torch.Tensor, kernel: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """[U + 1, Cin], [K, Cin, Cout], i4[U, K] -> [U, Cout]"""
    matrix = kernel.reshape(-1, kernel.shape[2])
    result = padded.new_empty(len(table), kernel.shape[2])
    blocks = (torch.split(t, _block(table)) for t in (table, result))
    for rows, out in zip(*blocks, strict=True):
        torch.mm(_neighbourhoods(padded, rows), matrix, out=out)
    return result


def _block(table: torch.Tensor) -> int:
    return BLOCK if table.device.type == "cpu" else BLOCK_ON_GPU


def _neighbourhoods(padded: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """[U + 1, C], i4[n, K] -> [n, K C]"""
    return padded.index_select(0, table.reshape(-1)).view(len(table), -1)


def _with_zero_row(features: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[U, C] -> [U + 1, C]: the last row, zeros, is what a missing neighbour contributes."""
    padded = features.new_zeros(len(features) + 1, features.shape[1], dtype=dtype)
    padded[:-1] = features
    return padded
