"""python -m benchmarks.quality.queries [--write]: do phrases that name no class find it? The
answer goes to docs/notes/queries.md."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.progress import progress
from anyscene.tasks import sources
from anyscene.tasks.features import Features
from anyscene.tasks.query.groups import Unit
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.text import TextEncoder, load_text_encoder

PHRASES, TABLE, TOP = Path(__file__).with_name("queries.csv"), Path("docs/notes/queries.md"), 3
SETS, ANNOTATION = ("first", "second", "third"), "annotation"

Hits = dict[tuple[str, str, By, Unit], dict[str, list[bool]]]  # by (set, source, by, unit) and text


def phrases() -> list[tuple[str, str, list[str]]]:
    """(set, text, right classes): any one of the classes is right."""
    with PHRASES.open(newline="") as file:
        return [(row["set"], row["text"], row["classes"].split("|")) for row in csv.DictReader(file)]


def annotated(label: np.ndarray, prompts: np.ndarray) -> Features:
    """Perfect features: the feature of each annotated point is the embedding [C] of its class."""
    return Features(ANNOTATION, ANNOTATION, prompts, np.maximum(label, 0), label >= 0)


def hits(
    session: Session, label: np.ndarray, encoder: TextEncoder, names: tuple[str, ...], by: By
) -> Iterator[tuple[str, str, bool]]:
    """(set, text, found) for the phrases that have a right class in the scene. found: whether most points of
    one of the TOP groups are of a right class."""
    present = set(label[label >= 0].tolist())
    for name, text, classes in phrases():
        right = [names.index(one) for one in classes]
        if not present.intersection(right):
            continue
        matches = session.ask(encoder, text, (), TOP, by).matches
        shown = [label[np.isin(session.superpoint, match.superpoints)] for match in matches]
        majority = [np.bincount(one[one >= 0], minlength=len(names)).argmax() for one in shown]
        yield name, text, bool(set(majority) & set(right))


def measure(params: Path) -> Hits:
    """Hits of each scene, with the features of the most refined network, of fusion and of the annotation."""
    settings, artefacts = parameters.load(params), Artefacts(params.parent)
    encoder = load_text_encoder(settings.text)
    texts, found = Texts.of(settings, encoder), defaultdict(lambda: defaultdict(list))
    scenes = store.split_ids(artefacts.data("scenes"), settings.evaluation.split)
    with progress("queries", len(scenes)) as advance:
        for scene in scenes:
            label = store.open_scene(store.scene_path(artefacts.data("labels"), scene))["label"][:]
            label, surface = label.astype(np.int64), Surface.read(artefacts, scene)
            asked = dict.fromkeys((sources.default(artefacts), sources.FUSION))
            compared = [sources.of_scene(artefacts, scene, source) for source in asked]
            for features in (*compared, annotated(label, texts.prompts)):
                joined = Session.of(surface, features, texts.classes)
                single = replace(joined, group=np.arange(len(joined.group)))
                for unit, session in ((Unit.object, joined), (Unit.superpoint, single)):
                    for by in By:
                        for name, text, hit in hits(session, label, encoder, texts.label_set.names, by):
                            found[name, features.name, by, unit][text].append(hit)
            advance(scene)
    return found


def table(found: Hits) -> str:
    """Markdown: the share of phrases and scenes with a hit, then each phrase, compared as `anyscene query`
    does by default."""
    compared = list(dict.fromkeys(source for _, source, _, _ in found))
    lines = [
        "| features | compared by | ranked | first set | second set | third set |",
        "|---|---|---|---|---|---|",
    ]
    for source in compared:
        for by in By:
            for unit in Unit:
                cells = " | ".join(_share(found[name, source, by, unit]) for name in SETS)
                lines.append(f"| {source} | {by} | {unit}s | {cells} |")
    lines += ["", f"| phrase | right | {' | '.join(compared)} |", f"|---|---|{'---|' * len(compared)}"]
    for name, text, classes in phrases():
        rows = [found[name, source, By.both, Unit.object].get(text, []) for source in compared]
        if rows[0]:
            cells = " | ".join(f"{sum(row)} of {len(row)}" for row in rows)
            lines.append(f"| {text} | {', '.join(classes)} | {cells} |")
    return "\n".join(lines) + "\n"


def _share(of_texts: dict[str, list[bool]]) -> str:
    every = [hit for hits_of in of_texts.values() for hit in hits_of]
    return f"{100 * np.mean(every):.0f} % of {len(every)}"


def main(arguments: list[str]) -> None:
    text = table(measure(layout.PARAMETERS))
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
    if arguments == ["--write"]:
        head, mark, _ = TABLE.read_text().partition("<!-- measured -->\n")
        TABLE.write_text(head + mark + text)


if __name__ == "__main__":
    main(sys.argv[1:])
