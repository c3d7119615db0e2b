"""Training losses of all networks, as reports/plots/losses.csv and the report show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8
from anyscene.errors import TrainingError
from anyscene.learning.engine import curve
from anyscene.networks.trained import Description


@dataclass(frozen=True, eq=False)
class Loss:
    """How the loss of one network changed in training."""

    network: Description
    step: F8  # f8[n]
    loss: F8  # f8[n], finite


def losses(networks: Iterable[Description], problems: list[str]) -> list[Loss]:
    """The losses of every network that has a curve. Where one cannot be read, the reason is appended to
    `problems`."""
    found = []
    for network in networks:
        try:
            if (network.folder / curve.FOLDER).is_dir():
                found.append(_loss(network))
        except TrainingError as error:
            problems.append(str(error))
    return found


def _loss(network: Description) -> Loss:
    folder = network.folder / curve.FOLDER
    try:
        step, loss = curve.read(network.folder)
    except IndexError as error:
        raise TrainingError(f"{folder}: not a step in it; train again") from error
    finite = np.isfinite(loss)
    if not finite.any():
        raise TrainingError(f"{folder}: no loss in it is finite; train again")
    return Loss(network, step[finite], loss[finite])
