"""Places in released code that are cited are there: docs/reference/released_files.yaml knows how many lines
the cited files have."""

import re

import pytest
import yaml

from docs.reference.write import FOLDER, constants
from tests.builders import REPOSITORY

KNOWN = yaml.safe_load((FOLDER / "released_files.yaml").read_text())
LINES = r"\d+(?:-\d+)?"
PLACE = re.compile(rf"(?P<repository>\w+) (?P<path>[\w/.]+\.(?:py|yaml)):(?P<lines>{LINES}(?:, {LINES})*)")
# in prose the repository is named before, and a path may be the end of one
CITED = re.compile(rf"(?P<path>[\w/]+\.(?:py|yaml)):(?P<lines>{LINES}(?:,? (?:and )?{LINES})*)")
PROSE = [
    REPOSITORY / "tests/twins/released_code.py",
    REPOSITORY / "docs/coming-from/sas.md",
    *sorted((REPOSITORY / "pipeline").rglob("*.py")),
]


def beyond(lines: str, most: int) -> list[str]:
    """Those of "3-9, 12" that a file of so many lines has not."""
    ranges = [[int(end) for end in one.split("-")] for one in re.findall(LINES, lines)]
    return ["-".join(map(str, one)) for one in ranges if not 1 <= one[0] <= one[-1] <= most]


@pytest.mark.parametrize("row", constants(), ids=lambda row: row["constant"].replace(" ", "_"))
def test_every_source_of_a_constant_is_a_place_in_a_released_file(row):
    where = row["code"]["where"]
    places = re.split(r", (?=[A-Z])", where) if where else []
    assert bool(places) == (row["code"]["says"] is not None)
    for place in places:
        found = PLACE.fullmatch(place)
        assert found, f"{place}: it is REPOSITORY PATH:LINES"
        files = KNOWN[found["repository"]]["files"]
        assert found["path"] in files, f"{place}: no such file"
        assert not beyond(found["lines"], files[found["path"]]), place


@pytest.mark.parametrize("file", PROSE, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_places_in_prose_are_in_a_released_file(file):
    ends = {path: lines for one in KNOWN.values() for path, lines in one["files"].items()}
    for found in CITED.finditer(file.read_text()):
        most = [lines for path, lines in ends.items() if f"/{path}".endswith(f"/{found['path']}")]
        assert most, f"{found[0]}: no such file"
        assert not beyond(found["lines"], max(most)), found[0]


def test_only_files_that_are_cited_are_listed():
    """With the commit that constants.md names."""
    said = [row["code"]["where"] or "" for row in constants()] + [file.read_text() for file in PROSE]
    names = {found["path"] for text in said for found in CITED.finditer(text)}
    page = (FOLDER / "constants.md").read_text()
    for one in KNOWN.values():
        assert re.fullmatch("[0-9a-f]{40}", one["commit"])
        assert f"{one['repository']} at {one['commit'][:7]}" in " ".join(page.split())
        assert [path for path in one["files"] if not any(f"/{path}".endswith(f"/{n}") for n in names)] == []


def test_lines_that_a_file_has_not_are_found():
    assert beyond("3-9, 12", 12) == [] and beyond("3-9, 12", 11) == ["12"]
    assert beyond("0-2, 9-3", 20) == ["0-2", "9-3"]
    assert PLACE.fullmatch("SAS run/evaluate.py:3, 5-7") and not PLACE.fullmatch("SAS run/evaluate.py")
