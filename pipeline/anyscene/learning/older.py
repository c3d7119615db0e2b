"""What older code trained, and whether today's code begins in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from anyscene.errors import CheckpointError, TrainingError
from anyscene.learning.engine import curve
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.curve import Row
from anyscene.networks.checkpoint import check_weights, describe, description


def is_trained(folder: Path, made: Mapping[str, str], label: str) -> bool:
    """Whether weights and curve in `folder` are whole, and were made by what `made` says. What is not whole
    is said, because then hours of training are done again.

    label: what the message calls the training."""
    try:
        meta = description(folder, whole=False)  # what else it says is written again
        if meta.get("made") != made:
            return False
        check_weights(folder, meta)
        known = meta.get("curve")  # networks of before have none
        if not (folder / curve.FOLDER).is_dir() or known not in (None, curve.digest(folder)):
            raise CheckpointError(f"{folder / curve.FOLDER}: not the curve that was written")
    except (CheckpointError, OSError) as error:
        if folder.is_dir() and any(folder.iterdir()):
            said = f"{label}: {error}; it begins again"
            Console(stderr=True, soft_wrap=True).print(said, highlight=False, markup=False)
        return False
    return True


def _whole(folder: Path) -> dict[str, Any] | None:
    """The network.json in `folder`; None where it or the weights beside it are missing or damaged, or there
    is no curve."""
    try:
        meta = description(folder)
        check_weights(folder, meta)
    except CheckpointError:
        return None
    return meta if (folder / curve.FOLDER).is_dir() else None


@dataclass(frozen=True, eq=False)
class Older:
    """A trained network, or the checkpoint of an unfinished training, that only other code or packages tell
    from what would be trained now."""

    folder: Path  # of the network
    checkpoints: Checkpoints
    made: Mapping[str, str]  # given, by: what the training is made by now
    label: str  # what messages call the training

    def steps(self, check: int) -> int:
        """How many steps to compare: `check`, or all that there are. Raises TrainingError where there is
        nothing to adopt."""
        there = [len(rows) for rows in self._curves(("loss",)).values()]
        if not there:
            raise TrainingError(
                f"{self.label}: nothing to adopt: there is no network, today's code has made it, or its "
                "parameters or data changed too; run the stage (`dvc repro`)"
            )
        return min(check, max(there))

    def adopt(self, rows: Sequence[Row], weights: str | None) -> None:
        """Take over what there is, if its curve begins with `rows` bit for bit.

        weights: the sha256 of the weights, where `rows` are all steps; then these have to be the same, too.
        Raises TrainingError naming the first figure that differs; then nothing is adopted."""
        known = self._curves([name for name in rows[0] if name != "step"])
        for where, old in known.items():
            for step, (new, before) in enumerate(zip(rows, old, strict=False)):
                for name in before.keys() - {"step"}:
                    if new.get(name) != before[name]:
                        now = f"now {new.get(name)!r}"
                        self._refuse(f"{where}: step {step} has {name} {before[name]!r}, {now}")
        finished = self.folder in known
        meta = description(self.folder) if finished else {}
        if finished and weights not in (None, meta["sha256"]):
            self._refuse(f"{self.folder}: the curve is the same, and the weights are others")
        compared = len(rows)
        if finished:
            taken = [*meta.get("adopted", []), {"from": meta["made"]["by"], "compared": compared}]
            describe(self.folder, {"made": self.made, "adopted": taken})
        if self.checkpoints.folder in known:
            self.checkpoints.adopt()
        what = " and ".join(
            name
            for name, there in (("network", finished), ("checkpoint", self.checkpoints.folder in known))
            if there
        )
        said = f"{self.label}: {compared} steps compared, {what} adopted"
        Console(stderr=True).print(said, highlight=False)

    def _refuse(self, difference: str) -> None:
        raise TrainingError(
            f"{difference}; nothing was adopted. Train again, or compare on the device and with the number "
            "of threads and processes that it was trained with"
        )

    def _curves(self, names: Sequence[str]) -> dict[Path, list[Row]]:
        """The curve of what older code made, by its folder: that of the network, that of checkpoints."""
        found = {}
        meta = _whole(self.folder)
        made = {} if meta is None else meta.get("made")
        if isinstance(made, dict) and made.get("given") == self.made["given"]:
            if made.get("by") != self.made["by"]:
                found[self.folder] = curve.rows(self.folder, names)
        unfinished = self.checkpoints.older(self.made["given"])
        if unfinished is not None:
            found[self.checkpoints.folder] = unfinished
        return found
