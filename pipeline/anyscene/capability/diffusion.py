"""A Stable Diffusion pipeline from a folder in diffusers' form: it is complete, or refused.

Where weights are missing from a file, diffusers continues with whatever the memory held. So each network is
loaded here by itself, only from safetensors, and an error names what it lacks. The pipeline's own loading is
left with tokenizers and scheduler, which have no weights. Nothing is downloaded, and no code from a folder
runs.

The safety checker of Stable Diffusion 1.x is left out. Prompts are the classes of the vocabulary, and an
image that it takes for something else would come back black and be measured like any other. SDXL's watermark
is left out too, which diffusers adds where a package for it happens to be installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    ModelMixin,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import is_accelerate_available, logging
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from anyscene.capability.patch_autoencoder import PatchAutoencoder
from anyscene.capability.titles import CONDITION
from anyscene.errors import SynthesisError

INDEX = "model_index.json"
LOADING = {"low_cpu_mem_usage": is_accelerate_available()}  # what diffusers does anyway, with a warning
NETWORKS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
TEXT_TOWERS: Mapping[type[DiffusionPipeline], Mapping[str, type]] = {
    StableDiffusionPipeline: {"text_encoder": CLIPTextModel},
    StableDiffusionXLPipeline: {
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    },
}
WITHOUT: Mapping[type[DiffusionPipeline], Mapping[str, object]] = {
    StableDiffusionPipeline: {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    },
    StableDiffusionXLPipeline: {"feature_extractor": None, "image_encoder": None, "add_watermarker": False},
}


def read_pipeline(folder: Path, dtype: torch.dtype) -> DiffusionPipeline:
    """The text-to-image pipeline in `folder`, with its networks in `dtype`, on the CPU.

    It may be Stable Diffusion 1.x, 2.x or XL, or a model that was tuned from them. The file of a network may
    be split, or be there only in half precision (`*.fp16.safetensors`). Raises SynthesisError where the
    folder holds another kind of pipeline, or code, and where anything in it is missing, truncated or of
    another architecture.
    """
    if not (folder / INDEX).is_file():
        raise SynthesisError(
            f"{folder}: no text-to-image pipeline here ({INDEX} is missing); set "
            "`synthesis.diffusion` to the folder of a diffusers pipeline, or run `make zoo` for the demo's"
        )
    if code := sorted(folder.rglob("*.py")):  # older versions of diffusers run it unasked
        raise SynthesisError(
            f"{code[0]}: code among weights; nothing of it ran. Delete it, or get {folder} again"
        )
    logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        if (folder / CONDITION).is_file():
            return _demo(folder, dtype)
        return _published(folder, dtype)
    except SynthesisError:
        raise
    except Exception as error:  # diffusers, transformers, safetensors and json raise many kinds
        raise SynthesisError(
            f"{folder}: cannot load this text-to-image pipeline: {error}. Restore its files "
            "(`git checkout` for the demo's, else the download)"
        ) from error


def _published(folder: Path, dtype: torch.dtype) -> DiffusionPipeline:
    name = json.loads((folder / INDEX).read_text(encoding="utf-8")).get("_class_name")
    kinds = {kind.__name__: kind for kind in TEXT_TOWERS}
    kind = kinds.get(str(name))
    if kind is None:
        raise SynthesisError(
            f"{folder / INDEX}: a {name}, but attention to words is read from {' and '.join(kinds)}; set "
            "`synthesis.diffusion` to one of those, e.g. Stable Diffusion 1.5"
        )
    networks = {
        part: _network(network, folder / part, dtype)
        for part, network in (NETWORKS | dict(TEXT_TOWERS[kind])).items()
    }
    return kind.from_pretrained(folder, **networks, **WITHOUT[kind], local_files_only=True, **LOADING)


def _demo(folder: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    """The demo's pipeline, without a text tower and with an autoencoder of this project."""
    return StableDiffusionPipeline(
        vae=_network(PatchAutoencoder, folder / "vae", dtype),
        text_encoder=None,
        tokenizer=None,
        unet=_network(UNet2DConditionModel, folder / "unet", dtype),
        scheduler=DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),
        **WITHOUT[StableDiffusionPipeline],
    )


def _network(kind: type[ModelMixin], folder: Path, dtype: torch.dtype) -> ModelMixin:
    """The network in `folder`. Raises SynthesisError where one of its parameters is not in its files."""
    files = [file.name for file in folder.glob("*.safetensors")]
    if not files:
        raise SynthesisError(
            f"{folder}: no *.safetensors here, and weights are read from nothing else; get those of the "
            "pipeline (most are published so)"
        )
    network, report = kind.from_pretrained(
        folder,
        dtype=dtype,
        variant="fp16" if all("fp16" in name for name in files) else None,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **(LOADING if issubclass(kind, ModelMixin) else {}),
    )
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:
        raise SynthesisError(
            f"{folder}: the weights are not those of its config.json: {lacking[0]} is missing or of another "
            f"shape, and so are {len(lacking) - 1} more; get the folder again"
        )
    return network.eval().requires_grad_(False)
