"""Sparse convolution in plain PyTorch, on any device: the `torch` backend.

Two ways to multiply, both free of races, so that a result depends on nothing but its inputs:
- by offset: gather the inputs of one offset, multiply, add to its outputs. No wasted work; for float32.
- by rows: gather all offsets of a block of outputs into one matrix (zeros where there is no neighbour)
  and multiply once. Sums inside the product and writes each output once, but multiplies about two zeros
  per neighbour on surfaces. Faster where products are cheap beside memory traffic: bfloat16, and very few
  input channels.
"""

from __future__ import annotations

from typing import Literal

import torch

from pipeline.network.coordinates import CoordinateMaps, Pairs

Precision = Literal["float32", "bfloat16"]

BLOCK = 1024  # outputs per gathered matrix: 27 x 48 bfloat16 channels of them just fill a 2.5 MB cache
FEW_CHANNELS = 12  # below, products by offset are all overhead


class TorchSpace:
    """pipeline.network.space.Space on kernel maps held by `maps`."""

    def __init__(self, maps: CoordinateMaps, precision: Precision = "float32"):
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
            return _ByRows.apply(features, kernel, around.table, dtype)
        return _ByOffset.apply(features, kernel, around.pairs, len(features), size**3 // 2)

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        return _ByOffset.apply(features, kernel, self.maps.families(level), self.maps.size(level + 1), None)

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        pairs = tuple((parent, child) for child, parent in self.maps.families(level - 1))
        return _ByOffset.apply(features, kernel, pairs, self.maps.size(level - 1), None)


class _ByOffset(torch.autograd.Function):
    """identity: the offset at which every voxel meets itself, which needs no gathering."""

    @staticmethod
    def forward(
        ctx, features, kernel, pairs: Pairs, outputs: int, identity: int | None
    ):  # [U, Cin], [K, Cin, Cout]
        ctx.save_for_backward(features, kernel)
        ctx.pairs, ctx.identity = pairs, identity
        result = (
            features.new_zeros(outputs, kernel.shape[2]) if identity is None else features @ kernel[identity]
        )
        for k, (source, target) in enumerate(pairs):
            if k != identity and len(source):
                result.index_add_(0, target, features.index_select(0, source) @ kernel[k])
        return result

    @staticmethod
    def backward(ctx, gradient):  # [outputs, Cout]
        features, kernel = ctx.saved_tensors
        by_kernel = torch.zeros_like(kernel)
        by_feature = torch.zeros_like(features)
        if ctx.identity is not None:
            torch.mm(gradient, kernel[ctx.identity].T, out=by_feature)
            torch.mm(features.T, gradient, out=by_kernel[ctx.identity])
        for k, (source, target) in enumerate(ctx.pairs):
            if k != ctx.identity and len(source):
                arriving = gradient.index_select(0, target)
                torch.mm(features.index_select(0, source).T, arriving, out=by_kernel[k])
                by_feature.index_add_(0, source, arriving @ kernel[k].T)
        return by_feature, by_kernel, None, None, None


class _ByRows(torch.autograd.Function):
    """Stride 1. The map is its own mirror image, so the gradient of the input is the same product with
    the kernel's offsets reversed."""

    @staticmethod
    def forward(ctx, features, kernel, table, dtype):  # [U, Cin], [K, Cin, Cout], i4[U, K] -> [U, Cout]
        padded = _with_zero_row(features, dtype)
        ctx.save_for_backward(padded, kernel, table)
        ctx.dtype = dtype
        return _by_rows(padded, kernel.to(dtype), table).to(features.dtype)

    @staticmethod
    def backward(ctx, gradient):  # [U, Cout]
        padded, kernel, table = ctx.saved_tensors
        arriving = _with_zero_row(gradient, ctx.dtype)
        by_feature = None
        if ctx.needs_input_grad[0]:
            by_feature = _by_rows(arriving, kernel.to(ctx.dtype).flip(0).transpose(1, 2), table)
            by_feature = by_feature.to(gradient.dtype)
        volume, inputs, outputs = kernel.shape
        by_kernel = kernel.new_zeros(volume * inputs, outputs)
        for start in range(0, len(table), BLOCK):
            block = _neighbourhoods(padded, table[start : start + BLOCK])
            by_kernel += block.T @ arriving[start : start + len(block)]
        return by_feature, by_kernel.view_as(kernel), None, None


def _by_rows(padded: torch.Tensor, kernel: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """[U + 1, Cin], [K, Cin, Cout], i4[U, K] -> [U, Cout]"""
    matrix = kernel.reshape(-1, kernel.shape[2])
    result = padded.new_empty(len(table), kernel.shape[2])
    for start in range(0, len(table), BLOCK):
        block = _neighbourhoods(padded, table[start : start + BLOCK])
        torch.mm(block, matrix, out=result[start : start + len(block)])
    return result


def _neighbourhoods(padded: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """[U + 1, C], i4[n, K] -> [n, K C]"""
    return padded.index_select(0, table.reshape(-1)).view(len(table), -1)


def _with_zero_row(features: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[U, C] -> [U + 1, C]: the last row is what a missing neighbour contributes."""
    padded = features.new_zeros(len(features) + 1, features.shape[1], dtype=dtype)
    padded[:-1] = features
    return padded
