"""The state of an unfinished training on disk. A training that was stopped continues from it bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from anyscene.errors import TrainingError
from anyscene.learning.engine.average import Average
from anyscene.learning.engine.curve import Row
from anyscene.learning.engine.history import checksum
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Objective
from anyscene.networks import MinkUNet
from anyscene.project import outputs
from anyscene.project.parameters import Recipe

STATE, RANDOM = "state.json", "torch random state"


@dataclass(frozen=True, eq=False)
class State:
    """What changes from step to step of a training."""

    network: MinkUNet
    objective: Objective
    optimiser: torch.optim.Optimizer
    average: Average | None = None

    def files(self) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors of each file of a checkpoint, by the file's name."""
        return {
            "model.safetensors": self.network.state_dict(),
            "objective.safetensors": self.objective.state_dict(),
            "optimiser.safetensors": {**_optimiser_state(self.optimiser), RANDOM: torch.get_rng_state()},
            "average.safetensors": {} if self.average is None else self.average.state,
        }

    def load(self, files: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Continue from what `files` returned."""
        self.network.load_state_dict(files["model.safetensors"])
        self.objective.load_state_dict(files["objective.safetensors"])
        optimiser = dict(files["optimiser.safetensors"])
        torch.set_rng_state(optimiser.pop(RANDOM))
        _load_optimiser(self.optimiser, optimiser)
        if self.average is not None:
            self.average.load(files["average.safetensors"])


class Checkpoints:
    """Checkpoints in `folder`: at most one every `seconds` (0: one after every step). Only the last is kept.

    Each is a folder, which is written under another name and then renamed. It holds the tensors of network,
    objective, optimiser and average, and state.json: the curve, whose length is the step and so the state of
    the sampler, and what the objective has frozen. Only the same training continues from it. Several
    processes share the folder, and the first one writes."""

    def __init__(
        self,
        folder: Path,
        seconds: float,
        *,
        by: str = torch.__version__,
        given: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """by: stands for the code and packages that train. given: for the files that it reads and settings of
        others. data: the content keys of what it reads, by scene. A training where one of these differs does
        not continue from these checkpoints."""
        self.folder, self.seconds = Path(folder), seconds
        self.by, self.given, self.data = by, given, data or {}
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is `seconds` old."""
        return time.monotonic() - self._last >= self.seconds

    def fingerprint(self, network: MinkUNet, objective: Objective, recipe: Recipe) -> str:
        """A hash of everything that decides how a training ends, beside the code: files, data, weights,
        objective, recipe."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (network, objective):
            for name, tensor in part.state_dict().items():
                digest.update(name.encode())
                digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
        how = objective.context
        keys = {field.name: getattr(recipe, field.name) for field in fields(Recipe)}  # without titles
        plain = (network.settings, network.backend, network.precision, how.voxel, how.inputs)
        digest.update(repr((*plain, how.augmentation)).encode())
        said = {"given": self.given, "data": self.data, "objective": objective.identity, "recipe": keys}
        digest.update(json.dumps(said, sort_keys=True).encode())
        return digest.hexdigest()

    def resume(
        self, fingerprint: str, state: State, scenes: Collection[str], processes: Processes
    ) -> list[Row]:
        """Load the last checkpoint into `state`, and return the rows of the curve up to it.

        scenes: those that this process sees, for which the objective restores what it has frozen. Where there
        is no checkpoint of this training, the result is empty and the folder is removed. Raises TrainingError
        naming a file that is damaged."""
        last = self._last_state()
        if last is None or (last["fingerprint"], last["by"]) != (fingerprint, self.by):
            processes.wait()  # all have looked
            if processes.first:
                self.clear()
            processes.wait()
            return []
        folder = self._path(len(last["rows"]))
        try:
            contents = {name: (folder / name).read_bytes() for name in last["digest"]}
            if last["digest"] != {name: checksum(content) for name, content in contents.items()}:
                raise ValueError("its bytes have changed since it was written")
            state.load({name: safetensors.torch.load(content) for name, content in contents.items()})
        except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{folder}: not readable as a checkpoint ({error}); remove {self.folder} to train from the "
                "start"
            ) from error
        state.objective.restore(last["objective"], scenes)
        rows: list[Row] = last["rows"]
        return rows

    def save(self, fingerprint: str, rows: Sequence[Row], state: State, processes: Processes) -> None:
        """Write a checkpoint. rows: those of the curve, one for every step that was done."""
        step, frozen = len(rows), processes.gather(state.objective.freeze())
        if processes.first:
            with outputs.replaced(self._path(step)) as partial:
                partial.mkdir()
                digest = {}
                for name, tensors in state.files().items():
                    content = safetensors.torch.save({key: _plain(value) for key, value in tensors.items()})
                    (partial / name).write_bytes(content)
                    digest[name] = checksum(content)
                said = {"fingerprint": fingerprint, "by": self.by, "rows": rows, "objective": frozen}
                (partial / STATE).write_text(json.dumps(said | {"digest": digest}), encoding="utf-8")
                for file in partial.iterdir():
                    with open(file, "rb") as written:
                        os.fsync(written.fileno())
            for old in self._steps()[:-1]:
                shutil.rmtree(self._path(old))
        processes.wait()
        state.objective.prune()
        self._last = time.monotonic()

    def older(self, fingerprint: str) -> list[Row] | None:
        """The rows of the curve up to the last checkpoint, where this training saved it with other code; else
        None. Raises TrainingError as `resume`."""
        last = self._last_state()
        if last is None or last["fingerprint"] != fingerprint or last["by"] == self.by:
            return None
        rows: list[Row] = last["rows"]
        return rows

    def adopt(self) -> None:
        """Note in the last checkpoint that the code of this training could have made it."""
        path = self._path(self._steps()[-1]) / STATE
        said = json.loads(path.read_text(encoding="utf-8"))
        taken = [*said.get("adopted", []), {"from": said["by"]}]
        outputs.write(path, json.dumps(said | {"by": self.by, "adopted": taken}))

    def clear(self) -> None:
        """Remove the folder, once the network is saved or where another training begins."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _last_state(self) -> dict[str, Any] | None:
        steps = self._steps()
        if not steps:
            return None
        path = self._path(steps[-1]) / STATE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            kept = {key: state[key] for key in ("fingerprint", "rows", "objective", "digest")}
            return kept | {"by": state.get("by")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{path}: not readable ({error}); remove {self.folder} to train from the start"
            ) from error

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-[0-9]*"))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous()


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments and step counts as named tensors; a name begins with the place of the parameter."""
    return {
        f"{place}.{name}": value
        for place, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def _load_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in saved.items():
        place, name = key.split(".")
        state.setdefault(int(place), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
