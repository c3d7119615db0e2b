"""The viewer's panel and cloud as the server holds them, without a browser."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import viser
from PIL import Image, ImageDraw
from websockets.sync.client import connect

from anyscene.errors import PipelineError, StoreError
from anyscene.project import parameters
from anyscene.project.layout import Artefacts
from anyscene.scene import Camera, Frame
from anyscene.show.viewer import page as page_module
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.page import HEAT, Page
from anyscene.show.viewer.scene_view import SceneView, Sighting
from anyscene.tasks.layer import Layer
from tests.builders import miniature


@pytest.fixture
def page(rooms):
    params = parameters.load(rooms / "params.yaml")

    def open_view(name):
        return SceneView(Artefacts(rooms), name, params, miniature.Spelling(), "fusion")

    served = Page(["room0", "room1"], "room0", open_view, 0)
    yield served
    served.stop()


def test_only_this_machine_is_served(page):
    assert page.address.startswith("http://127.0.0.1:")
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", page.server.get_port())) != 0  # also this machine, not bound


def test_a_port_that_is_taken_gives_the_next_and_the_last_is_refused(page):
    taken = page.server.get_port()
    assert page_module.free_port(0) == 0 and taken < page_module.free_port(taken) < taken + 50
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # somebody else has it
            other.bind(("127.0.0.1", 65535))
            other.listen()
        with pytest.raises(PipelineError, match=r"port 65535: taken, and so are all after it"):
            Page(["room0"], "room0", page.open_view, 65535)


def test_a_port_that_nobody_may_have_is_said(monkeypatch):
    def refuse(self, address):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PipelineError, match="port 80: Permission denied; give another with --port"):
        page_module.free_port(80)


def test_five_people_change_one_page(page):
    """Each looks through a connection of their own and sets what all share, all at once. In the end the page
    shows what is set, and everybody was sent it."""
    heard, problems = [0] * 5, []

    def look(number):
        address, protocol = page.address.replace("http", "ws"), f"viser-v{viser.__version__}"
        with connect(address, subprotocols=[protocol], max_size=None) as connection:
            looking.wait(30)
            while not done.is_set() or heard[number] == 0:
                with contextlib.suppress(TimeoutError):
                    heard[number] += len(connection.recv(timeout=0.1))

    def change(number):
        try:
            for turn in range(4):
                page.panel.text.value = f"a bed {number} {turn}"
                page.panel.layer.value = ("colour", "labels", HEAT)[(number + turn) % 3]
                page.panel.height.value = (1.0, 2.0)[turn % 2]
                page.panel.scene.value = ("room0", "room1")[(number + turn) % 2]
        except Exception as error:
            problems.append(error)

    looking, done = threading.Barrier(5), threading.Event()
    people = [threading.Thread(target=look, args=(number,), daemon=True) for number in range(5)]
    hands = [threading.Thread(target=change, args=(number,), daemon=True) for number in range(5)]
    for thread in (*people, *hands):
        thread.start()
    for thread in hands:
        thread.join(60)
    done.set()
    for thread in people:
        thread.join(30)
    assert problems == [] and all(heard) and not any(thread.is_alive() for thread in (*hands, *people))
    assert page.view.scene == page.panel.scene.value
    shown = page.view.below(page.panel.height.value)
    assert len(page.cloud.points) == len(page.cloud.colors) == len(shown)
    page.panel.layer.value = "labels"
    np.testing.assert_array_equal(page.cloud.colors, page.view.colours("labels")[shown])


def test_nothing_is_printed_but_by_who_serves(page, capsys):
    other = Page(["room0"], "room0", page.open_view, 0)
    assert capsys.readouterr() == ("", "")
    other.stop()


def test_nothing_is_computed_before_somebody_looks(page, monkeypatch):
    monkeypatch.setattr("anyscene.show.viewer.page.UNDISTURBED", 0)
    begun = threading.Event()
    page.view.prepare = begun.set
    assert not begun.wait(0.3)
    page.looked_at.set()
    assert begun.wait(10)


def test_the_cloud_follows_the_panel(page):
    view = page.view
    page.panel.layer.value = "labels"
    np.testing.assert_array_equal(
        page.cloud.colors, view.colours("labels")[view.below(page.panel.height.value)]
    )
    page.panel.only.value = "bed"
    expected = view.only("labels", "bed")[view.below(page.panel.height.value)]
    np.testing.assert_array_equal(page.cloud.colors, expected)
    page.panel.height.value = 1.0
    assert len(page.cloud.points) == len(page.cloud.colors) == (view.xyz[:, 2] <= 1).sum()
    page.panel.text.value = "a bed in a scene"
    assert page.panel.layer.value == HEAT and "a bed in a scene" in page.panel.about.content
    every = page.cloud.colors.copy()
    page.panel.threshold.value = 1.0
    assert (page.cloud.colors != every).any()
    page.panel.layer.value = "labels"
    page.panel.scene.value = "room1"
    assert page.view.scene == "room1" and page.panel.layer.value == "colour"
    shown = page.view.rgb[page.view.below(page.panel.height.value)]
    np.testing.assert_array_equal(page.cloud.colors, shown)


class Held:
    """Answers of a scene, of which each waits until it is let go."""

    def __init__(self, view):
        self.ask, self.begun, self.go = view.ask, defaultdict(threading.Event), defaultdict(threading.Event)

    def __call__(self, text, negative):
        self.begun[text].set()
        assert self.go[text].wait(30)
        return self.ask(text, negative)


def test_a_late_answer_to_an_older_text_is_dropped(page):
    """Two texts, the second of them typed while the first is looked for, with heights set in between."""
    page.view.ask = held = Held(page.view)
    colours = page.cloud.colors.copy()
    threads = []
    for text in ("a bed", "a floor"):
        threads.append(threading.Thread(target=setattr, args=(page.panel.text, "value", text), daemon=True))
        threads[-1].start()
        if text == "a bed":
            assert held.begun[text].wait(30)
            threads.append(
                threading.Thread(target=setattr, args=(page.panel.height, "value", 1.0), daemon=True)
            )
            threads[-1].start()
    while page.panel.text.value != "a floor" or page.panel.height.value != 1.0:
        time.sleep(0.01)
    held.go["a bed"].set()
    assert held.begun["a floor"].wait(30)
    assert "a bed" not in page.panel.about.content
    np.testing.assert_array_equal(page.cloud.colors, colours)
    held.go["a floor"].set()
    for thread in threads:
        thread.join(30)
    assert "a floor" in page.panel.about.content and page.panel.layer.value == HEAT
    assert len(page.cloud.points) == len(page.cloud.colors) == len(page.view.below(1.0))


@pytest.mark.parametrize("layer", ["colour", "superpoints", HEAT])
def test_a_smaller_scene_is_shown_from_any_layer(rooms, page, layer):
    params = parameters.load(rooms / "params.yaml")
    page.open_view = lambda name: SceneView(
        Artefacts(rooms), name, params, miniature.Spelling(), "fusion", 50 if name == "room1" else 0
    )
    page.select(7)
    if layer == HEAT:
        page.panel.text.value = "a bed in a scene"
    page.panel.layer.value = layer
    for name in ("room1", "room0"):
        page.panel.scene.value = name
        assert page.view.scene == name and page.panel.layer.value == "colour" and page.clicked_on == []
        kept = page.view.below(page.panel.height.value)
        np.testing.assert_array_equal(page.cloud.colors, page.view.rgb[kept])
        np.testing.assert_allclose(page.cloud.points, page.view.xyz[page.view.drawn[kept]])


def test_back_from_a_scene_that_cannot_be_opened(page):
    def damaged(name):
        raise StoreError(f"{name}: damaged; run `dvc repro`")

    page.open_view = damaged
    page.panel.scene.value = "room1"
    assert "room1: damaged" in page.panel.about.content
    page.panel.scene.value = "room0"
    assert "damaged" not in page.panel.about.content
    page.panel.layer.value = "superpoints"
    assert len(page.cloud.colors) == len(page.cloud.points)


def test_what_is_damaged_is_said_in_the_panel_and_the_page_goes_on(rooms, page):
    def damaged(name):
        raise StoreError(f"{name}: <b>damaged</b>; run `dvc repro`")

    page.view.colours = damaged
    page.panel.layer.value = "superpoints"
    assert "superpoints: &lt;b&gt;damaged" in page.panel.about.content
    page.panel.text.value = "a bed in a scene"
    assert "a bed in a scene" in page.panel.about.content


def test_a_chosen_point_is_marked_and_described(page):
    page.select(7)
    np.testing.assert_allclose(page.clicked_on[0].position, page.view.xyz[7])
    assert "Point 7<" in page.panel.point.content


def test_a_click_names_the_point_of_the_scene_also_where_it_is_cut(page):
    """From just above, where points between those that are left are cut off."""
    page.panel.height.value = 0.5
    kept = page.view.below(page.panel.height.value)
    for place in (len(kept) // 2, len(kept) - 3):
        assert kept[place] != place
        point = int(page.view.drawn[kept[place]])
        slanted = np.array([0.3, 0.2, -1])
        page.click(page.view.xyz[point] - 0.01 * slanted, slanted)
        np.testing.assert_allclose(page.clicked_on[0].position, page.view.xyz[point])
    said = page.panel.point.content
    page.click((99, 99, 99), (0, 0, 1))  # meets nothing
    assert page.panel.point.content == said


def test_no_button_hands_the_scene_to_others(page, monkeypatch):
    asked = {}
    monkeypatch.setattr(viser.GuiApi, "configure_theme", lambda gui, **theme: asked.update(theme))
    Page(["room0"], "room0", page.open_view, 0).stop()
    assert asked["show_share_button"] is False


def test_it_is_said_how_many_points_are_drawn(page):
    assert "Click a point" in page.panel.point.content and "drawn" not in page.panel.point.content
    assert "50 of 1,000 points are drawn" in panel_html.hint(50, 1000)


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(32, 24, 240), (640, 480, 240), (40, 30, 240), (30, 20, 213)]
)
def test_a_ring_lies_around_the_pixel_that_shows_the_point(tmp_path, width, height, shown):
    """A view is 320 pixels across; the ring has a radius of 9 around the middle of the pixel."""
    image = np.full((height, width, 3), 90, np.uint8)
    Image.fromarray(image).save(tmp_path / "0.png")
    camera = Camera(np.eye(3), np.eye(4), width, height)
    frame = Frame("0", tmp_path / "0.png", None, 1000.0, camera)
    row, column = height // 4, width // 2
    found = page_module.picture(Sighting(frame, row, column, (width, height), 1.0, "antialiased"))
    assert found.shape == (shown, 320, 3)
    ring = (found == (255, 0, 255)).all(-1)
    assert (found[~ring] == 90).all()
    scale = 320 / width
    y, x = (row + 0.5) * scale, (column + 0.5) * scale
    expected = Image.new("RGB", (320, shown), (90, 90, 90))
    ImageDraw.Draw(expected).ellipse((x - 9, y - 9, x + 9, y + 9), outline=(255, 0, 255), width=3)
    np.testing.assert_array_equal(found, np.asarray(expected))
    places = np.argwhere(ring)
    assert np.abs((places.min(0) + places.max(0)) / 2 - [y, x]).max() <= 0.7


class Sheet:
    """A scene of three points between (-1, 2, 0.3) and (3, 8, 2.6), as a page asks for it."""

    scene, source = "a", None
    xyz = np.array([[-1, 2, 0.3], [3, 8, 2.6], [0, 3, 1.9]], np.float32)
    rgb = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    drawn, spacing, layers = np.arange(3), 0.25, ("colour",)
    texts = SimpleNamespace(label_set=SimpleNamespace(names=("bed",)))

    def bounds(self):
        return self.xyz.min(0), self.xyz.max(0)

    def open_height(self):
        return 1.83

    def below(self, height):
        return np.flatnonzero(self.xyz[:, 2] <= height)

    def only(self, layer, name):
        return self.rgb

    def layer(self, title):
        return Layer("colour", "colour", self.rgb)

    def prepare(self):
        pass


def test_heights_points_and_the_first_look():
    """Heights are multiples of an eighth: the lowest point below the lower end, the highest below the upper,
    and the scene is open from the next above 1.83 m. One looks at its middle (1, 5, 1.45) from a corner."""
    page = Page(["a"], "a", lambda name: Sheet(), 0)
    try:
        height = page.panel.height
        assert (height.min, height.max, height.value) == (0.25, 2.625, 1.875)
        assert (page.panel.threshold.min, page.panel.threshold.max, page.panel.threshold.value) == (0, 1, 0)
        size = page.panel.size
        assert (size.min, size.max, size.value) == (0.5, 4, 1.2)
        np.testing.assert_array_equal(page.cloud.points, Sheet.xyz[:1])
        np.testing.assert_array_equal(page.cloud.colors, Sheet.rgb[:1])
        assert page.cloud.point_size == pytest.approx(1.2 * 0.25)
        size.value = 2.0
        assert page.cloud.point_size == pytest.approx(0.5)
        height.value = 2.0
        np.testing.assert_array_equal(page.cloud.points, Sheet.xyz[[0, 2]])
        reach = np.sqrt(4**2 + 6**2 + 2.3**2)
        camera = page.server.initial_camera
        np.testing.assert_allclose(camera.look_at, (1, 5, 1.45), rtol=1e-6)
        expected = (1 + 0.5 * reach, 5 + 0.4 * reach, 1.45 + 0.75 * reach)
        np.testing.assert_allclose(camera.position, expected, rtol=1e-6)
    finally:
        page.stop()


def test_the_mark_of_a_point_is_twice_as_large_as_points_are_apart(page):
    page.select(7)
    marker = page.clicked_on[0]
    assert marker.radius == pytest.approx(2 * page.view.spacing) and tuple(marker.color) == (255, 0, 255)
