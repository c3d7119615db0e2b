"""MaskCLIP (Zhou et al. 2022, "Extract Free Dense Labels from CLIP"): a CLIP image tower, patch by patch.

Nothing is trained, and no weights are needed besides those of `text.encoder`, an open_clip ViT, whose image
tower lives in the same space. The last attention layer would mix all patches into the class token; here each
patch keeps its own value. The steps, and where they come from:

1. the image is resized (bicubic, antialiased, as in open_clip's own preprocessing) so that its longer side is
   `base` and both sides are whole patches, and normalised by the tower's mean and deviation;
2. the position embeddings of the patches are resized bicubically (the paper's code); that of the class token
   is kept;
3. all blocks but the last one are as they are; of the last one remain the first layer norm, the value
   embedding and the output projection (the paper, section 3.2: query and key are dropped, the other two
   become 1x1 convolutions). Its residual connection and its MLP are left out: the paper's formula has
   neither, and Lan et al. 2024 (ClearCLIP) find that they add noise. The paper's code has both;
4. the tower's last layer norm and its projection into text space, to unit length.

The refinements of the paper's section 3.3 (key smoothing, prompt denoising) are not included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import I2, U1
from anyscene.errors import TextError, WeightsError
from anyscene.project.device import autocast, passes
from anyscene.project.parameters import Precision
from anyscene.segmenters.maskclip import Settings
from anyscene.segmenters.protocol import FeatureMap, require_finite
from anyscene.text import TEMPLATE, TextEncoder, embeddings, open_clip_model, refuse_code

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

KIND = "open_clip:"


def require_tower(encoder: str) -> tuple[str, str]:
    """The model and weights of the text encoder `open_clip:MODEL:PRETRAINED`. Raises TextError for any other
    encoder, and WeightsError where it names no weights, or a file that is missing or could run code."""
    model, _, pretrained = encoder.removeprefix(KIND).partition(":")
    if not encoder.startswith(KIND):
        raise TextError(
            f"maskclip reads the image tower of the text encoder, and {encoder} has none: set `text.encoder` "
            "to an open_clip ViT, e.g. open_clip:ViT-B-16:weights/maskclip/open_clip_model.safetensors "
            "(`anyscene weights fetch maskclip`)"
        )
    if not pretrained:
        raise WeightsError(
            f"text.encoder {encoder} names no weights, so that maskclip's would be random: name a "
            f"checkpoint, {KIND}{model}:FILE"
        )
    refuse_code(pretrained)
    return model, pretrained


def load_tower(encoder: str) -> VisionTransformer:
    """The image tower of the text encoder `open_clip:MODEL:PRETRAINED`. Raises errors as `require_tower`, and
    WeightsError where the weights cannot be loaded."""
    model, pretrained = require_tower(encoder)
    try:
        return open_clip_model(model, pretrained).visual
    except Exception as error:  # missing file, unknown tag, no network: many kinds
        raise WeightsError(
            f"maskclip cannot load the image tower of {encoder}: {error}. Give the path of a checkpoint in "
            "`text.encoder`"
        ) from error


class MaskClipSegmenter:
    """An open_clip ViT behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        tower: VisionTransformer,
        text: TextEncoder,
        settings: Settings,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> None:
        """tower: the image tower of the same open_clip model as `text`; template: the sentence in which names
        are encoded. Raises TextError where the tower is not a plain ViT, or has another width."""
        self._template = template
        from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

        plain = isinstance(tower, VisionTransformer) and tower.attn_pool is None
        if not plain or not isinstance(tower.transformer.resblocks[-1], ResidualAttentionBlock):
            raise TextError(
                f"maskclip takes values from the last attention layer of a ViT, and {text.name} is none: set "
                "`text.encoder` to open_clip's ViT-B-32, ViT-B-16, ViT-L-14 or another of that kind"
            )
        if tower.output_dim != text.width:
            raise TextError(f"{text.name} is {text.width} wide, its image tower {tower.output_dim}")
        self.name = name
        self.tower = tower.float().eval().requires_grad_(False).to(device)
        self._text, self._base, self._device, self._precision = text, settings.base, device, precision
        self.mean, self.std = (  # f4[3, 1, 1] each, of pixels in 0..1
            torch.tensor(tower.preprocess_cfg[key], device=device)[:, None, None] for key in ("mean", "std")
        )

    @torch.inference_mode()
    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[FeatureMap]:
        """One FeatureMap for each image u1[B, H, W, 3], on the device; a unit vector for each patch."""
        return [FeatureMap(feature) for feature in self._each(images)]

    @torch.inference_mode()
    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the most similar name at each pixel. Similarities are interpolated bilinearly between
        patches."""
        target = torch.from_numpy(embeddings(self._text, vocabulary, self._template)).to(
            self._device
        )  # [K, C]
        labels = np.empty(images.shape[:3], np.int16)
        for row, feature in zip(labels, self._each(images), strict=True):
            similarity = (feature @ target.T).permute(2, 0, 1)[None]  # [1, K, h, w]
            best = functional.interpolate(similarity, size=row.shape, mode="bilinear")[0].argmax(0)
            row[...] = best.cpu().numpy()
        return labels

    def _each(self, images: U1) -> Iterator[torch.Tensor]:
        """f4[h, w, C] of each image u1[B, H, W, 3]."""
        for some in passes(images, self._device):
            found = self._features(some)
            require_finite(self.name, "features", found)
            yield from found

    def _features(self, images: U1) -> torch.Tensor:
        """u1[B, H, W, 3] -> f4[B, h, w, C]."""
        size = patches(images.shape[1:3], self.tower.patch_size, self._base)
        pixels = tuple(count * side for count, side in zip(size, self.tower.patch_size, strict=True))
        x = torch.from_numpy(np.array(images)).to(self._device).permute(0, 3, 1, 2).float() / 255
        x = functional.interpolate(x, size=pixels, mode="bicubic", antialias=True).clamp(0, 1)
        with autocast(self._device, self._precision):
            return values(self.tower, (x - self.mean) / self.std)


def values(
    tower: VisionTransformer,
    image: torch.Tensor,  # [B, 3, H, W]
) -> torch.Tensor:
    """f4[B, h, w, C]: the projected values of the last attention layer at each patch, of length 1. H and W
    are whole patches, and the image is normalised."""
    x = tower.conv1(image)  # [B, D, h, w]
    grid = tuple(x.shape[2:])
    x = torch.cat(
        [tower.class_embedding.expand(len(x), 1, -1), x.flatten(2).transpose(1, 2)], 1
    )  # [B, 1 + hw, D]
    x = tower.ln_pre(x + positions(tower.positional_embedding, tower.grid_size, grid))
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        x = block(x)
    attention, width = last.attn, x.shape[2]
    x = last.ln_1(x[:, 1:])  # the value of the class token is not used
    x = functional.linear(x, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    x = tower.ln_post(last.ls_1(attention.out_proj(x))) @ tower.proj
    feature: torch.Tensor = functional.normalize(x.float(), dim=2).unflatten(1, grid)
    return feature


def positions(
    embedding: torch.Tensor,  # [1 + g k, D]
    old: tuple[int, int],
    new: tuple[int, int],
) -> torch.Tensor:
    """f4[1 + h w, D]: the position embeddings of a class token and a grid of g x k patches, resized to h x
    w."""
    if old == new:
        return embedding
    patch = embedding[1:].unflatten(0, old).permute(2, 0, 1)[None]  # [1, D, g, k]
    patch = functional.interpolate(patch, size=new, mode="bicubic")
    return torch.cat([embedding[:1], patch[0].flatten(1).T])


def patches(size: tuple[int, int], patch: tuple[int, int], base: int) -> tuple[int, int]:
    """The numbers of patches along the height and width of an image of `size`, resized so that its longer
    side is `base`."""
    scale = base / max(size)
    rows, columns = (max(1, round(length * scale / side)) for length, side in zip(size, patch, strict=True))
    return rows, columns
