"""Fused features -> models/distillation/OBJECTIVE: a network that predicts them from 3D alone."""

from pathlib import Path

import torch

from anyscene import learning, networks
from anyscene.cli.command import command
from anyscene.errors import ConfigError
from anyscene.learning.objectives.distillation import OBJECTIVES
from anyscene.project import parameters, store

SCENES, SUPERPOINTS, FUSION = Path("data/scenes"), Path("data/superpoints"), Path("data/fusion")
OUTPUT, CHECKPOINTS = Path("models/distillation"), Path(".cache/training/distillation")


def main(objective: str, params: Path = Path("params.yaml")) -> None:
    """Train the 3D network on the training scenes: OBJECTIVE superpoint, or the baseline pixel."""
    if objective not in OBJECTIVES:
        raise ConfigError(f"no objective {objective!r}; there are {', '.join(OBJECTIVES)}")
    settings = parameters.load(params)
    distillation, net = settings.distillation, settings.network
    clouds = learning.read_training_clouds(SCENES, SUPERPOINTS)
    width = store.open_scene(store.scene_path(FUSION, clouds[0].id))["superpoint_feature"].shape[1]
    recipe = learning.Recipe.of(
        distillation, voxel=net.voxel, colour=net.input == "colour", augmentation=settings.augmentation
    )
    with learning.joined(settings.runtime.device, settings.runtime.device_memory_gib) as processes:
        torch.manual_seed(distillation.seed)
        student = networks.MinkUNet(
            net.variant, 3, width, net.backend, width=net.width, precision=net.precision
        ).to(processes.device)
        teacher = OBJECTIVES[objective](FUSION, distillation.points_per_scene)
        if distillation.initial is None:
            teacher.align(student.final, [cloud.id for cloud in clouds])
        else:
            learning.start_from(student, Path(distillation.initial), recipe)
        learning.fit(
            student,
            clouds,
            teacher,
            recipe,
            label=f"distillation {objective}",
            name=objective,
            output=OUTPUT / objective,
            checkpoints=learning.Checkpoints(CHECKPOINTS / objective, settings.runtime.checkpoint_seconds),
            processes=processes,
        )


app = command(main)

if __name__ == "__main__":
    app()
