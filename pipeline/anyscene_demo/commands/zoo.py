"""Train the demo's small models (models/demo) on renderings of furniture that no evaluated room holds."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from rich.console import Console

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.project import layout, parameters
from anyscene.project.digests import content_hash
from anyscene.text import load_text_encoder
from anyscene.weights import reading
from anyscene_demo import world
from anyscene_demo.zoo import diffusion, sam, segmenters, student

ROOMS, VIEWS, SIZE = 120, 25, (160, 120)
OBJECTS = 9_000
SEED = 0


class Trained(StrEnum):
    """What the zoo trains."""

    dense = "dense"
    mask = "mask"
    diffusion = "diffusion"
    sam = "sam"
    student = "student"  # needs the others


def main(
    models: list[Trained] | None = typer.Argument(None, help="all, unless some are named"),
    cache: Path = layout.ZOO,
    output: Path = layout.DEMO_MODELS,
    params: Path = layout.PARAMETERS,
) -> None:
    """Render the training images into CACHE (once), then train MODELS one after the other into OUTPUT.

    Several hours on one core. The same seeds and one thread give the same weights on one machine.
    """
    torch.set_num_threads(1)
    settings = parameters.load(params)
    train = {
        Trained.dense: lambda folder: _segmenter(segmenters.train_dense, cache, folder, settings),
        Trained.mask: lambda folder: _segmenter(segmenters.train_mask, cache, folder, settings),
        Trained.diffusion: lambda folder: _diffusion(cache, folder, settings),
        Trained.sam: lambda folder: _sam(cache, folder),
        Trained.student: lambda folder: _student(cache / "student", folder, params),
    }
    models = models or list(Trained)
    if set(models) - {Trained.student}:
        _render(cache)
    for model in models:
        Console(stderr=True).rule(model)
        train[model](output / model)
        for file in sorted((output / model).rglob("*.safetensors")):
            reading.note(output, file.relative_to(output).as_posix(), content_hash(file))


def _render(cache: Path) -> None:
    """Render rooms and objects of zoo furniture, unless `cache` holds them."""
    done = cache / "rendered.json"
    wanted = {"rooms": ROOMS, "views": VIEWS, "size": list(SIZE), "objects": OBJECTS, "seed": SEED}
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == wanted:
        return
    world.render_objects(SEED, "zoo", OBJECTS, cache, "objects")
    world.render_rooms(SEED, "zoo", ROOMS, VIEWS, SIZE, cache, "rooms")
    done.write_text(json.dumps(wanted), encoding="utf-8")


def _segmenter(train: Callable[..., None], cache: Path, folder: Path, settings: parameters.Params) -> None:
    train(cache, folder, label_set=datasets.label_set(settings.dataset.label_set), seed=SEED)


def _diffusion(cache: Path, folder: Path, settings: parameters.Params) -> None:
    recipe, log = diffusion.DiffusionRecipe(seed=SEED), _Log("diffusion")
    encoder = load_text_encoder(settings.text)
    rgb, mask, label = (np.load(cache / f"objects_{part}.npy") for part in ("rgb", "mask", "class"))
    views = slice(recipe.images)
    crops = diffusion.portraits(rgb[views], mask[views], recipe)
    autoencoder = diffusion.fit_autoencoder(crops, recipe)
    denoiser = diffusion.train_denoiser(
        diffusion.encode(autoencoder, crops),
        label[views].astype(np.int64),
        *diffusion.caption_states(encoder, world.OBJECT_CLASSES),
        recipe,
        log,
    )
    diffusion.save(folder, autoencoder, denoiser, encoder)
    log.write(folder, asdict(recipe))


def _sam(cache: Path, folder: Path) -> None:
    recipe, log = sam.SamRecipe(seed=SEED), _Log("sam")
    size = recipe.architecture.image_size
    rgb, mask = (np.load(cache / f"objects_{part}.npy", mmap_mode="r") for part in ("rgb", "mask"))
    rooms = [np.load(cache / f"rooms_{part}.npy", mmap_mode="r") for part in ("rgb", "label", "instance")]
    frame, label, instance = (array.reshape(-1, *array.shape[2:]) for array in rooms)
    examples = sam.join(
        sam.object_examples(rgb, mask, recipe.objects, size, SEED),
        sam.room_examples(frame, label, instance, recipe.in_rooms, size, SEED),
    )
    sam.save(folder, sam.train(examples, recipe, log), recipe)
    log.write(folder, asdict(recipe))


def _student(cache: Path, folder: Path, params: Path) -> None:
    recipe, log = student.recipe(parameters.read(params)), _Log("student")
    for step, loss in enumerate(student.train(recipe, Path.cwd(), cache)):
        log(step, loss)
    student.publish(cache / student.TRAINED, folder)
    log.write(folder, {part: recipe[part] for part in ("world", "network", "augmentation", "training")})


class _Log:
    """Collects the loss of every step, and prints and keeps the mean of every hundred."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._recent: list[float] = []
        self._rows: list[tuple[int, str]] = []

    def __call__(self, step: int, loss: float) -> None:
        self._recent.append(loss)
        if len(self._recent) == 100:
            self._rows.append((step + 1, f"{np.mean(self._recent):.5f}"))
            self._recent = []
            Console(stderr=True).print(f"{self._model}: step {step + 1}, loss {self._rows[-1][1]}")

    def write(self, folder: Path, recipe: dict[str, Any]) -> None:
        (folder / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
        with open(folder / "log.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("step", "loss"), *self._rows])


app = command(main)

if __name__ == "__main__":
    app()
