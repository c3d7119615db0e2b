"""The training of the demo's two segmenters on renderings of zoo furniture.

Both have the same frozen ImageNet backbone. They see different inputs (colour and grey, two resolutions),
have different architectures, and are taught different things (knowledge.py).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from anyscene.arrays import F8, I2, I8, U1
from anyscene.datasets import LabelSet
from anyscene.project.parameters import Text
from anyscene.text import TextEncoder, embeddings, load_text_encoder
from anyscene.weights import described
from anyscene_demo.segmenters.backbone import Backbone
from anyscene_demo.segmenters.dense.segmenter import DenseNetwork
from anyscene_demo.segmenters.mask.segmenter import MaskNetwork, mask_logits, shrink
from anyscene_demo.zoo.imagenet import pretrained_backbone
from anyscene_demo.zoo.images import Seen, rendered, see
from anyscene_demo.zoo.knowledge import DENSE, IGNORE, MASK, Knowledge, relabel

TEMPERATURE = 0.04  # of the cosine in the cross-entropy
PARTS = ("rooms", "objects")
MOST = 4000  # images of each part; the maps of each take 0.2 MB on disk


@dataclass(frozen=True)
class TrainingPart:
    """Renderings of one kind."""

    seen: Seen  # what the backbone makes of them
    shown: U1  # u1[n, h, w], the labels at stride 4 that this model is taught


def train_dense(
    cache: Path,
    output: Path,
    *,
    label_set: LabelSet,
    seed: int,
    steps: int = 3000,
    batch: int = 8,
    side: int = 176,
    knowledge: Knowledge = DENSE,
    say: Callable[[str], None] = print,
) -> None:
    """Train the dense segmenter on the renderings in `cache` and write its weights and log to `output`.

    The label images hold indices into `label_set`. Each step takes `batch` images of rooms and as many of
    objects. The same seed, steps and number of threads give the same weights.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text = load_text_encoder(Text("minilm", "{}"))
    names, target = _names(knowledge, label_set, text)
    network = DenseNetwork(width=text.width)
    network.backbone = pretrained_backbone().requires_grad_(False)
    with torch.no_grad():  # begin inside the span of the names' embeddings
        network.head.weight.copy_(
            target.T @ torch.randn(len(names), network.head.in_features) / len(names) ** 0.5
        )
    parts = _parts(cache, network.backbone, knowledge, label_set.names, seed, side=side, grey=False, say=say)
    class_weight = _class_weight(parts, len(names))

    def loss(part: TrainingPart, picked: I8) -> torch.Tensor:
        maps, wanted, _ = _pick(part, picked, rng)
        cells = network.decode(maps)  # [B, h, w, inner]
        known = (wanted != IGNORE).nonzero(as_tuple=True)
        some = torch.from_numpy(rng.permutation(len(known[0]))[: 512 * len(picked)])
        known = tuple(index[some] for index in known)
        logits = network.place(cells[known]) @ target.T / TEMPERATURE
        return functional.cross_entropy(logits, wanted[known].long(), class_weight)

    description = {
        "architecture": {
            "kind": "dense", "backbone": "efficientnet-lite0", "side": side, "widths": network.pyramid.widths,
            "inner": network.head.in_features, "width": text.width,
        },
        **_provenance(names, knowledge, seed, steps, batch),
    }  # fmt: skip
    _fit(network, parts, loss, rng, steps, batch, output, description, say)


