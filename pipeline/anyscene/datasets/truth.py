"""What an annotated scan says about its vertices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyscene.arrays import I2, I4


@dataclass(frozen=True)
class Truth:
    """Annotation of a scene's vertices: rows of the label set and instance ids, -1 = none."""

    label: I2  # i2[N]
    instance: I4  # i4[N]
    file: Path  # that the labels come from, for messages
