"""Scenes -> data/projection/MODEL: the 2D model's feature of every point, mean over the views that see it."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene.cli.command import command
from anyscene.lifting.projection import described_frames, project
from anyscene.project import parameters, per_scene, store
from anyscene.project.device import choose_device
from anyscene.segmenters import Segmenter, load_segmenter, require_answers
from anyscene.segmenters.precomputed import image_index
from anyscene.text import TextEncoder, load_text_encoder

SCENES, OUTPUT = Path("data/scenes"), Path("data/projection")
VERSION = 1


@dataclass(frozen=True)
class Project:
    model: str
    params: parameters.Params
    memory: float  # bytes

    def __call__(self, scene: str, group: zarr.Group) -> None:
        params, settings = self.params, self.params.projection
        segmenter, encoder = models(self.model, params)
        source = store.read_scene(store.scene_path(SCENES, scene), Path(params.dataset.root))
        size = (settings.width, settings.height)
        blocks = project(
            source.xyz,
            described_frames(source.frames, segmenter, params.vocabulary, size, params.segmenters.batch),
            encoder.encode,
            tolerance=settings.tolerance,
            border=settings.border,
            # half of the memory for the sums in single precision; the model and its maps take the rest
            rows=max(1, int(self.memory / 2 / (4 * encoder.width))),
            spool=OUTPUT,
        )
        counts = []
        shape = len(source.xyz), encoder.width
        with store.Appending(group, "feature", shape, np.float16, keep_bits=store.FEATURE_BITS) as rows:
            for feature, count in blocks:
                rows.add(feature)
                counts.append(count)
        store.write(group, "count", np.concatenate(counts))


@functools.cache
def models(model: str, params: parameters.Params) -> tuple[Segmenter, TextEncoder]:
    """The 2D model and the text encoder, loaded once in each process."""
    return load_segmenter(model, params), load_text_encoder(params.text)


def main(model: str, params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Project the features of the 2D model MODEL onto the points of every scene."""
    settings = parameters.load(params)
    segmenter, encoder = models(model, settings)
    keys, size = store.keys(SCENES), (settings.projection.width, settings.projection.height)
    # no scene without the others: the answer that is added makes all of them new
    require_answers(segmenter, {scene: image_index.state(key, size) for scene, key in keys.items()})
    on_cpu = choose_device(settings.runtime.device).type == "cpu"
    workers = settings.runtime.workers if on_cpu else 1
    memory = settings.runtime.memory_gib * 2**30 / per_scene.worker_count(workers)
    if not on_cpu and settings.runtime.device_memory_gib:  # sums of a dense model are where its maps are
        memory = min(memory, settings.runtime.device_memory_gib * 2**30)
    return per_scene.run(
        Project(model, settings, memory),
        keys,
        OUTPUT / model,
        parameters={
            **parameters.plain(settings.projection),
            "segmenter": segmenter.version,
            "text": encoder.name,
            "vocabulary": settings.vocabulary,
        },
        version=VERSION,
        workers=workers,
        label=f"projection of {model}",
    )


app = command(main)

if __name__ == "__main__":
    app()
