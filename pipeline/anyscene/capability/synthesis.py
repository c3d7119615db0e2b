"""Images of a class from a text-to-image model, and where the model looked while it drew the word.

The model is any diffusers pipeline of the Stable Diffusion family (`anyscene.capability.diffusion` loads it).
In every denoising step the cross-attention A = softmax(QK^T / sqrt(d)) of the class word's tokens is read,
and all of them make one map for each image, from which a pseudo mask is made
(`anyscene.capability.pseudo_masks`). The recipes are those of SAS, annotation-free model capability;
docs/coming-from/sas.md lists where its code does otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from anyscene.arrays import F4, U1
from anyscene.capability.diffusion import read_pipeline
from anyscene.capability.titles import CONDITION
from anyscene.errors import PipelineError, SynthesisError
from anyscene.project import parameters
from anyscene.project.device import Batches
from anyscene.project.parameters import AttentionLayers, AttentionRecipe
from anyscene.text import TextEncoder, known, load_text_encoder
from anyscene.weights import catalogue, reading

COARSEST = (
    4  # the recipe "code" leaves out maps below a quarter of the latent size (of 512 px 16, 32, 64 remain)
)

# Of these classes the recipe "code" takes the maps of one resolution alone, which is the latents' size
# divided by this: of 64, 8 pixels, and for the last 16 (SAS's generate_any_class.py:264-267).
ALONE = {"sofa": 8, "train": 8, "tvmonitor": 8, "diningtable": 4}

TOKENS = range(3, 513)  # that a prompt may have: its begin, a word, its end; no encoder here reads more


@dataclass(frozen=True)
class Condition:
    """How a prompt enters the pipeline."""

    arguments: Mapping[str, Any]  # of the pipeline, for one image
    word: tuple[int, ...]  # the tokens that stand for the class word


class _Recording:
    """An attention processor that computes what diffusers does, and keeps the probabilities of the word."""

    def __init__(self, attention: WordAttention, layer: str) -> None:
        self._attention, self._layer, self._plain = attention, layer, AttnProcessor()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,  # [B, Q, C]
        encoder_hidden_states: Tensor | None = None,  # [B, T, D]
        attention_mask: Tensor | None = None,
        **rest: Any,
    ) -> Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        probability = attn.get_attention_scores(query, key, attention_mask)  # [B * heads, Q, T]
        self._attention.add(self._layer, probability.unflatten(0, (-1, attn.heads)))
        result: Tensor = self._plain(attn, hidden_states, encoder_hidden_states, attention_mask, **rest)
        return result


class WordAttention:
    """The attention that image positions pay to a word, recorded in some cross-attention layers of a UNet."""

    def __init__(self, unet: UNet2DConditionModel, layers: AttentionLayers = "all") -> None:
        """layers: all cross-attention layers, or those of the last block that has any. Raises SynthesisError
        where there are none."""
        names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        if not names:
            raise SynthesisError("this UNet has no cross-attention to text, so none to words can be read")
        if layers == "last":
            ups = [name for name in names if name.startswith("up_blocks")] or names
            block = ".".join(max(ups, key=lambda name: int(name.split(".")[1])).split(".")[:2])
            names = [name for name in names if name.startswith(block + ".")]
        self.names = tuple(names)
        self._unet = unet

    def start(self, word: Sequence[int], images: int, aspect: float) -> None:
        """Forget the past, and from now on keep the tokens `word` of the last `images` rows of each batch.
        Under guidance the first rows are the unconditional ones. aspect: width / height."""
        self._word, self._images, self._aspect = list(word), images, aspect
        self._maps: dict[str, list[Tensor]] = {name: [] for name in self.names}
        self._before = self._unet.attn_processors
        recording = {name: _Recording(self, name) for name in self.names}
        self._unet.set_attn_processor(self._before | recording)

    def add(self, layer: str, probability: Tensor) -> None:  # [B, heads, Q, T]
        maps = probability[-self._images :, :, :, self._word].float().mean(1)  # [m, Q, n]
        height = round((maps.shape[1] / self._aspect) ** 0.5)
        self._maps[layer].append(maps.transpose(1, 2).unflatten(2, (height, -1)))

    def stop(self) -> dict[str, Tensor]:
        """End; returns f4[S, m, n, h, w] of every layer: steps, images, tokens of the word, as means over
        heads. They are on the UNet's device, which would have to wait if each map were copied at once."""
        maps = self._maps
        self.forget()
        return {layer: torch.stack(found) for layer, found in maps.items()}

    def forget(self) -> None:
        """End without a result: the UNet is as before, and no map is kept."""
        self._unet.set_attn_processor(self._before)
        self._maps = {}


