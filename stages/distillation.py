"""Fused features -> models/distillation/OBJECTIVE: a network that predicts them from 3D alone."""

from pathlib import Path

import torch

from pipeline import config, network, store, training
from pipeline.errors import ConfigError
from pipeline.training.objectives.distillation import OBJECTIVES
from stages import command

SCENES, SUPERPOINTS, FUSION = Path("data/scenes"), Path("data/superpoints"), Path("data/fusion")
OUTPUT = Path("models/distillation")


def main(objective: str, params: Path = Path("params.yaml")) -> None:
    """Train the 3D network on the training scenes: OBJECTIVE superpoint, or the baseline pixel."""
    if objective not in OBJECTIVES:
        raise ConfigError(f"no objective {objective!r}; there are {', '.join(OBJECTIVES)}")
    settings = config.load(params)
    distillation, net = settings.distillation, settings.network
    clouds = training.read_training_clouds(SCENES, SUPERPOINTS)
    width = store.open_scene(store.scene_path(FUSION, clouds[0].id))["superpoint_feature"].shape[1]
    torch.manual_seed(distillation.seed)
    student = network.MinkUNet(
        net.variant, 3, width, net.backend, width=net.width, precision=net.precision
    ).to(training.device(settings.runtime.device))
    teacher = OBJECTIVES[objective](FUSION, distillation.points_per_step)
    if distillation.initial is None:
        teacher.begin(student.final, [cloud.id for cloud in clouds])
    else:
        network.load_weights(student, Path(distillation.initial))
    recipe = training.Recipe(
        training.Schedule(
            distillation.steps,
            distillation.learning_rate,
            distillation.final_learning_rate,
            distillation.warmup,
            distillation.schedule,
        ),
        batch=distillation.batch,
        voxel=net.voxel,
        colour=net.input == "colour",
        seed=distillation.seed,
        augmentation=settings.augmentation,
    )
    curve = training.train(student, clouds, teacher, recipe, label=f"distillation {objective}")
    meta = {"objective": objective, "input": net.input, "voxel": net.voxel, "seed": distillation.seed}
    network.save(student, OUTPUT / objective, meta)
    training.write_curve(curve, OUTPUT / objective)


app = command(main)

if __name__ == "__main__":
    app()
