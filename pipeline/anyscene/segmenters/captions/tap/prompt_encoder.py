"""TAP's prompt encoder: points of an image to vectors. Modules have the names of the published files."""

from __future__ import annotations

import torch
from torch import nn

BACKGROUND, FOREGROUND, UPPER_LEFT, LOWER_RIGHT, PADDING = range(5)  # kinds of points
PI = 3.1415926  # to as many digits as where the networks were trained


class PromptEncoder(nn.Module):
    """A vector for each point: random Fourier features of where it is, and its kind."""

    def __init__(self, width: int, image: int) -> None:
        """image: the side of an image, in pixels."""
        super().__init__()
        self.image = image
        self.point_embed = nn.Embedding(5, width)
        self.coord_matrix: torch.Tensor
        self.register_buffer("coord_matrix", torch.empty(2, width // 2))

    def forward(self, place: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """f4[N, P, D] of points at place f4[N, P, 2] (column, row: whole numbers are centres of pixels) and
        of kind i8[N, P]. Where a point that only fills up lies does not matter."""
        inside = ((place + 0.5) / self.image).clamp(0, 1)
        where = self.fourier(inside) * (kind != PADDING)[..., None]
        found: torch.Tensor = where + self.point_embed(kind)
        return found

    def grid(self, height: int, width: int) -> torch.Tensor:
        """f4[height * width, D]: the vectors of the cells of a map that covers an image, row by row."""
        device = self.coord_matrix.device
        row, column = ((torch.arange(n, device=device) + 0.5) / n for n in (height, width))
        return self.fourier(torch.cartesian_prod(row, column).flip(1))

    def fourier(self, place: torch.Tensor) -> torch.Tensor:
        """f4[..., D] of places f4[..., 2] in 0..1."""
        angle = (place * (4 * PI) - 2 * PI) @ self.coord_matrix
        return torch.cat([angle.sin(), angle.cos()], -1)
