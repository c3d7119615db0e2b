"""What a run would cost: views, hours, disk. Every figure is counted or measured, or says that it is not.

Rates come from reports/throughput.json, which `python -m benchmarks.speed.throughput` writes: a list of
{"what", "device", "setting", "per_second", ...}. `what` is a 2D model, a diffusion model, a SAM or a
training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene import datasets, segmenters
from anyscene.capability import titles
from anyscene.datasets import Extent
from anyscene.errors import DataError, PipelineError
from anyscene.project.parameters import Params, Segmenters, Training
from anyscene.segmenters import captions
from anyscene.study import disk

SAMPLE = 3  # scenes that are read to estimate all scenes


@dataclass(frozen=True)
class Rate:
    """How fast something was."""

    per_second: float  # how many were done in a second
    device: str  # on which it was measured
    setting: str  # at which it was measured, such as "frames of 320x240, base 640"


@dataclass(frozen=True)
class Work:
    """Something that takes time."""

    what: str  # a 2D model, a diffusion model, a SAM or a training
    count: int  # how many units it goes through
    unit: str  # such as "views"
    rate: Rate | None  # None where it was not measured

    @property
    def hours(self) -> float | None:
        """How long it takes; None where its rate was not measured."""
        return None if self.rate is None else self.count / self.rate.per_second / 3600


def extent(params: Params) -> Extent:
    """How much lies in dataset.root: scenes are counted, views and points are estimated from a few scenes.
    Where there is no such folder, or an empty one, it is what was published about the data set. Raises
    DataError where neither is known."""
    root = Path(params.dataset.root)
    if not root.is_dir() or not any(root.iterdir()):
        published = datasets.entry(params.dataset.reader).published(params.scenes.frame_stride)
        if published is None:
            what = "is empty" if root.is_dir() else "no such folder"
            raise DataError(f"{root}: {what}; set dataset.root to the scans")
        return published
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    splits = dataset.splits()
    places = np.linspace(0, len(splits) - 1, min(SAMPLE, len(splits))).round().astype(int)
    chosen = [list(splits)[place] for place in places]
    scenes = [dataset.read(scene) for scene in chosen]
    views = round(np.mean([len(scene.frames) for scene in scenes]) * len(splits))
    points = round(np.mean([len(scene.xyz) for scene in scenes]) * len(splits))
    training = sum(split == "train" for split in splits.values())
    of = "counted" if len(chosen) == len(splits) else f"estimated from {', '.join(chosen)}"
    return Extent(len(splits), training, views, points, of)


def work(params: Params, size: Extent, rates: dict[str, Rate]) -> list[Work]:
    """What takes time, in the order of the stages. 2D models also label the synthesised images."""
    images = painted(params)
    section = params.segmenters
    models = [model for model in section.names if not segmenters.answered(model, section)]
    found = [(_title(model, section), size.views, "views") for model in models]
    found.append((titles.painter(params.synthesis.diffusion), images, "images"))
    found.append((titles.sam(params.synthesis.sam), images, "masks"))
    found += [(what, images, "synthesised images") for what, *_ in found[: len(models)]]
    if _captions(models, section):
        found.append((section.captioner, size.views, "views, each mask of them"))
    for entry in params.training.values():
        found.append((training(entry.kind, params), visits(entry, size), "passes over scenes"))
    return [Work(*one, rates.get(one[0])) for one in found]


def hours_by_device(works: Sequence[Work]) -> dict[str, float]:
    """The hours of all that was measured, summed up for each device, in the order of the works."""
    found: dict[str, float] = {}
    for one in works:
        if one.rate is not None and one.hours is not None:
            found[one.rate.device] = found.get(one.rate.device, 0.0) + one.hours
    return found


def painted(params: Params) -> int:
    """How many images are synthesised for all classes."""
    return params.synthesis.images * len(params.vocabulary)


def _title(model: str, section: Segmenters) -> str:
    return model if segmenters.runs_elsewhere(model, section) else segmenters.entry(model).title


def _captions(models: Sequence[str], section: Segmenters) -> bool:
    """Whether a captioner with weights may be asked: by a model of masks that runs here, or by one that runs
    elsewhere and has not yet said whether its masks come with captions."""
    asking = [
        model
        for model in models
        if segmenters.runs_elsewhere(model, section) or segmenters.entry(model).captioned
    ]
    return bool(asking) and bool(captions.weights(section))


def visits(section: Training, size: Extent) -> int:
    """How many scenes a training goes through, where each counts as often as it is visited."""
    batch = section.batch if size.training is None else min(section.batch, size.training)
    return section.steps * batch * section.accumulate


def training(kind: str, params: Params) -> str:
    """What reports/throughput.json calls a training by an objective of that kind: the name says on what its
    rate depends."""
    return f"{kind} {params.network.variant}, {params.network.voxel * 100:g} cm"


def read_rates(file: Path) -> dict[str, Rate]:
    """The rate of everything that was measured, on the fastest device; empty without the file. Raises
    PipelineError where the file is no such list."""
    if not file.is_file():
        return {}
    found: dict[str, Rate] = {}
    try:
        for row in json.loads(file.read_text(encoding="utf-8")):
            rate = Rate(float(row["per_second"]), str(row["device"]), str(row["setting"]))
            known = found.setdefault(row["what"], rate)
            found[row["what"]] = max(known, rate, key=lambda one: one.per_second)
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{file}: no list of what, device, setting and per_second ({error!r}); measure again"
        ) from error


def disk_bytes(params: Params, size: Extent) -> int | None:
    """An upper bound of what the artefacts take. Where points were not counted, it supposes disk.SUPPOSED a
    scene; None where the number of scenes is not known either."""
    points = size.points
    if points is None:
        points = None if size.scenes is None else size.scenes * disk.SUPPOSED
    return None if points is None else points * bytes_per_point(params)


def bytes_per_point(params: Params) -> int:
    """An upper bound of the bytes that all artefacts together take for a point."""
    return sum(disk.bytes_of_point(params).values())


def frame_bytes(params: Params, size: Extent) -> int:
    """What the frames that `anyscene frames` writes take uncompressed; 0 where no model has yet to run
    elsewhere. The synthesised images are not counted: against the frames they are few."""
    each = 3 * params.projection.width * params.projection.height
    return each * size.views if awaited(params) else 0


def awaited(params: Params) -> list[str]:
    """The 2D models that run elsewhere and whose answers are not there yet."""
    section = params.segmenters
    return [
        model
        for model in section.names
        if segmenters.runs_elsewhere(model, section) and not segmenters.answered(model, section)
    ]
