"""python -m benchmarks.quality.queries [--write]: do phrases find classes? -> docs/queries.md."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from anyscene import datasets
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.progress import progress
from anyscene.tasks.query import groups
from anyscene.tasks.query.session import By, Session, Unit, open_scene
from anyscene.text import TextEncoder, embeddings, load_text_encoder

PHRASES, TABLE, TOP = Path(__file__).with_name("queries.csv"), Path("docs/queries.md"), 3
SETS, SOURCES = ("first", "second", "third"), ("ensembling", "fusion", "annotation")


def phrases() -> list[tuple[str, str, list[str]]]:
    """(set, text, classes any of which is right)."""
    with PHRASES.open(newline="") as file:
        return [(row["set"], row["text"], row["classes"].split("|")) for row in csv.DictReader(file)]


def annotated(searched: Session, label: np.ndarray, prompts: np.ndarray) -> Session:
    """The same scene with perfect features: each annotated point has the embedding [C] of its class."""
    feature, valid = prompts[np.maximum(label, 0)], label >= 0
    known = np.where(valid[:, None], feature @ searched.classes.name.T, np.nan)
    pair = groups.touching(searched.superpoint, searched.xyz, searched.face)
    shown = groups.classes(known, searched.superpoint)
    joined = groups.objects(shown, pair)
    return replace(searched, feature=feature, valid=valid, known=known, group=joined, shown=shown)


def hits(
    searched: Session, label: np.ndarray, encoder: TextEncoder, names: tuple[str, ...], by: By
) -> Iterator[tuple[str, str, bool]]:
    """(set, text, found): whether most points of one of the TOP groups are of a right class, for the phrases
    that have one in the scene."""
    present = set(label[label >= 0].tolist())
    for name, text, classes in phrases():
        right = [names.index(one) for one in classes]
        if not present.intersection(right):
            continue
        matches = searched.ask(encoder, text, (), TOP, by).matches
        shown = [label[np.isin(searched.superpoint, match.superpoints)] for match in matches]
        majority = [np.bincount(one[one >= 0], minlength=len(names)).argmax() for one in shown]
        yield name, text, bool(set(majority) & set(right))


def measure(params: Path) -> dict[tuple[str, str, By, Unit], dict[str, list[bool]]]:
    """Hits, one for each scene, by (set, source, by, unit) and text."""
    settings, artefacts = parameters.load(params), Artefacts(params.parent)
    encoder, label_set = load_text_encoder(settings.text), datasets.label_set(settings.dataset.label_set)
    prompts = embeddings(encoder, label_set.prompts, settings.text.template)
    found: dict = defaultdict(lambda: defaultdict(list))
    scenes = store.split_ids(artefacts.data("scenes"), settings.evaluation.split)
    with progress("queries", len(scenes)) as advance:
        for scene in scenes:
            label = store.open_scene(store.scene_path(artefacts.data("labels"), scene))["label"][:]
            label = label.astype(np.int64)
            for source in SOURCES:
                asked = "fusion" if source == "annotation" else source
                joined = open_scene(artefacts, scene, settings, encoder, asked, Unit.object)
                if source == "annotation":
                    joined = annotated(joined, label, prompts)
                single = replace(joined, group=np.arange(len(joined.group)))
                for unit, searched in ((Unit.object, joined), (Unit.superpoint, single)):
                    for by in By:
                        for name, text, hit in hits(searched, label, encoder, label_set.names, by):
                            found[name, source, by, unit][text].append(hit)
            advance(scene)
    return found


def table(found: dict[tuple[str, str, By, Unit], dict[str, list[bool]]]) -> str:
    """Markdown: share of phrases and scenes with a hit, then phrase by phrase as the command does it."""
    lines = [
        "| features | compared by | ranked | first set | second set | third set |",
        "|---|---|---|---|---|---|",
    ]
    for source in SOURCES:
        for by in By:
            for unit in Unit:
                cells = " | ".join(_share(found[name, source, by, unit]) for name in SETS)
                lines.append(f"| {source} | {by} | {unit}s | {cells} |")
    lines += ["", "| phrase | right | ensembling | fusion | annotation |", "|---|---|---|---|---|"]
    for name, text, classes in phrases():
        rows = [found[name, source, By.both, Unit.object].get(text, []) for source in SOURCES]
        if rows[0]:
            cells = " | ".join(f"{sum(row)} of {len(row)}" for row in rows)
            lines.append(f"| {text} | {', '.join(classes)} | {cells} |")
    return "\n".join(lines) + "\n"


def _share(of_texts: dict[str, list[bool]]) -> str:
    every = [hit for hits_of in of_texts.values() for hit in hits_of]
    return f"{100 * np.mean(every):.0f} % of {len(every)}"


def main(arguments: list[str]) -> None:
    text = table(measure(Path("params.yaml")))
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
    if arguments == ["--write"]:
        head, mark, _ = TABLE.read_text().partition("<!-- measured -->\n")
        TABLE.write_text(head + mark + text)


if __name__ == "__main__":
    main(sys.argv[1:])
