"""python -m benchmarks.quality.glosses SCANNET MATTERPORT NOUNS: writes the glosses of classes to
pipeline/anyscene/text/wordnet/.

SCANNET is scannetv2-labels.combined.tsv, MATTERPORT is category_mapping.tsv, and NOUNS is the file data.noun
of WordNet 3.0 (Debian: wordnet-base). Both tables name a synset of WordNet for most of their categories.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from anyscene.datasets import label_set
from anyscene.text.glosses import FILE

SETS = ("scannet20", "scannet200", "nyu40", "matterport21", "matterport40", "matterport80", "matterport160")
COLUMNS = ("raw_category", "category")  # the closest name first; further columns join what is not the same
INSTEAD = {  # for names of which a table is wrong
    "pot": "n03991062",  # as in Matterport3D's table; ScanNet's table says a sleeping bag
    "toilet": "n04446521",  # the fixture, which is what is annotated; both tables say the room
}


def definitions(nouns: Path) -> dict[str, str]:
    """The definitions of synsets in a file in the form of wndb(5WN), without examples. A key is "n" and the
    synset's offset."""
    lines = (line for line in nouns.read_text().splitlines() if not line.startswith(" "))  # the licence
    return {f"n{line[:8]}": line.partition(" | ")[2].partition('; "')[0].strip() for line in lines}


def identifiers(tables: list[Path]) -> dict[str, str]:
    """The synset of each name: that of the first table with the name, under the closest of its headings."""
    found: dict[str, str] = {}
    for table in tables:
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["wnsynsetid"]]
        for column in COLUMNS:
            for row in rows:
                found.setdefault(row[column], row["wnsynsetid"])
    return found | INSTEAD


def rows(tables: list[Path], nouns: Path) -> Iterator[tuple[str, str, str]]:
    """(class, synset, gloss) of every class of the indoor label sets that has a synset, sorted by name."""
    identifier, known = identifiers(tables), definitions(nouns)
    for name in sorted({name for one in SETS for name in label_set(one).names}):
        if name in identifier:
            yield name, identifier[name], known[identifier[name]]


def main(arguments: list[str]) -> None:
    if len(arguments) != 3:
        sys.exit(__doc__)
    *tables, nouns = map(Path, arguments)
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "synset", "gloss"))
        writer.writerows(rows(tables, nouns))


if __name__ == "__main__":
    main(sys.argv[1:])
