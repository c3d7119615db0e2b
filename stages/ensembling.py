"""models/distillation/superpoint -> models/ensembling: the network refined by its own slow average."""

from pathlib import Path

import torch

from anyscene import datasets, learning, networks
from anyscene.cli.command import command
from anyscene.learning.objectives.ensembling import objective_of
from anyscene.project import parameters
from anyscene.text import embeddings, load_text_encoder

SCENES, SUPERPOINTS, FUSION = Path("data/scenes"), Path("data/superpoints"), Path("data/fusion")
STUDENT, OUTPUT = Path("models/distillation/superpoint"), Path("models/ensembling")
CHECKPOINTS = Path(".cache/training/ensembling")


def main(params: Path = Path("params.yaml")) -> None:
    """Self-distil the network on the training scenes, over the prompts of the label set."""
    settings = parameters.load(params)
    clouds = learning.read_training_clouds(SCENES, SUPERPOINTS)
    student, meta = networks.load(STUDENT)
    prompts = datasets.label_set(settings.dataset.label_set).prompts
    text = embeddings(load_text_encoder(settings.text), prompts, settings.text.template)
    recipe = learning.Recipe.of(
        settings.ensembling,
        voxel=meta["voxel"],
        colour=meta["input"] == "colour",
        augmentation=settings.augmentation,
    )
    with learning.joined(settings.runtime.device, settings.runtime.device_memory_gib) as processes:
        student.to(processes.device)
        objective = objective_of(
            settings.ensembling,
            torch.from_numpy(text).to(processes.device),
            voxel=recipe.voxel,
            colour=recipe.colour,
            history=CHECKPOINTS / "history",
            fusion=FUSION,
            points_per_scene=settings.distillation.points_per_scene,
        )
        learning.fit(
            student,
            clouds,
            objective,
            recipe,
            label="ensembling",
            name="ensembling",
            output=OUTPUT,
            checkpoints=learning.Checkpoints(CHECKPOINTS, settings.runtime.checkpoint_seconds),
            processes=processes,
        )


app = command(main)

if __name__ == "__main__":
    app()
