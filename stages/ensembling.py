"""models/distillation/superpoint -> models/ensembling: the network refined by its own slow average."""

from pathlib import Path

import torch

from pipeline import config, datasets, network, training
from pipeline.text import embeddings, load_text_encoder
from pipeline.training.objectives.ensembling import Ensembling
from stages import command

SCENES, SUPERPOINTS = Path("data/scenes"), Path("data/superpoints")
STUDENT, OUTPUT = Path("models/distillation/superpoint"), Path("models/ensembling")


def main(params: Path = Path("params.yaml")) -> None:
    """Self-distil the network on the training scenes, over the prompts of the label set."""
    settings = config.load(params)
    ensembling = settings.ensembling
    clouds = training.read_training_clouds(SCENES, SUPERPOINTS)
    student, meta = network.load(STUDENT)
    device = training.device(settings.runtime.device)
    student.to(device)
    prompts = datasets.label_set(settings.dataset.label_set).prompts
    text = embeddings(load_text_encoder(settings.text), prompts, settings.text.template)
    colour = meta["input"] == "colour"
    objective = Ensembling(
        student,
        torch.from_numpy(text).to(device),
        ensembling.momentum,
        ensembling.temperature,
        meta["voxel"],
        colour,
    )
    with training.a_core_for_preparing():  # the histories' bits depend on the number of threads
        objective.begin(clouds)
    recipe = training.Recipe(
        training.Schedule(ensembling.steps, ensembling.learning_rate, ensembling.final_learning_rate),
        batch=ensembling.batch,
        voxel=meta["voxel"],
        colour=colour,
        seed=ensembling.seed,
        augmentation=settings.augmentation,
    )
    curve = training.train(student, clouds, objective, recipe, label="ensembling")
    meta = {
        "objective": "ensembling",
        "input": meta["input"],
        "voxel": meta["voxel"],
        "seed": ensembling.seed,
    }
    network.save(student, OUTPUT, meta)
    training.write_curve(curve, OUTPUT)


app = command(main)

if __name__ == "__main__":
    app()
