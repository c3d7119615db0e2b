"""The state of a training that is not finished, on disk: stopped at any moment, it goes on bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from anyscene.errors import TrainingError
from anyscene.learning.engine.curve import Row
from anyscene.learning.engine.history import checksum
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Objective
from anyscene.learning.views.data import Cloud

STATE, MODEL, OPTIMISER = "state.json", "model.safetensors", "optimiser.safetensors"
RANDOM = "torch random state"
CODE = (Path(__file__).parents[1], Path(__file__).parents[2] / "networks")  # changed, a training begins anew


class Checkpoints:
    """Checkpoints in `folder`, at most one every `seconds` (0: after every step), the last alone is kept.

    Each is a folder written beside and renamed: model.safetensors, optimiser.safetensors (with torch's random
    state) and state.json (the curve, what the objective has frozen; the sampler's state is the step). It is
    taken up only by a training of the same `fingerprint`. Several processes share the folder; the first
    writes."""

    def __init__(self, folder: Path, seconds: float):
        self.folder, self.seconds = Path(folder), seconds
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def resume(
        self,
        fingerprint: str,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        scenes: Collection[str],
        processes: Processes,
    ) -> list[Row]:
        """Load the last checkpoint into network, optimiser and objective (of `scenes`, this process's own).
        Returns the rows of the steps before it; none, and the folder is empty, where there is no checkpoint
        of this training. Raises TrainingError naming a file that is damaged."""
        state = self._last_state()
        if state is None or state["fingerprint"] != fingerprint:
            processes.wait()  # all have looked
            if processes.first:
                self.clear()
            processes.wait()
            return []
        folder = self._path(len(state["rows"]))
        try:
            if state["digest"] != {
                name: checksum((folder / name).read_bytes()) for name in (MODEL, OPTIMISER)
            }:
                raise ValueError("its bytes have changed since it was written")
            network.load_state_dict(safetensors.torch.load_file(folder / MODEL))
            saved = safetensors.torch.load_file(folder / OPTIMISER)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"{folder}: not readable as a checkpoint ({error}); remove {self.folder} to train from the "
                "start"
            ) from error
        torch.set_rng_state(saved.pop(RANDOM))
        _load_optimiser(optimiser, saved)
        objective.restore(state["objective"], scenes)
        return state["rows"]

    def save(
        self,
        fingerprint: str,
        rows: Sequence[Row],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        processes: Processes,
    ) -> None:
        """rows: of the curve, one for every step done."""
        step, frozen = len(rows), processes.gather(objective.freeze())
        if processes.first:
            partial = self.folder / f".{step}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
            safetensors.torch.save_file(weights, partial / MODEL)
            safetensors.torch.save_file(
                {**_optimiser_state(optimiser), RANDOM: torch.get_rng_state()}, partial / OPTIMISER
            )
            digest = {name: checksum((partial / name).read_bytes()) for name in (MODEL, OPTIMISER)}
            state = {"fingerprint": fingerprint, "rows": rows, "objective": frozen, "digest": digest}
            (partial / STATE).write_text(json.dumps(state))
            for file in partial.iterdir():
                with open(file, "rb") as written:
                    os.fsync(written.fileno())
            os.replace(partial, self._path(step))
            for old in self._steps()[:-1]:
                shutil.rmtree(self._path(old))
        processes.wait()
        objective.prune()
        self._last = time.monotonic()

    def clear(self) -> None:
        """Remove the folder: the network is saved, or another training begins."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _last_state(self) -> dict[str, Any] | None:
        steps = self._steps()
        if not steps:
            return None
        path = self._path(steps[-1]) / STATE
        try:
            state = json.loads(path.read_text())
            return {key: state[key] for key in ("fingerprint", "rows", "objective", "digest")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{path}: not readable ({error}); remove {self.folder} to train from the start"
            ) from error

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-[0-9]*"))


def fingerprint(network: nn.Module, clouds: Sequence[Cloud], objective: Objective, recipe: Any) -> str:
    """A hash of all that decides how a training ends: weights, scenes, objective, recipe, and the code."""
    digest = hashlib.blake2b(torch.__version__.encode(), digest_size=16)
    for file in sorted(file for folder in CODE for file in folder.rglob("*.py")):
        digest.update(file.read_bytes())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for cloud in clouds:
        digest.update(cloud.id.encode())
        for array in (cloud.xyz, cloud.rgb, cloud.superpoint):
            digest.update(array)
    digest.update(json.dumps(objective.identity, sort_keys=True).encode())
    digest.update(repr((network.settings, network.backend, network.precision, recipe)).encode())
    return digest.hexdigest()


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments and step counts as named tensors, by the place of their parameter."""
    return {
        f"{place}.{name}": value.contiguous().cpu()
        for place, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def _load_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in saved.items():
        place, name = key.split(".")
        state.setdefault(int(place), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
