"""What the stages that train have in common: the weights they may start from, and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anyscene import networks
from anyscene.errors import ConfigError
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.curve import Curve
from anyscene.learning.engine.loop import Recipe, train
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Objective
from anyscene.learning.views.data import Cloud
from anyscene.networks.checkpoint import DESCRIPTION, description


def start_from(student: networks.MinkUNet, weights: Path, recipe: Recipe) -> None:
    """Load `weights`, of distillation.initial. Raises CheckpointError where they or the network.json
    beside them are damaged or of another network, ConfigError where they are missing or of another input."""
    if not weights.is_file():
        raise ConfigError(
            f"distillation.initial: {weights} is not there; give a file of weights, or null to start from "
            "random ones"
        )
    networks.load_weights(student, weights)
    known = description(weights.parent) if weights.with_name(DESCRIPTION).is_file() else {}
    for key, wanted in _input(recipe).items():
        if known.get(key, wanted) != wanted:
            raise ConfigError(
                f"distillation.initial: {weights} was trained with network.{key} {known[key]}, not "
                f"{wanted}; change that, or distillation.initial to null"
            )


def fit(
    student: networks.MinkUNet,
    clouds: Sequence[Cloud],
    objective: Objective,
    recipe: Recipe,
    *,
    label: str,
    name: str,
    output: Path,
    checkpoints: Checkpoints,
    processes: Processes,
) -> None:
    """Train `student` and write it to `output` with its curve; then the checkpoints go. label: in the
    progress; name: of the objective, in network.json. Raises what `train` raises."""
    curve = Curve(output) if processes.first else None
    train(
        student,
        clouds,
        objective,
        recipe,
        label=label,
        processes=processes,
        checkpoints=checkpoints,
        curve=curve,
    )
    if processes.first:
        networks.save(student, output, {"objective": name, "seed": recipe.seed, **_input(recipe)})
        checkpoints.clear()


def _input(recipe: Recipe) -> dict[str, str | float]:
    """As the section network of params.yaml says it."""
    return {"input": "colour" if recipe.colour else "geometry", "voxel": recipe.voxel}
