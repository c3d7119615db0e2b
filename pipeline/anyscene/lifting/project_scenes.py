"""Scenes -> data/projection/MODEL: the feature of a 2D model at every point, as its mean over the frames."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene.lifting.projection import described_frames, lift
from anyscene.project import layout, per_scene, store
from anyscene.project.caption_counts import CaptionCounts
from anyscene.project.device import choose_device
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, plain
from anyscene.segmenters import (
    Segmenter,
    answers,
    captioned,
    has_own_labels,
    load_segmenter,
    looks_at_template,
    looks_at_vocabulary,
    on_device,
)
from anyscene.segmenters.precomputed import image_index
from anyscene.text import TextEncoder, load_text_encoder


@dataclass(frozen=True)
class Project:
    """Writes the mean of a 2D model's features over the frames that see a point, and the number of these
    frames; of a mask model the captions of a point, of which that mean is formed."""

    model: str
    params: Params
    memory: float  # bytes that one process may use
    names: tuple[str, ...] = ()  # the vocabulary, for a model whose captions say its names

    def __call__(self, scene: str, group: zarr.Group) -> None:
        params, settings = self.params, self.params.projection
        segmenter, encoder = models(self.model, params)
        source = store.read_scene(store.scene_path(layout.SCENES, scene), Path(params.dataset.root))
        size, batch = (settings.width, settings.height), params.segmenters.batch
        lifted = lift(
            source.xyz,
            described_frames(source.frames, segmenter, self.names, size, batch, resize=settings.resize),
            encoder.encode,
            tolerance=settings.tolerance,
            border=settings.border,
            # half of the memory for the sums in single precision; the model and its maps take the rest
            rows=max(1, int(self.memory / 2 / (4 * encoder.width))),
            spool=layout.PROJECTION,
        )
        if isinstance(lifted, CaptionCounts):
            store.write_counts(group, lifted)
            return
        counts = []
        shape = len(source.xyz), encoder.width
        with store.features(group, "feature", shape, settings.store == "axes", layout.PROJECTION) as rows:
            for feature, count in lifted:
                rows.add(feature)
                counts.append(count)
        store.write(group, "count", np.concatenate(counts))


@functools.cache
def models(model: str, params: Params) -> tuple[Segmenter, TextEncoder]:
    """The 2D model and the text encoder. A process loads them once."""
    return load_segmenter(model, params), load_text_encoder(params.text)


def project_scenes(model: str, params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/projection/MODEL up to date. Raises DataError, before any scene, where a model that ran
    elsewhere lacks answers, and ScenesFailed after all scenes were tried."""
    section = params.segmenters
    # of a model that does not look at it, another vocabulary leaves the projections as they are
    named = params.vocabulary if looks_at_vocabulary(model, section) else ()
    on_gpu = on_device(model, section) and choose_device(params.runtime.device).type != "cpu"
    workers = 1 if on_gpu else params.runtime.workers
    memory = params.runtime.memory_gib * 2**30 / per_scene.worker_count(workers)
    if on_gpu and params.runtime.device_memory_gib:  # a dense model's sums are on the device of its maps
        memory = min(memory, params.runtime.device_memory_gib * 2**30)

    def loaded() -> Project:
        models(model, params)  # so that broken weights are one error and not one for every scene
        return Project(model, params, memory, named)

    return per_scene.run(
        per_scene.Later(loaded),
        _keys(model, params),
        layout.PROJECTION / model,
        parameters={
            **plain(params.projection),
            "precision": section.precision,
            "captioner": section.captioner if captioned(model, section) else None,
            "text": params.text.encoder,
            "vocabulary": named,
            "nouns": section.nouns if has_own_labels(model, section) else None,
            "template": params.text.template if looks_at_template(model, section) else None,
        },
        fresh=fresh,
        workers=workers,
        failures=params.runtime.failures,
        label=f"projection of {model}",
    )


def _keys(model: str, params: Params) -> store.Keys:
    """The content key of each scene, with the answers to its frames where the model ran elsewhere. Raises
    DataError where answers are missing."""
    keys = store.keys(layout.SCENES)
    there = {scene: key for scene, key in keys.items() if isinstance(key, str)}
    states = {scene: image_index.state(key, params.projection) for scene, key in there.items()}
    said = answers(model, params.segmenters, states)
    return keys if said is None else keys | per_scene.join(scenes=there, answers=said)
