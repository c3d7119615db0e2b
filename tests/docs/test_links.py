"""Every link of a page that points into the project leads to a file that is there, and to a heading in it."""

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
