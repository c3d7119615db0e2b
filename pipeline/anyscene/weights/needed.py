"""The published weights that parameters name."""

from __future__ import annotations

from pathlib import Path

from anyscene.project.parameters import Params
from anyscene.weights import catalogue
from anyscene.weights.catalogue import PublishedWeights


def of(params: Params) -> list[PublishedWeights]:
    """The entries of the catalogue that `params` names: 2D models, captioner, text encoder, text-to-image
    model and SAM, in this order. A model that ran elsewhere needs none once its answers are there."""
    section = params.segmenters
    models = [
        name for name in section.names if not (Path(section.weights) / name / catalogue.ANSWERS).is_file()
    ]
    named = [entry for name in (*models, section.captioner) if (entry := _called(name)) is not None]
    paths = (params.text.file, Path(params.synthesis.diffusion), Path(params.synthesis.sam))
    named += [entry for path in paths if path is not None and (entry := catalogue.entry_of(path))]
    return list(dict.fromkeys(named))


def _called(name: str) -> PublishedWeights | None:
    return next((entry for entry in catalogue.CATALOGUE if entry.name == name), None)
