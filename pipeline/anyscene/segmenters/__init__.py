"""2D open-vocabulary models behind one protocol.

`segmenters.names` lists models of two kinds: those that packages offer under the entry points
`anyscene.segmenters` (`entry.Entry`), and those that ran elsewhere, whose answers are in a folder with
precomputed.json (docs/precomputed.md). Answers in the folder of a registered model are used instead of that
model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import ConfigError, WeightsError
from anyscene.project import parameters
from anyscene.segmenters import captions as captioners
from anyscene.segmenters.entry import Entry
from anyscene.segmenters.precomputed import image_index
from anyscene.segmenters.protocol import CaptionMap, FeatureMap, Segmenter
from anyscene.weights import catalogue
from anyscene.weights.catalogue import ANSWERS

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

__all__ = [
    "REGISTRY",
    "CaptionMap",
    "Entry",
    "FeatureMap",
    "Segmenter",
    "answered",
    "entry",
    "find",
    "load_segmenter",
    "modules",
    "require_answers",
    "runs_elsewhere",
    "weights",
]

REGISTRY = parameters.Segmenters.ENTRIES
PRECOMPUTED = "anyscene.segmenters.precomputed.segmenter"


def entry(name: str) -> Entry:
    """The registered model `name`. Raises ConfigError where no package offers that name, or what it offers is
    not an Entry of that name."""
    found = REGISTRY.get(name)
    if not isinstance(found, Entry) or found.name != name:
        raise ConfigError(
            f"{REGISTRY.group}: {name!r} is {found!r}, wanted an Entry of that name; correct its package"
        )
    return found


def runs_elsewhere(name: str, section: Segmenters) -> bool:
    """Whether the answers of the model `name` are read from files, or will be, because no package offers
    it."""
    return answered(name, section) or name not in REGISTRY.names()


def load_segmenter(name: str, params: Params, captions: bool = True) -> Segmenter:
    """The 2D model that params.yaml calls `name`.

    captions: whether it will have to describe images; labels alone need no weights of a captioner. Raises
    ConfigError where no model has that name, WeightsError where weights cannot be loaded.
    """
    if answered(name, params.segmenters):
        segmenter = _precomputed(name, params, captions)
    else:
        _require_known(name, params.segmenters)
        segmenter = entry(name).load(params, captions)
    if params.segmenters.precision != "float32":  # with captions, of the captioner too
        segmenter.version += f"-{params.segmenters.precision}"
    return segmenter


def require_answers(segmenter: Segmenter, states: Mapping[str, str], index: Path = image_index.INDEX) -> None:
    """Raise DataError where `segmenter` ran elsewhere and lacks answers for images of `index`.

    states: the state (image_index.state) of each scene and class. Only the images that `index` notes in that
    state are looked for; the others are missed when they are asked for.
    """
    from anyscene.segmenters.precomputed.segmenter import PrecomputedSegmenter

    if isinstance(segmenter, PrecomputedSegmenter):
        segmenter.require(image_index.noted(index, states))


def weights(name: str, section: Segmenters, captions: bool = True) -> tuple[Path, ...]:
    """The files and folders that the model `name` reads, with those of its captioner if it has to give
    `captions`. Those of the text encoder are not among them."""
    if runs_elsewhere(name, section):
        own: tuple[Path, ...] = (Path(section.weights) / name,)
    else:
        own = tuple(entry(name).weights(section))
    asked = captions and _captioned(name, section)
    return (*own, *captioners.weights(section)) if asked else own


def modules(name: str, section: Segmenters, captions: bool = True) -> tuple[str, ...]:
    """The modules that make the answers of the model `name`, with that of its captioner if it has to give
    `captions`. What these modules import belongs to them."""
    own = PRECOMPUTED if runs_elsewhere(name, section) else entry(name).module
    asked = captions and _captioned(name, section)
    return (own, captioners.module(section)) if asked else (own,)


def find(name: str, params: Params) -> str:
    """Where the weights of the model `name` were found, as a text. Raises PipelineError that says what is
    missing and how to get it."""
    folder = Path(params.segmenters.weights) / name
    if answered(name, params.segmenters):
        return str(folder)
    if name in REGISTRY.names():
        return entry(name).find(params)
    remedy = "docs/segmenters.md says what belongs there"
    if name in (known.name for known in catalogue.CATALOGUE):
        remedy = catalogue.get(name).remedy
    empty = not folder.is_dir() or not any(folder.iterdir())
    raise WeightsError(f"{folder} {'is empty' if empty else f'holds no {ANSWERS}'}: {remedy}")


def _captioned(name: str, section: Segmenters) -> bool:
    if not runs_elsewhere(name, section):
        return entry(name).captioned
    from anyscene.segmenters.precomputed.segmenter import wants_captioner

    return answered(name, section) and wants_captioner(Path(section.weights) / name)


def answered(name: str, section: Segmenters) -> bool:
    """Whether the answers of the model `name` are there, as files from where it ran."""
    return (Path(section.weights) / name / ANSWERS).is_file()


def _require_known(name: str, section: Segmenters) -> None:
    if name not in REGISTRY.names():
        known = ", ".join(REGISTRY.names())
        raise ConfigError(
            f"segmenters.names: no 2D model is called {name!r}; known: {known}, and any whose answers lie in "
            f"{Path(section.weights) / name} (docs/precomputed.md)"
        )


def _precomputed(name: str, params: Params, captions: bool) -> Segmenter:
    from anyscene.segmenters.precomputed.segmenter import PrecomputedSegmenter, wants_captioner
    from anyscene.text import load_text_encoder

    folder = Path(params.segmenters.weights) / name
    captioner = captioners.load_captioner(params, captions and wants_captioner(folder))
    return PrecomputedSegmenter(name, folder, load_text_encoder(params.text), captioner)
