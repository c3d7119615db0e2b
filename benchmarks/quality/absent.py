"""python -m benchmarks.quality.absent [--write]: does a score tell whether a thing is in the scene at all?

After `make demo`. Texts are asked in every evaluation room of the demo, whether the room has what they mean
or not. The score of the best group then has to tell rooms and texts apart. The answer is the area under the
ROC curve: how often the score of what is there exceeds the score of what is not; 50 % is chance.
`--write` puts the table into docs/notes/queries.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from sklearn.metrics import roc_auc_score

from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.progress import progress
from anyscene.tasks import sources
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.text import load_text_encoder
from benchmarks.quality.queries import phrases

PAGE = Path("docs/notes/queries.md")
MARK, END = "<!-- absent -->\n", "<!-- /absent -->\n"
NAMES, PHRASES, NOWHERE = "names of classes", "phrases", "things that no room has"
NONE = (
    *("a dinosaur", "a horse", "an aeroplane", "a swimming pool", "a motorcycle", "a tree", "a fire truck"),
    *("a traffic light", "a cow in a meadow", "a sailing boat", "a volcano", "a giraffe", "a rifle"),
    *("a bowl of soup", "the ocean", "a grand piano", "a bicycle", "a laptop computer", "a Christmas tree"),
    "a washing machine",
)

Best = dict[tuple[str, By, str, bool], list[float]]  # scores by (source, by, kind of text, is it there)


def texts(names: tuple[str, ...]) -> Iterator[tuple[str, str, set[str]]]:
    """(kind, text, classes of which any is right)."""
    yield from ((PHRASES, text, set(classes)) for _, text, classes in phrases())
    yield from ((NAMES, f"a {name}", {name}) for name in names)
    yield from ((NOWHERE, text, set()) for text in NONE)


def measure(params: Path) -> Best:
    """The score of the best group for each text in each room, with a network's features and fused ones."""
    settings, artefacts = parameters.load(params), Artefacts(params.parent)
    encoder = load_text_encoder(settings.text)
    classes = Texts.of(settings, encoder)
    names, found = classes.label_set.names, defaultdict(list)
    scenes = store.split_ids(artefacts.data("scenes"), settings.evaluation.split)
    with progress("absent", len(scenes)) as advance:
        for scene in scenes:
            label = store.open_scene(store.scene_path(artefacts.data("labels"), scene))["label"][:]
            there, surface = (
                {names[row] for row in set(label[label >= 0].tolist())},
                Surface.read(artefacts, scene),
            )
            for source in dict.fromkeys((sources.default(artefacts), sources.FUSION)):
                session = Session.of(surface, sources.of_scene(artefacts, scene, source), classes.classes)
                for kind, text, right in texts(names):
                    for by in By:
                        best = session.ask(encoder, text, (), 1, by).matches[0].score
                        found[source, by, kind, bool(right & there)].append(best)
            advance(scene)
    return found


def table(found: Best) -> str:
    """Markdown: how often the better score belongs to what is there."""
    lines = [
        f"| features | compared by | {NAMES} | {PHRASES} | {PHRASES} against {NOWHERE} |",
        "|---|---|---|---|---|",
    ]
    for source in dict.fromkeys(key[0] for key in found):
        for by in By:
            there = {kind: found[source, by, kind, True] for kind in (NAMES, PHRASES)}
            pairs = (
                (there[NAMES], found[source, by, NAMES, False]),
                (there[PHRASES], found[source, by, PHRASES, False]),
                (there[PHRASES], found[source, by, NOWHERE, False]),
            )
            lines.append(f"| {source} | {by} | {' | '.join(_share(*pair) for pair in pairs)} |")
    return "\n".join(lines) + "\n"


def _share(there: list[float], absent: list[float]) -> str:
    truth = np.repeat([True, False], [len(there), len(absent)])
    area = roc_auc_score(truth, [*there, *absent])
    return f"{100 * area:.0f} % ({len(there)}, {len(absent)})"


def main(write: Annotated[bool, typer.Option(help=f"the table into {PAGE}")] = False) -> None:
    """Measure whether scores tell what is there from what is not."""
    text = table(measure(layout.PARAMETERS))
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
    if write:
        head, _, rest = PAGE.read_text().partition(MARK)
        PAGE.write_text(head + MARK + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    typer.run(main)
