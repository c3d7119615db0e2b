"""From an attention map to a mask: points inside the coarse mask prompt SAM, which knows where things end."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from pipeline.errors import SynthesisError
from pipeline.published import catalogue, reading

BORDER = 70 / 512  # share of the side that is cleared along the image's edges
FEWEST = 10  # pixels that a coarse mask must keep to be trusted
POINTS = 3
ARCHITECTURE, WEIGHTS = "sam.json", "model.safetensors"
SOURCE = catalogue.get("sam_vit_h").source


def coarse_mask(attention: np.ndarray, threshold: float) -> np.ndarray:
    """b1[..., H, W]: where the attention f4[..., H, W] in 0..1 exceeds `threshold`."""
    return attention > threshold


def select_points(coarse: np.ndarray) -> np.ndarray:
    """i8[P, 2] (row, column): positive prompts inside the coarse mask b1[H, W].

    A border of 70/512 of the side is cleared. If fewer than 10 pixels are left, the four pixels at the image
    centre are the prompts. Else three points: all in the only component, two in the larger and one in the
    smaller of two, one in each of the three largest of more (8-connected; equal sizes in raster order). A
    point lies as deep inside its component as possible: where the distance to the nearest pixel outside, or
    to a point chosen before, is largest (ties in raster order). Tiny components may give fewer points.
    """
    height, width = coarse.shape
    inside = np.zeros_like(coarse, dtype=bool)
    rows, columns = round(height * BORDER), round(width * BORDER)
    inside[rows : height - rows, columns : width - columns] = True
    mask = coarse & inside
    if mask.sum() < FEWEST:
        r, c = height // 2, width // 2
        return np.array([(r - 1, c - 1), (r - 1, c), (r, c - 1), (r, c)], np.int64)
    component, count = ndimage.label(mask, np.ones((3, 3)))
    size = np.bincount(component.ravel())[1:]
    largest = np.argsort(-size, kind="stable")[:POINTS] + 1
    shares = {1: (POINTS,), 2: (2, 1)}.get(count, (1,) * POINTS)
    return np.concatenate([_deepest(component == k, n) for k, n in zip(largest, shares, strict=True)])


def _deepest(component: np.ndarray, points: int) -> np.ndarray:  # b1[H, W] -> i8[<= points, 2]
    left = np.pad(component, 1)  # what lies beyond the image is outside too
    chosen = []
    for _ in range(min(points, int(component.sum()))):
        place = np.unravel_index(np.argmax(ndimage.distance_transform_edt(left)), left.shape)
        left[place] = False
        chosen.append(place)
    return np.array(chosen, np.int64) - 1


class PointPrompted:
    """SAM asked with positive points, one mask per image (multimask off)."""

    def __init__(self, sam: Sam) -> None:
        self._predictor = SamPredictor(sam)

    def mask(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """b1[H, W] of the thing at `points` i8[P, 2] (row, column) in `image` u1[H, W, 3] RGB."""
        self._predictor.set_image(image)
        masks, _, _ = self._predictor.predict(
            point_coords=points[:, ::-1].astype(np.float32),
            point_labels=np.ones(len(points), np.int64),
            multimask_output=False,
        )
        return masks[0]


def load_sam(path: Path | str, device: torch.device) -> PointPrompted:
    """A folder of ours (sam.json + model.safetensors) or a published checkpoint sam_vit_{b,l,h}*.pth.

    Raises SynthesisError where it is missing, truncated, other than published, of another architecture, or
    holds more than tensors.
    """
    path = Path(path)
    remedy = (
        f"Set `synthesis.sam` to a published checkpoint (sam_vit_h_4b8939.pth, from {SOURCE}) or to the "
        "demo's folder (`make zoo` writes it)"
    )
    try:
        sam = _own(path) if path.is_dir() else _published(path)
    except SynthesisError:
        raise
    except reading.WeightsError as error:
        raise SynthesisError(f"{error}. {remedy}") from error
    except Exception as error:  # json and safetensors raise many kinds for broken files
        raise SynthesisError(f"{path}: cannot load SAM from here: {error}. {remedy}") from error
    return PointPrompted(sam.to(device).eval().requires_grad_(False))


def _own(folder: Path) -> Sam:
    state = load_file(folder / WEIGHTS)
    return _filled(build_sam(**json.loads((folder / ARCHITECTURE).read_text())), state, folder)


def _published(path: Path) -> Sam:
    kind = _kind(path)
    state = reading.read(path, SOURCE)
    return _filled(sam_model_registry[kind](), state, path)


def _filled(sam: Sam, state: Mapping[str, torch.Tensor], path: Path) -> Sam:
    own = {name: value.shape for name, value in sam.state_dict().items()}
    found = {name: getattr(value, "shape", None) for name, value in dict(state).items()}
    if odd := sorted(name for name in own.keys() | found.keys() if own.get(name) != found.get(name)):
        raise SynthesisError(
            f"{path}: weights of another architecture: {odd[0]} is {found.get(odd[0], 'missing')}, wanted "
            f"{own.get(odd[0], 'nothing')}, with {len(odd) - 1} more such; get it again from {SOURCE}"
        )
    sam.load_state_dict(state)
    return sam


def _kind(path: Path) -> str:
    for kind in ("vit_h", "vit_l", "vit_b"):
        if kind in path.name:
            return kind
    raise SynthesisError(f"{path}: the name of a SAM checkpoint holds vit_h, vit_l or vit_b")


class Stem(nn.Module):
    """Image [B, 3, S, S] -> patch embeddings [B, S / patch, S / patch, width], by halving convolutions."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for halving in reversed(range(patch.bit_length() - 1)):
            inner = width >> halving
            layers += [nn.Conv2d(channels, inner, 3, 2, 1), nn.GroupNorm(4, inner), nn.GELU()]
            channels = inner
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, width, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).permute(0, 2, 3, 1)


def build_sam(
    *,
    image_size: int,
    patch: int,
    width: int,
    depth: int,
    heads: int,
    prompt_width: int,
    pixel_mean: tuple[float, float, float],
    pixel_std: tuple[float, float, float],
    **unknown: Any,
) -> Sam:
    """segment-anything's own Sam at a freely chosen size, with random weights.

    Its vision transformer starts from three convolutions in place of one per patch: with little training data
    that finds edges much sooner (Xiao et al. 2021).
    """
    if unknown:
        raise SynthesisError(f"{ARCHITECTURE}: unknown key {sorted(unknown)[0]}")
    grid = image_size // patch
    encoder = ImageEncoderViT(
        img_size=image_size,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        out_chans=prompt_width,
        use_rel_pos=True,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )
    encoder.patch_embed = Stem(patch, width)
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=prompt_width,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=prompt_width, mlp_dim=2 * prompt_width, num_heads=4
            ),
            transformer_dim=prompt_width,
            iou_head_hidden_dim=prompt_width,
        ),
        pixel_mean=list(pixel_mean),
        pixel_std=list(pixel_std),
    )
