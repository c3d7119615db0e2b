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
from anyscene.segmenters.precomputed import description, image_index
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
    "answers",
    "captioned",
    "entry",
    "find",
    "has_own_labels",
    "load_segmenter",
    "looks_at_template",
    "looks_at_vocabulary",
    "modules",
    "on_device",
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
        return _precomputed(name, params, captions)
    _require_known(name, params.segmenters)
    return entry(name).load(params, captions)


def answers(
    name: str, section: Segmenters, states: Mapping[str, str], index: Path = image_index.INDEX
) -> dict[str, str] | None:
    """A digest of the answers to the images of each scene or class, where the model `name` ran elsewhere;
    None where it runs here.

    states: the state (image_index.state) of each scene and class. Where `index` does not note the images of
    one in that state, its digest is that of all answers. Raises DataError where answers to noted images are
    missing; the others are missed when they are asked for.
    """
    if not answered(name, section):
        return None
    from anyscene.segmenters.precomputed import segmenter

    folder, noted = Path(section.weights) / name, image_index.noted(index, states)
    segmenter.require(name, folder, noted)
    return segmenter.digests(folder, noted, states)


def weights(name: str, section: Segmenters, captions: bool = True, answers: bool = True) -> tuple[Path, ...]:
    """The files and folders that the model `name` reads, with those of its captioner if it has to give
    `captions`. Those of the text encoder are not among them.

    answers: with the answers of a model that ran elsewhere; else only with their description."""
    if runs_elsewhere(name, section):
        folder = Path(section.weights) / name
        own: tuple[Path, ...] = (folder if answers or not answered(name, section) else folder / ANSWERS,)
    else:
        own = tuple(entry(name).weights(section))
    asked = captions and captioned(name, section)
    return (*own, *captioners.weights(section)) if asked else own


def modules(name: str, section: Segmenters, captions: bool = True) -> tuple[str, ...]:
    """The modules that make the answers of the model `name`, with that of its captioner if it has to give
    `captions`. What these modules import belongs to them."""
    own = PRECOMPUTED if runs_elsewhere(name, section) else entry(name).module
    asked = captions and captioned(name, section)
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


def looks_at_template(name: str, section: Segmenters) -> bool:
    """Whether how the model `name` describes images depends on the template, as captions of masks do. Others
    place pixels in text space."""
    if not runs_elsewhere(name, section):
        return entry(name).looks_at_vocabulary
    return answered(name, section) and description.are_masks(Path(section.weights) / name)


def looks_at_vocabulary(name: str, section: Segmenters) -> bool:
    """Whether how the model `name` describes images depends on the vocabulary, as captions of masks do that
    say its names."""
    own = section.nouns == "own" and has_own_labels(name, section)
    return looks_at_template(name, section) and not own


def has_own_labels(name: str, section: Segmenters) -> bool:
    """Whether the masks of the model `name` have labels of its own, as those of files always have."""
    if not runs_elsewhere(name, section):
        return entry(name).own_labels
    return looks_at_template(name, section)


def captioned(name: str, section: Segmenters) -> bool:
    """Whether the masks of the model `name` are described by `segmenters.captioner`."""
    if not runs_elsewhere(name, section):
        return entry(name).captioned
    return answered(name, section) and description.wants_captioner(Path(section.weights) / name)


def on_device(name: str, section: Segmenters) -> bool:
    """Whether the model `name`, or the captioner that describes its masks, is computed on `runtime.device`.
    Answers that are read from files are not."""
    own = not runs_elsewhere(name, section) and entry(name).on_device
    return own or (captioned(name, section) and captioners.on_device(section))


def answered(name: str, section: Segmenters) -> bool:
    """Whether the answers of the model `name` are there, as files from where it ran."""
    return (Path(section.weights) / name / ANSWERS).is_file()


def _require_known(name: str, section: Segmenters) -> None:
    if name not in REGISTRY.names():
        known = ", ".join(REGISTRY.names())
        raise ConfigError(
            f"segmenters.names: no 2D model is called {name!r}; known: {known}, and any whose answers lie in "
            f"{Path(section.weights) / name} (`anyscene convert --help`)"
        )


def _precomputed(name: str, params: Params, captions: bool) -> Segmenter:
    from anyscene.segmenters.precomputed.segmenter import load
    from anyscene.text import load_text_encoder

    folder = Path(params.segmenters.weights) / name
    captioner = captioners.load_captioner(params, captions and description.wants_captioner(folder))
    return load(name, folder, load_text_encoder(params.text), captioner, params.segmenters.nouns)
