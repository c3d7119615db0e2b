"""Published models in transformers' form, from files in a local folder. Nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anyscene.errors import WeightsError
from anyscene.weights import catalogue, reading

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def require_intact(folder: Path, files: Sequence[str]) -> None:
    """Raise WeightsError where one of `files` in `folder` is not what was published or noted."""
    for file in files:
        reading.intact(folder / file)


def read_json(file: Path, source: str) -> dict[str, Any]:
    """The object in a file of settings. Raises WeightsError where it is damaged. source: where to get it, for
    the message."""
    again = f"; get it again from {source}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: not readable ({error}){again}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{file}: wanted an object{again}")
    return content


def description(folder: Path, kinds: Sequence[str], source: str) -> dict[str, Any]:
    """The content of config.json in `folder`. Raises WeightsError where it does not describe one of
    `kinds`."""
    file = folder / "config.json"
    config = read_json(file, source)
    found = config.get("model_type")
    if found not in kinds:
        raise WeightsError(
            f"{file}: describes a {found!r} model, wanted {kinds[0]}; get it again from {source}"
        )
    return config


@contextmanager
def whole(folder: Path, source: str) -> Iterator[None]:
    """A context that turns whatever a library raises into WeightsError. For broken folders these are many
    kinds."""
    try:
        yield
    except Exception as error:
        raise WeightsError(
            f"{folder}: damaged weights ({error}); get the folder again from {source}"
        ) from error


def try_out(prepare: Any, folder: Path, source: str) -> None:
    """Give the image processor `prepare` a black image. Raises WeightsError where it fails: most of its wrong
    settings would only show at the first frame of a scene."""
    black = np.zeros((48, 64, 3), np.uint8)
    with whole(folder, source):
        inputs = prepare(images=[black], input_data_format="channels_last", return_tensors="pt")
        if not inputs["pixel_values"].isfinite().all():
            raise ValueError("image_std or image_mean make pixels NaN or infinite")


def network(kind: Any, folder: Path, source: str, config: Any = None) -> PreTrainedModel:
    """A model of the class `kind` with the weights in `folder`, for inference.

    config: used in the place of the folder's. Raises WeightsError where it cannot be loaded.
    """
    with whole(folder, source):
        loaded, report = kind.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    if report["missing_keys"]:  # transformers would continue with random values
        raise WeightsError(
            f"{folder / catalogue.TENSORS}: weights of another architecture: "
            f"{min(report['missing_keys'])} is missing; get the folder again from {source}"
        )
    return loaded.eval().requires_grad_(False)


def part(kind: Any, folder: Path, source: str) -> Any:
    """A tokenizer or image processor of the class `kind` from `folder`. Raises WeightsError where it cannot
    be loaded."""
    with whole(folder, source):
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
