"""models/distillation/superpoint -> models/ensembling: the network refined by its own slow average."""

from pathlib import Path

import torch

from pipeline import config, datasets, network, training
from pipeline.text import embeddings, load_text_encoder
from pipeline.training.objectives.ensembling import objective_of
from stages import command

SCENES, SUPERPOINTS, FUSION = Path("data/scenes"), Path("data/superpoints"), Path("data/fusion")
STUDENT, OUTPUT = Path("models/distillation/superpoint"), Path("models/ensembling")
CHECKPOINTS = Path(".cache/training/ensembling")


def main(params: Path = Path("params.yaml")) -> None:
    """Self-distil the network on the training scenes, over the prompts of the label set."""
    settings = config.load(params)
    clouds = training.read_training_clouds(SCENES, SUPERPOINTS)
    student, meta = network.load(STUDENT)
    prompts = datasets.label_set(settings.dataset.label_set).prompts
    text = embeddings(load_text_encoder(settings.text), prompts, settings.text.template)
    recipe = training.Recipe.of(
        settings.ensembling,
        voxel=meta["voxel"],
        colour=meta["input"] == "colour",
        augmentation=settings.augmentation,
    )
    with training.joined(settings.runtime.device, settings.runtime.device_memory_gib) as processes:
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
        training.fit(
            student,
            clouds,
            objective,
            recipe,
            label="ensembling",
            name="ensembling",
            output=OUTPUT,
            checkpoints=training.Checkpoints(CHECKPOINTS, settings.runtime.checkpoint_seconds),
            processes=processes,
        )


app = command(main)

if __name__ == "__main__":
    app()