def aggregate(
    maps: Mapping[str, Tensor], size: tuple[int, int], recipe: AttentionRecipe, latent: int, name: str = ""
) -> Tensor:
    """f4[m, H, W] in 0..1: one attention map for each image.

    maps: f4[S, m, n, h, w] of each layer, as WordAttention gives them.
    size: (H, W).
    latent: the height of the latents.
    name: the class.

    Every map is upsampled bicubically to `size` and divided by its maximum before maps are averaged. The
    tokens of the word are averaged last, and the result is stretched to 0..1. The recipe "paper" is the mean
    of A / max(A) over all layers and steps. The recipe "resolutions" first takes the mean over the steps and
    layers of one resolution, then divides, then takes the mean over the resolutions of at least a quarter of
    `latent`. The recipe "code", of the paper's authors, does the same but for the classes in ALONE, of which
    it takes one resolution. Raises SynthesisError where there is no such resolution.
    """
    if recipe == "paper":
        parts = (_peak_one(_upsample(step, size)) for layer in maps.values() for step in layer)
    else:
        alone = ALONE.get(name) if recipe == "code" else None
        resolutions: dict[int, list[Tensor]] = {}
        for layer in maps.values():
            height = layer.shape[-2]
            if height * COARSEST >= latent if alone is None else height * alone == latent:
                resolutions.setdefault(height, []).append(layer.mean(0))
        if not resolutions:
            raise SynthesisError(
                f"recipe {recipe!r} needs attention layers of at least a quarter of the latents' size"
                if alone is None
                else f"recipe 'code' takes {name!r} from attention layers of a {alone}th of the latents' "
                "size, of which there are none: set `synthesis.attention_layers: all`, or another recipe"
            )
        parts = (_peak_one(_upsample(torch.stack(group).mean(0), size)) for group in resolutions.values())
    word = _mean(parts).mean(1)  # [m, H, W]
    low, high = word.amin((1, 2), keepdim=True), word.amax((1, 2), keepdim=True)
    return (word - low) / (high - low).clamp(min=torch.finfo(word.dtype).tiny)


def _upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:  # [m, n, h, w] -> [m, n, H, W]
    return F.interpolate(maps, size=size, mode="bicubic", align_corners=False)


def _peak_one(maps: Tensor) -> Tensor:  # [m, n, H, W]
    return maps / maps.amax((2, 3), keepdim=True)


def _mean(maps: Iterator[Tensor]) -> Tensor:
    """The mean of `maps`, of which two are in memory at a time: "paper" averages every layer of every step,
    800 maps of the size of the image for Stable Diffusion 1.5. It adds into the first one."""
    total, count = next(maps), 1
    for one in maps:
        total += one
        count += 1
    return total / count


