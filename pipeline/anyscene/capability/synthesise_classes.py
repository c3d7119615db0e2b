"""Vocabulary -> data/synthesis: images of each class, attention to its name, coarse and pseudo masks."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import zarr

from anyscene.capability import pseudo_masks, synthesis
from anyscene.capability.class_ids import class_id, spoken
from anyscene.project import layout, per_scene, store
from anyscene.project.device import choose_device
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, Synthesis, plain


@dataclass(frozen=True)
class Synthesise:
    """Writes the images of a class, the attention to its name, coarse and pseudo masks."""

    settings: Synthesis
    device: torch.device

    def __call__(self, scene: str, group: zarr.Group) -> None:
        settings = self.settings
        generator, sam = models(settings, self.device)
        seeds = range(settings.seed, settings.seed + settings.images)
        image, attention = generator.generate(spoken(scene), seeds)
        coarse = pseudo_masks.coarse_mask(attention, settings.attention_threshold)
        points = (
            pseudo_masks.select_points if settings.point_recipe == "paper" else pseudo_masks.released_points
        )
        # SAS's code gives SAM images as OpenCV reads them (MCC/sam_util/generate_mask.py:32)
        seen = image if settings.sam_channels == "rgb" else np.ascontiguousarray(image[..., ::-1])
        mask = [sam.mask(i, points(c)) for i, c in zip(seen, coarse, strict=True)]
        store.write(group, "image", image)
        store.write(group, "attention", attention.astype(np.float16))
        store.write(group, "coarse", coarse)
        store.write(group, "mask", np.stack(mask))


@functools.cache
def models(
    settings: Synthesis, device: torch.device
) -> tuple[synthesis.Synthesiser, pseudo_masks.PointPrompted]:
    """The text-to-image model and SAM. A process loads them once."""
    for path in (settings.diffusion, settings.sam):
        synthesis.require_weights(path)
    return synthesis.load(settings, device), pseudo_masks.load_sam(settings.sam, device)


def synthesise_classes(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/synthesis up to date, with a group for each class of the vocabulary. Raises SynthesisError
    where a model cannot be loaded, and ScenesFailed after all classes were tried."""
    settings = params.synthesis
    device = choose_device(params.runtime.device, params.runtime.device_memory_gib)

    def loaded() -> Synthesise:
        models(settings, device)  # so that broken weights are one error and not one for every class
        return Synthesise(settings, device)

    return per_scene.run(
        per_scene.Later(loaded),
        {class_id(name): "" for name in params.vocabulary},  # nothing is upstream of a class
        layout.SYNTHESIS,
        parameters=plain(settings),
        fresh=fresh,
        workers=params.runtime.workers if device.type == "cpu" else 1,
        label="synthesis",
    )
