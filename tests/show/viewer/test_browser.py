"""The viewer and the report as a browser shows them."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.show.report import drawn_scene, run, timings
from anyscene.show.report import page as report
from anyscene.show.viewer import page as viewer
from anyscene.show.viewer.page import HEAT, Page
from anyscene.show.viewer.scene_view import SceneView
from anyscene.study import ablation
from tests.builders import miniature

pytestmark = [pytest.mark.browser, pytest.mark.integration]
NAME = "<script>document.title='struck'</script>".replace("/", "∕")  # a file's name cannot hold a slash
WAIT = 30_000  # ms

STAGES = ("projection@dense", "fusion")  # that the report times


@pytest.fixture(scope="module")
def served_room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    params = miniature.write(folder, scenes=1, spacing=0.1)
    for path in list((folder / "data").glob("**/room0.zarr")):
        path.rename(path.with_name(f"{NAME}.zarr"))
    return folder, params


@pytest.fixture(scope="module")
def shown(served_room, browser):
    """The viewer's page in the browser, and the addresses that it requested."""
    folder, params = served_room

    def open_view(name):
        return SceneView(Artefacts(folder), name, params, miniature.Spelling(), "fusion")

    served = Page(store.scene_ids(folder / "data/scenes"), NAME, open_view, 0)
    tab = browser.new_page(viewport={"width": 900, "height": 600})
    tab.asked, tab.alerts = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("dialog", lambda dialog: (tab.alerts.append(dialog.message), dialog.dismiss()))
    tab.goto(served.address)
    tab.get_by_text("Click a point to see what it is.").wait_for(timeout=WAIT)
    settled(tab, None)
    tab.served = served
    yield tab
    tab.close()
    served.stop()


def cloud(tab) -> np.ndarray:
    """u1[H, W, 3]: the part of the page that the panel leaves free."""
    picture = tab.screenshot(clip={"x": 20, "y": 160, "width": 500, "height": 420})
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def settled(tab, before: np.ndarray | None) -> np.ndarray:
    """The cloud once it no longer changes, and, with `before`, is another one than that."""
    last = None
    for _ in range(40):
        tab.wait_for_timeout(250)
        now = cloud(tab)
        changed = now.std() > 5 if before is None else (np.abs(now - before).max(-1) > 20).mean() > 0.02
        if changed and last is not None and np.array_equal(now, last):
            return now
        last = now
    raise AssertionError("the cloud did not change")


def choose(tab, old: str, new: str) -> None:
    tab.locator(f"input[role=combobox][value='{old}']").click()
    tab.get_by_role("option", name=new, exact=True).click()


def test_the_viewer_asks_nobody_else_and_takes_a_name_for_text(shown):
    assert all(url.startswith((shown.served.address, "blob:", "data:")) for url in shown.asked)
    assert shown.served.address.startswith("http://127.0.0.1:")
    values = shown.locator("input[role=combobox]").evaluate_all("found => found.map(e => e.value)")
    assert NAME in values and shown.title() != "struck" and shown.alerts == []


def test_a_typed_text_changes_the_cloud_and_lists_what_it_found(shown):
    before = cloud(shown)
    shown.get_by_text("find", exact=True).locator("xpath=following::input[1]").fill("a bed in a <script>")
    after = settled(shown, before)
    yellow = [(np.minimum(p[..., 0], p[..., 1]) - p[..., 2] > 60).mean() for p in (before, after)]
    assert yellow[1] > 0.002 > yellow[0]  # what is hottest
    assert shown.get_by_text("a bed in a <script>", exact=True).is_visible()
    assert HEAT in shown.locator("input[role=combobox]").evaluate_all("found => found.map(e => e.value)")


def test_a_text_is_asked_once_nobody_types_on(shown, monkeypatch):
    """Keys come faster than the pause; what was found before is gone with the first of them."""
    view, asked = shown.served.view, []
    monkeypatch.setattr(viewer, "TYPING", 1.0)
    monkeypatch.setattr(view, "ask", lambda text, not_: asked.append(text) or SceneView.ask(view, text, not_))
    field = shown.get_by_text("find", exact=True).locator("xpath=following::input[1]")
    field.fill("a bed")
    shown.get_by_text("a bed", exact=True).first.wait_for(timeout=WAIT)
    shown.get_by_text("Looking for").wait_for(state="hidden", timeout=WAIT)
    asked.clear()
    field.fill("")
    shown.get_by_text("Type what you want to find.").wait_for(timeout=WAIT)
    field.press_sequentially("a <b>", delay=100)
    shown.get_by_text("Looking for a <b> ...").wait_for(timeout=WAIT)
    assert asked == []
    shown.get_by_text("Looking for").wait_for(state="hidden", timeout=WAIT)
    assert asked == ["a <b>"] and shown.get_by_text("a <b>", exact=True).is_visible()
    field.press("End")
    field.press_sequentially("c", delay=0)
    shown.get_by_text("Looking for a <b>c ...").wait_for(timeout=WAIT)
    field.press("Backspace")  # back at what is shown
    shown.get_by_text("Looking for").wait_for(state="hidden", timeout=WAIT)
    assert asked == ["a <b>"] and shown.get_by_text("a <b>", exact=True).is_visible()


def test_layers_switch(shown):
    before = cloud(shown)
    choose(shown, HEAT, "superpoints")
    superpoints = settled(shown, before)
    choose(shown, "superpoints", "labels")
    settled(shown, superpoints)
    assert shown.get_by_text("bed", exact=True).first.is_visible()  # of the legend


def test_a_click_names_a_point(shown):
    drawn = cloud(shown)
    row, column = np.argwhere(np.ptp(drawn, axis=-1) > 30).mean(0)
    shown.mouse.click(20 + column, 160 + row)
    shown.get_by_text(re.compile(r"Superpoint \d+, which has [\d,]+ points")).wait_for(timeout=WAIT)
    assert shown.get_by_text("annotation").is_visible() and shown.get_by_text("cosine").is_visible()


def test_the_report_opens_from_a_file_without_the_network(served_room, browser, tmp_path, monkeypatch):
    monkeypatch.setattr(drawn_scene, "SIZE", (80, 60))
    for module in (ablation, run):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
    folder, params = served_room
    path = tmp_path / "index.html"
    path.write_text(report.build(params, Artefacts(folder), STAGES))
    beside = path.with_name("timings.html")
    beside.write_text(timings.build(STAGES, Artefacts(folder)))
    for width, scheme in ((1280, "light"), (400, "dark")):
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked = []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(path.as_uri())
        assert {url for url in asked if not url.startswith("data:")} == {path.as_uri(), beside.as_uri()}
        assert tab.get_by_role("heading", name=NAME).is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        inside = tab.frames[1]
        assert inside.get_by_text("projection@dense").is_visible()
        assert inside.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert inside.get_by_role("heading", name="Time").is_hidden()  # the report has one
        loaded = tab.locator("img").evaluate_all("all => all.map(i => i.complete && i.naturalWidth > 0)")
        assert len(loaded) > 5 and all(loaded)  # those below the window as well
        background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
        tab.close()
    tab = browser.new_page()
    tab.goto(beside.as_uri())
    assert tab.get_by_role("heading", name="Time").is_visible()
    assert tab.get_by_role("table").bounding_box()["x"] > 0
    beside.unlink()
    tab.goto(path.as_uri())
    tab.get_by_text("timings.html is not here.").wait_for(timeout=WAIT)
    tab.close()