class Synthesiser:
    """A text-to-image pipeline that returns images with their attention to the class word."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        condition: Callable[[str, str], Condition],
        settings: parameters.Synthesis,
    ) -> None:
        """condition: condition(template, word) is the input of the pipeline for the prompt with `word` in the
        place of {}."""
        self.pipeline, self.condition, self._settings = pipeline, condition, settings
        self._attention = WordAttention(pipeline.unet, settings.attention_layers)
        # kernels for other batch sizes differ in the last bits, so a CPU draws one image at a time
        batch = 1 if pipeline.device.type == "cpu" else settings.batch
        self.batches = Batches(batch, "synthesis.batch")
        pipeline.set_progress_bar_config(disable=True)

    def generate(self, name: str, seeds: Sequence[int]) -> tuple[U1, F4]:
        """(images u1[m, H, W, 3], attention f4[m, H, W]) of the class `name`, one image for each seed.

        An image depends only on its own seed. So on a CPU the denoiser draws one at a time; elsewhere it
        draws `settings.batch` of them, or fewer where the memory of a GPU does not suffice.
        """
        condition = self.condition(self._settings.prompt, name)
        parts = self.batches(lambda some: self.draw(condition, some, name), seeds)
        images, attention = zip(*parts, strict=True)
        return np.concatenate(images), np.concatenate(attention)

    @torch.inference_mode()
    def draw(self, condition: Condition, seeds: Sequence[int], name: str = "") -> tuple[U1, F4]:
        """(images u1[m, H, W, 3], attention f4[m, H, W]) of the class `name`, all seeds in one batch.

        Raises SynthesisError where an image is not finite.
        """
        pipeline, settings = self.pipeline, self._settings
        # on the CPU, so that noise is the same on every device
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        latent = pipeline.unet.config.sample_size
        self._attention.start(condition.word, len(seeds), aspect=1.0)
        try:
            output = pipeline(
                **condition.arguments,
                num_images_per_prompt=len(seeds),
                generator=generators,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                guidance_rescale=settings.guidance_rescale,
                output_type="np",
            )
        except BaseException:  # mostly because memory ran out; then fewer seeds come next
            self._attention.forget()
            raise
        maps = self._attention.stop()
        if not np.isfinite(output.images).all():
            raise SynthesisError(
                f"{settings.diffusion}: overflows in {pipeline.dtype}, images of seeds {list(seeds)} are not "
                "numbers; set `runtime.device: cpu`, or take one whose VAE was made for half precision"
            )
        image = (np.clip(output.images, 0, 1) * 255).round().astype(np.uint8)
        attention = aggregate(maps, image.shape[1:3], settings.attention_recipe, latent, name)
        return image, attention.cpu().numpy()


def require_weights(path: Path | str) -> None:
    """Raise SynthesisError where there are no files at `path`, and WeightsError where one is not what was
    published under its name."""
    path = Path(path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            reading.intact(file)
            file.stat()
    except OSError as error:
        raise SynthesisError(f"{path}: no weights here ({error}); {_source(path)}") from error
    if not files:
        raise SynthesisError(f"{path}: no weights here (empty folder); {_source(path)}")


def _source(path: Path) -> str:
    entry = catalogue.entry_of(path)
    if entry is None:
        return "see `synthesis` in params.yaml"
    return f"`anyscene weights fetch {entry.name}` gets them from {entry.source}"


def load(settings: parameters.Synthesis, device: torch.device) -> Synthesiser:
    """The pipeline in the folder `settings.diffusion`, in diffusers' form. It is read only from safetensors;
    nothing is downloaded.

    Raises SynthesisError where it is missing, incomplete or truncated, or holds code.
    """
    folder = Path(settings.diffusion)
    pipeline = read_pipeline(folder, torch.float16 if device.type == "cuda" else torch.float32)
    return Synthesiser(pipeline.to(device), conditioning(folder, pipeline), settings)


def conditioning(folder: Path, pipeline: DiffusionPipeline) -> Callable[[str, str], Condition]:
    """The way in which the pipeline that was read from `folder` takes a prompt and the class word in it.
    Raises SynthesisError where it takes none."""
    if (folder / CONDITION).is_file():
        encoder, length = _condition(folder / CONDITION)
        return ByTokenStates(load_text_encoder(parameters.Text(encoder=encoder, template="{}")), length)
    found = (getattr(pipeline, name, None) for name in ("tokenizer", "tokenizer_2"))
    if not (tokenizers := tuple(one for one in found if one is not None)):
        raise SynthesisError(f"{folder}: has neither a tokenizer nor {CONDITION}; get the folder again")
    return ByOwnText(tokenizers)


def _condition(file: Path) -> tuple[str, int]:
    """(the text encoder, how many of its tokens a prompt has) as the file says. Raises SynthesisError."""
    try:
        own = json.loads(file.read_text(encoding="utf-8"))
        encoder, length = own["text_encoder"], own["tokens"]
        if not isinstance(length, int) or length not in TOKENS:
            raise ValueError(f"tokens is {length!r}, not {TOKENS[0]} to {TOKENS[-1]}")
        known.require_known(parameters.Text(encoder=encoder, template="{}"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PipelineError) as error:
        raise SynthesisError(f"{file}: damaged ({error}); get the folder again, or `make zoo`") from error
    return encoder, length


@dataclass(frozen=True)
class ByTokenStates:
    """The pipeline has no text tower, and takes the states of the tokens of our encoder. Raises
    SynthesisError where it would not see all of the class word."""

    encoder: TextEncoder
    length: int

    def __call__(self, template: str, word: str) -> Condition:
        prompt = template.format(word)
        start, end = _span(template, word)
        tokens, whole = self.encoder.tokens([prompt, ""], self.length), self.encoder.tokens([prompt])
        found = tokens.covering(0, start, end)
        if len(found) == 0 or not np.array_equal(found, whole.covering(0, start, end)):
            raise _unread(prompt, start, end, self.length)
        state = torch.from_numpy(tokens.state)
        return Condition(
            {"prompt_embeds": state[:1], "negative_prompt_embeds": state[1:]}, tuple(found.tolist())
        )


@dataclass(frozen=True)
class ByOwnText:
    """The tokenizers and text towers of the pipeline read the prompt.

    SDXL has two, whose states are joined token by token, so both must cut the prompt in the same way.
    """

    tokenizers: tuple[PreTrainedTokenizerBase, ...]

    def __call__(self, template: str, word: str) -> Condition:
        prompt = template.format(word)
        start, end = _span(template, word)
        first, *others = (_covering(tokenizer, prompt, start, end) for tokenizer in self.tokenizers)
        if any(other != first for other in others):
            raise SynthesisError(f"the two tokenizers of this pipeline cut {prompt!r} differently")
        return Condition({"prompt": prompt}, first)


def _covering(tokenizer: PreTrainedTokenizerBase, prompt: str, start: int, end: int) -> tuple[int, ...]:
    """The tokens of the prompt that overlap its characters [start, end). Raises SynthesisError where there
    are none, or where the text tower would not see them."""
    offsets = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    places = enumerate(offsets)
    found = tuple(i for i, (first, last) in places if first < end and last > start and last > first)
    most = tokenizer.model_max_length - 1  # the last token is the end of the text
    if not found or found[-1] >= most:
        raise _unread(prompt, start, end, most)
    return found


def _unread(prompt: str, start: int, end: int, most: int) -> SynthesisError:
    return SynthesisError(
        f"{prompt[start:end]!r} is not among the first {most} tokens of the prompt {prompt!r}, which are "
        "all that the diffusion model reads: shorten `synthesis.prompt`, or the name in `vocabulary`"
    )


def _span(template: str, word: str) -> tuple[int, int]:
    """The characters [start, end) of `word` in the prompt. Raises SynthesisError where the template has no
    {}."""
    start = template.find("{}")
    if start < 0:
        raise SynthesisError(f"`synthesis.prompt` is {template!r}; it needs one {{}} for the class name")
    return start, start + len(word)
