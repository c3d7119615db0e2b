"""python -m benchmarks.quality.precision [PRECISION ...] [--frames N]: what half precision changes.

Every 2D model of params.yaml labels the same frames of the imported scenes in single precision and in each
PRECISION, on the device and with the weights that params.yaml names. If the shares are too large for you,
keep `segmenters.precision: float32`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from anyscene.project import layout, parameters, store
from anyscene.project.parameters import Params
from anyscene.scene import Frame
from anyscene.segmenters import load_segmenter

PRECISIONS = ("bfloat16", "float16")


def frames(params: Params, count: int) -> list[Frame]:
    """`count` frames, evenly chosen from the scenes that are evaluated."""
    scenes = store.split_ids(layout.SCENES, params.evaluation.split)
    found = [
        frame
        for scene in scenes
        for frame in store.read_scene(
            store.scene_path(layout.SCENES, scene), Path(params.dataset.root)
        ).frames
    ]
    places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[place] for place in places]


def labels(model: str, params: Params, images: np.ndarray) -> tuple[np.ndarray, float]:
    """The labels i2[B, H, W], and the seconds for one image."""
    segmenter = load_segmenter(model, params, captions=False)
    segmenter.label(images[:1], params.vocabulary)
    start = time.perf_counter()
    found = np.concatenate([segmenter.label(image[None], params.vocabulary) for image in images])
    return found, (time.perf_counter() - start) / len(images)


def compare(
    params: Params, images: np.ndarray, precisions: list[str]
) -> Iterator[tuple[str, str, float, float]]:
    """(model, precision, share of pixels whose label changes, factor by which it is faster)."""
    for model in params.segmenters.names:
        wanted, seconds = labels(model, params, images)
        for precision in precisions:
            section = dataclasses.replace(params.segmenters, precision=precision)
            found, faster = labels(model, dataclasses.replace(params, segmenters=section), images)
            yield model, precision, float((found != wanted).mean()), seconds / faster


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.precision")
    parser.add_argument("precisions", nargs="*", metavar="PRECISION", help=f"default: {' '.join(PRECISIONS)}")
    parser.add_argument("--frames", type=int, default=50)
    options = parser.parse_args()
    params = parameters.load()
    params = dataclasses.replace(
        params, segmenters=dataclasses.replace(params.segmenters, precision="float32")
    )
    size = params.projection.width, params.projection.height
    images = np.stack(
        [frame.read_color(size, params.projection.resize) for frame in frames(params, options.frames)]
    )
    table = Table("2D model", "precision", "labels that change", "times as fast", box=None)
    for model, precision, share, speed in compare(params, images, options.precisions or list(PRECISIONS)):
        table.add_row(model, precision, f"{100 * share:.2f} %", f"{speed:.2f}")
    Console(highlight=False).print(f"{len(images)} frames, {params.runtime.device}", table)


if __name__ == "__main__":
    main()
