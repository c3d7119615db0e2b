"""python -m benchmarks.speed.colours [LABEL_SET]: classes whose colours look alike to some eyes."""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
from rich.console import Console
from skimage.color import deltaE_ciede2000, rgb2lab

from anyscene.datasets import LabelSet, label_set

CLOSE = 10.0  # CIEDE2000: closer colours differ side by side, but hardly as patches of two pictures
# For linear RGB, and for eyes that lack one kind of cone: Machado, Oliveira, Fernandes 2009, severity 1.0
MATRICES = {
    "full colour vision": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def seen(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """u1[..., 3]: what colours u1[..., 3] look like to eyes with this matrix [3, 3]."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) @ matrix.T
    linear = np.clip(linear, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * value).astype(np.uint8)


def close(labels: LabelSet, matrix: np.ndarray) -> list[tuple[float, str, str]]:
    """(CIEDE2000, class, class) of the pairs that look alike, the closest first."""
    lab = rgb2lab(seen(labels.colours, matrix)[None])[0]
    pairs = ((float(deltaE_ciede2000(lab[a], lab[b])), a, b) for a, b in combinations(range(len(labels)), 2))
    return [(apart, labels.names[a], labels.names[b]) for apart, a, b in sorted(pairs) if apart < CLOSE]


def main(name: str = "scannet20") -> None:
    labels, console = label_set(name), Console(soft_wrap=True, highlight=False)
    for eyes, matrix in MATRICES.items():
        pairs = "; ".join(f"{a} and {b} {apart:.0f}" for apart, a, b in close(labels, matrix))
        console.print(f"{eyes}: {pairs or 'none'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
