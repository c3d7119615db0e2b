"""Synthesised images -> data/capability/MODEL.json: how well a 2D model knows each class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from anyscene.capability.class_ids import class_id
from anyscene.capability.score import score
from anyscene.project import layout, outputs, store
from anyscene.project.device import Batches
from anyscene.project.parameters import Params
from anyscene.segmenters import answers, load_segmenter
from anyscene.segmenters.precomputed import image_index


def measure(model: str, params: Params) -> Path:
    """Write data/capability/MODEL.json, and return its path. It holds the IoU of the 2D model's masks with
    the pseudo masks for each class, by both recipes. Raises DataError, before any class, where a model that
    ran elsewhere lacks answers."""
    paths = {name: store.scene_path(layout.SYNTHESIS, name) for name in store.scene_ids(layout.SYNTHESIS)}
    states = {f"synthesis/{name}": image_index.state(store.key(path)) for name, path in paths.items()}
    answers(model, params.segmenters, states)  # all of them, before the first is used
    segmenter = load_segmenter(model, params, captions=False)
    scores: dict[str, list[float]] = {"pooled": [], "per_image_mean": []}
    batches = Batches(params.segmenters.batch, "segmenters.batch")
    names = (*params.vocabulary, *params.others)
    for index, name in enumerate(params.vocabulary):
        group = store.open_scene(store.scene_path(layout.SYNTHESIS, class_id(name)))
        images, pseudo = group["image"][:], group["mask"][:]
        labels = batches(lambda some: segmenter.label(some, names), images)
        predicted = np.concatenate(list(labels))
        for recipe, column in scores.items():
            column.append(score(pseudo, predicted == index, pooled=recipe == "pooled"))
    chosen = scores["pooled" if params.capability.pooled else "per_image_mean"]
    result = {
        "model": model,
        "vocabulary": params.vocabulary,
        "capability": chosen,
        **scores,
        "images": len(images),
    }
    path = layout.CAPABILITY / f"{model}.json"
    outputs.write(path, json.dumps(result, indent=2) + "\n")
    return path
