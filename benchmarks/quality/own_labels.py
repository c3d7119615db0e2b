"""python -m benchmarks.quality.own_labels [--write]: does a query find what is outside the vocabulary?

After `make demo`. A mask model without errors sees all rooms: the rendered masks, each with one of SEEM's
139 labels. Some things in these rooms have a label that is no name of the vocabulary (own_labels.csv). Their
labels are asked for, once with captions that say the closest name of the vocabulary, and once with captions
that say the model's own labels. The answer goes to docs/notes/own-labels.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from anyscene.arrays import I4, U1
from anyscene.lifting.projection import described_frames, lift
from anyscene.project import layout, parameters, store
from anyscene.project.caption_counts import CaptionCounts
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import CaptionNouns, Params
from anyscene.project.progress import progress
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.class_names import SEEM, names
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks
from anyscene.segmenters.precomputed.image_index import image_key
from anyscene.tasks.features import Features
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.text import TextEncoder, load_text_encoder
from anyscene_demo.rooms import CLASSES, KINDS, generate
from anyscene_demo.world import SPLITS, WORLD

OUTSIDE = Path(__file__).with_name("own_labels.csv")
PAGE, MARK = Path("docs/notes/own-labels.md"), "<!-- measured -->\n"
NOUNS: tuple[CaptionNouns, ...] = ("vocabulary", "own")  # before and after
LABELS = tuple(names(label)[0] for label in SEEM)
OTHERS = "others"  # what SEEM calls everything else
EVERY = 10**6  # groups: all of them have a rank


@dataclass(frozen=True)
class Asked:
    """A text that is asked for in a scene in which there is such a thing."""

    scene: str
    text: str
    rank: Mapping[tuple[CaptionNouns, By], int | None]  # of the first right group, from 1 on; None: none is


class TrueMasks(LabelledMaskModel):
    """Masks without errors."""

    name, labels = "true masks", LABELS

    def __init__(
        self, found: Mapping[str, NamedMasks], text: TextEncoder, template: str, nouns: CaptionNouns
    ) -> None:
        """found: the masks of each image, by its key."""
        self.captioner, self.nouns = ColourCaptioner(template), nouns
        self._found, self.text = found, text

    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        return (self._found[image_key(image)] for image in images)


def outside() -> dict[str, str]:
    """Pieces of furniture that are outside the vocabulary -> their labels."""
    with OUTSIDE.open(newline="", encoding="utf-8") as file:
        return {row["model"]: row["label"] for row in csv.DictReader(file)}


def labels_of(scene: str, params: Params) -> dict[int, str]:
    """The label of each instance of a room, which is generated again."""
    split, index = scene.split("_")
    seed = [WORLD, params.world.seed, list(SPLITS).index(split), int(index)]
    room = generate(np.random.default_rng(seed), SPLITS[split], KINDS[int(index) % len(KINDS)])
    asked, found = outside(), {}
    for placed in room.placed:
        own = placed.model.class_name if placed.model.class_name in LABELS else OTHERS
        found[placed.instance] = asked.get(placed.model.name, own)
    return found


def true_masks(folder: Path, label: Mapping[int, str]) -> dict[str, NamedMasks]:
    """The masks of each frame of a room, by the key of its image. Walls and floors have no instance; their
    class is that of the rendered frame."""
    found = {}
    for path in sorted((folder / "color").iterdir()):
        with (
            Image.open(path) as color,
            Image.open(folder / "truth/frame_instance" / path.name) as of,
            Image.open(folder / "truth/frame" / path.name) as kinds,
        ):
            image, instance, kind = np.array(color), np.array(of).astype(np.int64), np.array(kinds)
        number = np.where(instance > 0, instance, -1 - kind.astype(np.int64))
        there, owner = np.unique(number, return_inverse=True)
        said = [label[one] if one > 0 else _of_class(-1 - one) for one in there.tolist()]
        owned: I4 = owner.reshape(number.shape).astype(np.int32)
        found[image_key(image)] = NamedMasks(owned, np.array([LABELS.index(one) for one in said]))
    return found


def _of_class(kind: int) -> str:
    name = CLASSES[kind] if kind < len(CLASSES) else "ceiling"  # which the world labels as nothing
    return name if name in LABELS else OTHERS


def ranks(scene: str, params: Params, texts: Texts, encoder: TextEncoder) -> Iterator[Asked]:
    """What is asked for in a scene, and where it is found."""
    label = labels_of(scene, params)
    raw = Path(params.dataset.root) / scene
    instance = np.load(raw / "truth/vertex_instance.npy", allow_pickle=False)
    found = true_masks(raw, label)
    surface, sessions = Surface.read(Artefacts(), scene), {}
    for nouns in NOUNS:
        model = TrueMasks(found, encoder, params.text.template, nouns)
        seen_by_it = features(scene, params, model, encoder)
        sessions[nouns] = Session.of(surface, seen_by_it, texts.classes)
    for text in sorted(set(outside().values()) - set(params.vocabulary)):
        numbers = [number for number, own in label.items() if own == text]
        right = np.isin(instance, numbers)
        if not (right & seen_by_it.valid).any():
            continue
        rank = {
            (nouns, by): _rank(session, encoder, text, by, right)
            for nouns, session in sessions.items()
            for by in By
        }
        yield Asked(scene, text, rank)


def features(scene: str, params: Params, model: TrueMasks, encoder: TextEncoder) -> Features:
    """The features of the points of a scene by a mask model, as the stage `projection` forms them."""
    source = store.read_scene(store.scene_path(layout.SCENES, scene), Path(params.dataset.root))
    settings = params.projection
    described = described_frames(
        source.frames, model, params.vocabulary, (settings.width, settings.height), params.segmenters.batch
    )
    lifted = lift(source.xyz, described, encoder.encode, tolerance=settings.tolerance, border=settings.border)
    assert isinstance(lifted, CaptionCounts)
    mean, count = lifted.means(0, len(source.xyz))
    return Features(model.name, model.name, mean, None, count > 0)


def _rank(session: Session, encoder: TextEncoder, text: str, by: By, right: np.ndarray) -> int | None:
    """The rank of the first group of which most points are `right` b1[N]."""
    for rank, match in enumerate(session.ask(encoder, text, (), EVERY, by).matches, 1):
        if right[np.isin(session.superpoint, match.superpoints)].mean() > 0.5:
            return rank
    return None


def table(asked: Sequence[Asked]) -> str:
    """Markdown: of all that is asked, how much is found at which rank; then each text."""
    lines = [
        "| captions say | compared by | first | among three | median rank | never |",
        "|---|---|---|---|---|---|",
    ]
    for nouns in NOUNS:
        for by in By:
            found = [np.inf if one.rank[nouns, by] is None else one.rank[nouns, by] for one in asked]
            rank = np.array(found, float)
            middle = np.median(rank)
            lines.append(
                f"| {nouns} | {by} | {(rank == 1).sum()} of {len(rank)} | {(rank <= 3).sum()} | "
                f"{'never' if np.isinf(middle) else f'{middle:g}'} | {np.isinf(rank).sum()} |"
            )
    lines += ["", "| text | rooms | first, by vocabulary | first, by own |", "|---|---|---|---|"]
    for text in sorted({one.text for one in asked}):
        rank = [one.rank for one in asked if one.text == text]
        first = [sum(of[nouns, By.both] == 1 for of in rank) for nouns in NOUNS]
        lines.append(f"| {text} | {len(rank)} | {first[0]} | {first[1]} |")
    return "\n".join(lines) + "\n"


def main(write: Annotated[bool, typer.Option(help=f"the tables into {PAGE}")] = False) -> None:
    """Find what is outside the vocabulary, before and after."""
    params = parameters.load()
    encoder = load_text_encoder(params.text)
    texts = Texts.of(params, encoder)
    scenes = sorted(store.keys(layout.SCENES))
    asked: list[Asked] = []
    with progress("own labels", len(scenes)) as advance:
        for scene in scenes:
            asked += ranks(scene, params, texts, encoder)
            advance(scene)
    text = table(asked)
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
    if write:
        head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
        PAGE.write_text(head + mark + text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
