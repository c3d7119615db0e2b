"""The annotation of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyscene.arrays import I2, I4


@dataclass(frozen=True)
class Truth:
    """The annotation of the N vertices of a scene."""

    label: I2  # i2[N], rows of the label set, -1 = none
    instance: I4  # i4[N], ids of instances, -1 = none
    file: Path  # the file with the labels, for messages
