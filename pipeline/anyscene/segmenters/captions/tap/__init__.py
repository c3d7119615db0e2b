"""TAP, the captioner of SAS: where its weights are, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import WeightsError
from anyscene.segmenters.entry import device_of
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters
    from anyscene.segmenters.captions.tap.captioner import TapCaptioner

NAME = "tap"  # of its weights in the catalogue
TOKENIZER = "text_tokenizer.model"
FILES = tuple(
    file.name
    for entry in catalogue.CATALOGUE
    if entry.folder == NAME
    for file in entry.files
    if file.name != TOKENIZER
)
SOURCE = catalogue.get(NAME).source
ON_DEVICE = True


def weights(section: Segmenters) -> Sequence[Path]:
    """The folder of TAP."""
    return (Path(section.weights) / NAME,)


def find(section: Segmenters) -> str:
    """Where TAP's checkpoint was found. Raises WeightsError that says which file is missing and where to get
    it."""
    return str(checkpoint(*weights(section)))


def load(params: Params) -> TapCaptioner:
    """TAP on the device of `params`. Raises WeightsError where it cannot be loaded."""
    (folder,) = weights(params.segmenters)
    checkpoint(folder)  # before packages are imported
    from anyscene.segmenters.captions.tap.captioner import TapCaptioner

    return TapCaptioner.load(folder, device_of(params), params.segmenters.precision, params.text.template)


def checkpoint(folder: Path) -> Path:
    """The checkpoint in `folder`, or its copy in safetensors. Raises WeightsError that says how to get one,
    and where there are several."""
    names = [name for file in FILES for name in (file, str(Path(file).with_suffix(".safetensors")))]
    found = [folder / name for name in names if (folder / name).is_file()]
    missing = folder / (TOKENIZER if found else FILES[0])
    if not found or not missing.is_file():
        raise WeightsError(
            f"{missing}: no such weights; get {TOKENIZER} and one of {', '.join(FILES)} from {SOURCE} and "
            "put them there (`anyscene weights fetch tap`), or go on without: set `segmenters.captioner: "
            "colour`"
        )
    if len(found) > 1:
        raise WeightsError(
            f"{folder}: holds {', '.join(str(file.relative_to(folder)) for file in found)}; keep the one to "
            "use, and move the others away"
        )
    return found[0]
