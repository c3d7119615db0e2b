"""Every link of a page that points into the project leads to a file that is there, and to a heading in it."""

import re

import pytest

from tests.builders import REPOSITORY, pages


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    for link in pages.links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(REPOSITORY), f"{link}: outside the project"
        if anchor:
            assert anchor in pages.anchors(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_index():
    index = REPOSITORY / "docs" / "index.md"
    seen, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            paths = (page.parent / link.partition("#")[0] for link in pages.links(page) if "://" not in link)
            waiting += [path.resolve() for path in paths if path.suffix == ".md"]
    missing = sorted(str(page) for page in set(REPOSITORY.glob("docs/**/*.md")) - seen)
    assert not missing


def test_links_and_headings_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c, d\n\n## Same\n\n## Same\n\n[one](other.md#x) ![two](image.png)\n\n"
        '<picture><source srcset="dark.png"><img src="light.png"></picture>\n'
    )
    assert pages.links(page) == ["other.md#x", "image.png", "dark.png", "light.png"]
    assert pages.anchors(page) == {"a-b-c-d", "same", "same-1"}


def test_sections_that_the_code_names_are_there():
    """Docstrings say `method.md` and a section, as that of anyscene.fusion.fuse does."""
    headings = (REPOSITORY / "docs" / "method.md").read_text()
    named = [
        (file, section)
        for folder in ("pipeline", "tests")
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        for section in re.findall(r"[Mm]ethod\.md (§\d+)", file.read_text())
    ]
    assert len(named) > 5
    assert all(f"\n## {section} " in headings for _, section in named), named


OF_PROJECT = re.compile(r"`((?:pipeline|anyscene|stages|tests|benchmarks|docs)/[\w./-]*\w)`")


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_a_page_names_are_there(page):
    """Those of the project's own folders, without names in capitals, which stand for any."""
    named = {name for name in OF_PROJECT.findall(page.read_text()) if not re.search(r"[A-Z]{3}", name)}
    missing = [
        name for name in named if not any((REPOSITORY / at / name).exists() for at in ("", "pipeline"))
    ]
    assert not missing
