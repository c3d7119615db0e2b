"""What an annotated scan says about its vertices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Truth:
    """Annotation of a scene's vertices: rows of the label set and instance ids, -1 = none."""

    label: np.ndarray  # i2[N]
    instance: np.ndarray  # i4[N]
    file: Path  # that the labels come from, for messages
