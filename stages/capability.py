"""Synthesised images -> data/capability/MODEL.json: the model's IoU with the pseudo masks, class by class."""

import json
from pathlib import Path

import numpy as np

from anyscene.capability import score
from anyscene.cli.command import command
from anyscene.project import parameters, store
from anyscene.project.device import Batches
from anyscene.segmenters import load_segmenter, require_answers
from anyscene.segmenters.precomputed import image_index

SYNTHESIS, OUTPUT = Path("data/synthesis"), Path("data/capability")


def main(model: str, params: Path = Path("params.yaml")) -> None:
    """Measure what the 2D model MODEL knows of every class of the vocabulary."""
    settings = parameters.load(params)
    segmenter = load_segmenter(model, settings, captions=False)
    keys = store.keys(SYNTHESIS)
    require_answers(segmenter, {f"synthesis/{name}": image_index.state(key) for name, key in keys.items()})
    scores = {"pooled": [], "per_image_mean": []}
    batches = Batches(settings.segmenters.batch, "segmenters.batch")
    for index, name in enumerate(settings.vocabulary):
        group = store.open_scene(store.scene_path(SYNTHESIS, name.replace(" ", "_")))
        images, pseudo = group["image"][:], group["mask"][:]
        labels = batches(lambda some: segmenter.label(some, settings.vocabulary), images)
        predicted = np.concatenate(list(labels))
        for recipe, column in scores.items():
            column.append(score.score(pseudo, predicted == index, pooled=recipe == "pooled"))
    chosen = scores["pooled" if settings.capability.pooled else "per_image_mean"]
    result = {
        "model": model,
        "vocabulary": settings.vocabulary,
        "capability": chosen,
        **scores,
        "images": len(images),
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f"{model}.json").write_text(json.dumps(result, indent=2) + "\n")


app = command(main)

if __name__ == "__main__":
    app()
