"""Vocabulary -> data/synthesis: for each class images, attention to its name, coarse and pseudo masks."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr

from anyscene.capability import pseudo_masks, synthesis
from anyscene.cli.command import command
from anyscene.project import parameters, per_scene, store
from anyscene.project.device import choose_device

OUTPUT = Path("data/synthesis")
VERSION = 1


@dataclass(frozen=True)
class Synthesise:
    settings: parameters.Synthesis
    device: torch.device

    def __call__(self, scene: str, group: zarr.Group) -> None:
        settings = self.settings
        generator, sam = _models(settings, self.device)
        seeds = range(settings.seed, settings.seed + settings.images)
        image, attention = generator.generate(scene.replace("_", " "), seeds)
        coarse = pseudo_masks.coarse_mask(attention, settings.attention_threshold)
        mask = [sam.mask(i, pseudo_masks.select_points(c)) for i, c in zip(image, coarse, strict=True)]
        store.write(group, "image", image)
        store.write(group, "attention", attention.astype(np.float16))
        store.write(group, "coarse", coarse)
        store.write(group, "mask", np.stack(mask))


@functools.cache
def _models(
    settings: parameters.Synthesis, device: torch.device
) -> tuple[synthesis.Synthesiser, pseudo_masks.PointPrompted]:
    """Loaded once in each process."""
    return (
        synthesis.load(settings, device),
        pseudo_masks.load_sam(settings.sam, device),
    )


def main(params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Synthesise images of every class of the vocabulary, with pseudo masks."""
    settings = parameters.load(params)
    device = choose_device(settings.runtime.device, settings.runtime.device_memory_gib)
    weights = [synthesis.weights_key(path) for path in (settings.synthesis.diffusion, settings.synthesis.sam)]
    _models(settings.synthesis, device)  # broken weights are one error here, not one for every class
    return per_scene.run(
        Synthesise(settings.synthesis, device),
        {name.replace(" ", "_"): per_scene.content_key(*weights) for name in settings.vocabulary},
        OUTPUT,
        parameters=parameters.plain(settings.synthesis),
        version=VERSION,
        workers=settings.runtime.workers if device.type == "cpu" else 1,
        label="synthesis",
    )


app = command(main)

if __name__ == "__main__":
    app()