def train_mask(
    cache: Path,
    output: Path,
    *,
    label_set: LabelSet,
    seed: int,
    steps: int = 2200,
    batch: int = 8,
    side: int = 160,
    knowledge: Knowledge = MASK,
    say: Callable[[str], None] = print,
) -> None:
    """Train the mask segmenter. The arguments are those of `train_dense`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text = load_text_encoder(Text("minilm", "{}"))
    names, target = _names(knowledge, label_set, text)
    network = MaskNetwork(width=text.width)
    network.backbone = pretrained_backbone().requires_grad_(False)
    last = network.name[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.copy_(target.T @ torch.randn(len(names), last.in_features) / last.in_features**0.5)
    parts = _parts(cache, network.backbone, knowledge, label_set.names, seed, side=side, grey=True, say=say)
    class_weight = _class_weight(parts, len(names))
    stuff = [names.index(name) for name in ("wall", "floor") if name in names]

    def loss(part: TrainingPart, picked: I8) -> torch.Tensor:
        maps, fine, instance = _pick(part, picked, rng)
        proposals = network.propose(maps)
        segment = _segments(fine, instance, stuff)
        found = [
            _mask_terms(network, proposals, i, fine[i], segment[i], target, class_weight, rng)
            for i in range(len(picked))
        ]
        terms = [term for term in found if term is not None]
        return torch.stack(terms).mean() if terms else proposals.pixel.sum() * 0

    description = {
        "architecture": {
            "kind": "mask", "backbone": "efficientnet-lite0", "side": side, "widths": network.pyramid.widths,
            "embedding": network.pixel.out_channels, "inner": last.in_features, "width": text.width,
        },
        **_provenance(names, knowledge, seed, steps, batch),
    }  # fmt: skip
    _fit(network, parts, loss, rng, steps, batch, output, description, say)


def _class_weight(parts: Sequence[TrainingPart], classes: int) -> torch.Tensor:
    """f4[K]: the weight of each class in the loss; rare classes weigh more."""
    counts = [np.bincount(part.shown.ravel(), minlength=256)[:classes] for part in parts]
    frequency = np.sum(counts, axis=0)
    return torch.tensor((frequency / frequency.sum() + 0.01) ** -0.4, dtype=torch.float32)


def _mask_terms(
    network: MaskNetwork,
    proposals: Any,
    image: int,
    label: torch.Tensor,
    segment: torch.Tensor,
    target: torch.Tensor,
    class_weight: torch.Tensor,
    rng: np.random.Generator,
    seeds: int = 24,
) -> torch.Tensor | None:
    """The loss of one image: of masks (cross-entropy and Dice), expected IoU and names. None where nothing
    has a label.

    label, segment: i8[h, w] at stride 4 (255 and -1 = none); target: f4[K, C], embeddings of the names.
    """
    size = proposals.score.shape[1:]
    at_seed = segment[::2, ::2][: size[0], : size[1]].flatten()
    usable = (at_seed >= 0).nonzero()[:, 0].numpy()
    if len(usable) == 0:
        return None
    # each segment gets seeds by the root of its area, so that small ones are not lost
    area = np.bincount(at_seed[usable].numpy())[at_seed[usable].numpy()]
    chance = area**-0.5 / (area**-0.5).sum()
    cells = torch.from_numpy(rng.choice(usable, min(seeds, len(usable)), replace=False, p=chance))
    logits = mask_logits(proposals, image, cells)  # [n, h, w]
    known = (segment >= 0).flatten()
    wanted = (segment[None] == at_seed[cells][:, None, None]).flatten(1)[:, known].float()
    found = logits.flatten(1)[:, known]
    probability = found.sigmoid()
    overlap = (probability * wanted).sum(1)
    dice = 1 - (2 * overlap + 1) / (probability.sum(1) + wanted.sum(1) + 1)
    cross = functional.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1)
    hard = found.detach() > 0
    inter = (hard & (wanted > 0)).sum(1)
    iou = inter / (hard | (wanted > 0)).sum(1).clamp_min(1)
    score = proposals.score[image].flatten()[cells]
    expected = functional.binary_cross_entropy_with_logits(score, iou)
    # names: of the true segments and of the masks proposed for them
    ids = at_seed[cells].unique()
    true = (segment[None] == ids[:, None, None]).float()
    name_of = torch.stack([label[segment == i][0] for i in ids]).long()
    proposed = logits.detach().sigmoid()
    regions = shrink(torch.cat([true, proposed]), size)
    wanted_name = torch.cat([name_of, name_of[torch.searchsorted(ids, at_seed[cells])]])
    trust = torch.cat([torch.ones(len(ids)), iou]) * class_weight[wanted_name]
    cosine = network.embed(proposals.region[image], regions) @ target.T
    named = functional.cross_entropy(cosine / TEMPERATURE, wanted_name, reduction="none")
    return (dice + 2 * cross).mean() + 0.5 * expected + (named * trust).sum() / trust.sum()


def _segments(label: torch.Tensor, instance: torch.Tensor, stuff: Sequence[int]) -> torch.Tensor:
    """i8[B, h, w]: the numbers of segments, -1 = no label. Instance and name make an object; the name alone
    makes a wall or a floor."""
    number = instance.long()
    for name in stuff:
        number = torch.where(label == name, 0, number)
    return torch.where(label == IGNORE, -1, number * 256 + label.long())


def _names(
    knowledge: Knowledge, label_set: LabelSet, text: TextEncoder
) -> tuple[tuple[str, ...], torch.Tensor]:
    """The names that a model is taught, as sentences use them, and the embeddings f4[K, C] of the
    sentences."""
    prompt = dict(zip(label_set.names, label_set.prompts, strict=True))
    names = tuple(prompt[name] for name in knowledge.taught(label_set.names))
    return names, torch.from_numpy(embeddings(text, names))


def _parts(
    cache: Path, backbone: Backbone, knowledge: Knowledge, classes: tuple[str, ...], seed: int, *, side: int,
    grey: bool, say: Callable[[str], None],
) -> list[TrainingPart]:  # fmt: skip
    parts = []
    for name in PARTS:
        images = rendered(cache, name, MOST)
        folder = cache / "seen" / f"{name}-{side}{'-grey' if grey else ''}"
        seen = see(images, backbone, folder, side=side, grey=grey, seed=seed, say=say)
        parts.append(
            TrainingPart(seen, relabel(knowledge, classes, seen.label, seen.instance, images.place, seed))
        )
    return parts


def _pick(
    part: TrainingPart, picked: I8, rng: np.random.Generator
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """(maps f4[B, c, h, w], labels u1[B, h, w], instances i4[B, h, w]) of the images `picked`, mirrored half
    of the time. Maps have their channels last in memory."""
    turn = slice(None, None, -1 if rng.random() < 0.5 else 1)
    maps = [
        torch.from_numpy(m[picked][:, :, turn].astype(np.float32)).permute(0, 3, 1, 2) for m in part.seen.maps
    ]
    label = torch.from_numpy(part.shown[picked][:, :, turn].copy())
    return maps, label, torch.from_numpy(part.seen.instance[picked][:, :, turn].astype(np.int32))


def _fit(
    network: DenseNetwork | MaskNetwork,
    parts: Sequence[TrainingPart],
    loss: Callable[[TrainingPart, I8], torch.Tensor],
    rng: np.random.Generator,
    steps: int,
    batch: int,
    output: Path,
    description: dict[str, Any],
    say: Callable[[str], None],
    rate: float = 2e-3,
) -> None:
    """Train with AdamW and a cosine schedule, and write the moving average of the weights."""
    network.to(memory_format=torch.channels_last).train()
    network.backbone.eval()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(min(0.998, steps / (steps + 10))))
    orders = [_epochs(len(part.shown), batch, rng) for part in parts]
    log = []
    recent = []
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        total = 0.0
        for part, order in zip(parts, orders, strict=True):
            term = loss(part, next(order)) / len(parts)
            term.backward()
            total += term.item()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        recent.append(total)
        if step % max(1, steps // 50) == 0 or step == steps:
            log.append((step, float(np.mean(recent))))
            say(f"step {step} of {steps}: loss {log[-1][1]:.4f}")
            recent = []
        if step % max(1, steps // 5) == 0 or step == steps:
            described.write(output, average.module, description)
            with (output / "log.csv").open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(("step", "loss"))
                rows.writerows((at, f"{value:.5f}") for at, value in log)


def _rate(step: int, steps: int) -> float:
    """The factor of the learning rate: it rises over the first 3 % of the steps, then falls along half a
    cosine to 1 %."""
    warm = max(1, round(0.03 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _epochs(count: int, batch: int, rng: np.random.Generator) -> Iterator[I8]:
    """Yield sorted batches of image numbers without end. Each image comes once in an epoch."""
    batch = min(batch, count)
    while True:
        order = rng.permutation(count)
        for start in range(0, count - batch + 1, batch):
            yield np.sort(order[start : start + batch])


def _provenance(
    names: Sequence[str], knowledge: Knowledge, seed: int, steps: int, batch: int
) -> dict[str, Any]:
    return {
        "text": "minilm",
        "names": names,
        "knowledge": asdict(knowledge),
        "training": {
            "seed": seed,
            "steps": steps,
            "batch": [batch] * len(PARTS),
            "recipe": "pipeline/anyscene_demo/zoo/segmenters.py",
        },
    }


def held_out_iou(predicted: I2, label: U1, classes: int) -> F8:
    """f8[K]: the IoU of each class over pixels with a label; NaN for classes that do not occur.

    predicted: i2[n, H, W], -1 = no prediction; label: u1[n, H, W], 255 = none.
    """
    known = label < classes
    confusion = np.bincount(
        label[known].astype(np.int64) * (classes + 1)
        + np.where(predicted[known] < 0, classes, predicted[known]),
        minlength=classes * (classes + 1),
    ).reshape(classes, classes + 1)
    hit = np.diag(confusion)
    truth, said = confusion.sum(1), confusion[:, :classes].sum(0)
    return np.where(truth > 0, hit / np.maximum(truth + said - hit, 1), np.nan)


__all__ = ["held_out_iou", "train_dense", "train_mask"]
