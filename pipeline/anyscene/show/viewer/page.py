"""The viewer's web page, on viser (Apache-2.0): the cloud, the panel, clicks."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import rich
import viser
from PIL import Image, ImageDraw

from anyscene.arrays import U1
from anyscene.errors import PipelineError
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.picking import hit
from anyscene.show.viewer.scene_view import SceneView, Sighting
from anyscene.tasks.query.session import Answer

PORTS = 1 << 16
HOST = "127.0.0.1"  # never the network, because nobody checks who is looking
HEAT, EVERY = "heat of the text", "all classes"
TYPING = 0.3  # seconds after the last key, until a text is asked
UNDISTURBED = 1.5  # seconds that a browser has for its first picture before anything else is computed
STEP = 0.125  # of the threshold, and of heights in metres; a power of 2, so that its multiples are exact
MARK, PICTURE = (255, 0, 255), 320  # colour of what was clicked; pixels across a view


@dataclass(frozen=True)
class Wanted:
    """What a person has set in the panel."""

    scene: str  # its id
    layer: str  # its title
    only: str  # the only class to show, or EVERY
    text: str  # what to find, empty = nothing
    negative: str  # texts for what is not meant, separated by commas
    threshold: float  # of heat, in 0..1
    height: float  # metres; points above it are not drawn


@dataclass(frozen=True)
class Panel:
    """The controls beside the cloud."""

    scene: viser.GuiDropdownHandle[str]
    layer: viser.GuiDropdownHandle[str]
    only: viser.GuiDropdownHandle[str]
    text: viser.GuiTextHandle
    negative: viser.GuiTextHandle
    threshold: viser.GuiSliderHandle[float]
    height: viser.GuiSliderHandle[float]
    size: viser.GuiSliderHandle[float]
    about: viser.GuiHtmlHandle  # the legend of the layer, or what was found
    point: viser.GuiHtmlHandle  # what is known of the point that was clicked
    views: viser.GuiFolderHandle  # images that show this point

    @classmethod
    def of(cls, gui: viser.GuiApi, scenes: Sequence[str], scene: str, classes: Sequence[str]) -> Panel:
        """Add the controls to a page, from top to bottom."""
        return cls(
            gui.add_dropdown("scene", list(scenes), initial_value=scene),
            gui.add_dropdown("layer", ["colour"]),
            gui.add_dropdown("only", [EVERY, *classes]),
            gui.add_text("find", "", hint='such as "somewhere to sit"'),
            gui.add_text("but not", "", hint="what you do not mean, separated by commas"),
            gui.add_slider("threshold", 0.0, 1.0, STEP, 0.0),
            gui.add_slider("height / m", 0.0, 1.0, STEP, 1.0),
            gui.add_slider("point size", 0.5, 4.0, 0.1, 1.2),
            gui.add_html(""),
            gui.add_html(""),
            gui.add_folder(None),
        )


class Page:
    """Serves scenes until it is stopped."""

    open_view: Callable[[str], SceneView]  # reads a scene by its name
    view: SceneView  # the scene that is shown
    panel: Panel
    cloud: viser.PointCloudHandle  # its points on the page
    clicked_on: list[viser.IcosphereHandle | viser.GuiImageHandle]  # what shows the point that was clicked
    looked_at: threading.Event  # set once a browser is there

    def __init__(
        self,
        scenes: Sequence[str],
        scene: str,
        open_view: Callable[[str], SceneView],
        port: int,
        dark: bool = False,
    ) -> None:
        """port: the first that is tried; 0: any. Raises PipelineError where neither it nor any after it is
        free, and where the scene cannot be read."""
        self.open_view, self._lock = open_view, threading.RLock()
        self.view = open_view(scene)
        self.clicked_on = []
        self._shown: Wanted | None = None
        self._telling = threading.Lock()  # of what was typed, and of what the panel says of it
        self._typings, self._looking = (
            0,
            False,
        )  # their number; whether the last waits
        self._answer: tuple[tuple[str, str, str], Answer] | None = None
        port = free_port(port)
        with rich.get_console().capture():  # hides viser's banner: the caller prints the address
            self.server = viser.ViserServer(host=HOST, port=port, label="anyscene", verbose=False)
        # the button would hand the scene to a relay on the internet
        self.server.gui.configure_theme(dark_mode=dark, show_logo=False, show_share_button=False)
        self.looked_at = threading.Event()
        self.server.on_client_connect(lambda _: self.looked_at.set())
        self._build(scenes, scene)
        self._enter()

    @property
    def address(self) -> str:
        """Where the page is, for a browser."""
        return f"http://{HOST}:{self.server.get_port()}"

    def stop(self) -> None:
        """Stop serving, and free the port."""
        self.server.stop()

    def wanted(self) -> Wanted:
        """What is set in the panel now."""
        panel = self.panel
        return Wanted(
            panel.scene.value, panel.layer.value, panel.only.value, panel.text.value.strip(),
            panel.negative.value.strip(), panel.threshold.value, panel.height.value,
        )  # fmt: skip

    def select(self, point: int) -> None:
        """Mark a point, and show what is known of it."""
        with self._lock:
            found = self.view.describe(point)
            seen = [(view.frame.id, picture(view)) for view in found.views]
            self.panel.point.content = panel_html.point(found)
            self._forget()
            marker = self.server.scene.add_icosphere(
                "/clicked", radius=2 * self.view.spacing, color=MARK, position=self.view.xyz[point]
            )
            with self.panel.views:
                pictures = [self.server.gui.add_image(image, label=f"view {frame}") for frame, image in seen]
            self.clicked_on = [marker, *pictures]

    def click(self, origin: Sequence[float], direction: Sequence[float]) -> None:
        """Select the point on the page that a ray meets, if it meets any. origin: metres; direction: of any
        length."""
        with self._lock:
            shown = self.view.drawn[self._kept]
            found = hit(self.view.xyz[shown], np.array(origin), np.array(direction), self.view.spacing)
            if found is not None:
                self.select(int(shown[found]))

    def _forget(self) -> None:
        """Remove what shows the point that was clicked before."""
        for handle in self.clicked_on:
            handle.remove()
        self.clicked_on = []

    def _build(self, scenes: Sequence[str], scene: str) -> None:
        panel = self.panel = Panel.of(self.server.gui, scenes, scene, self.view.texts.label_set.names)
        for handle in (panel.layer, panel.only, panel.threshold, panel.height):
            handle.on_update(lambda _: self._guarded(self._refresh))
        for texts in (panel.text, panel.negative):
            texts.on_update(self._typed)
        panel.scene.on_update(lambda _: self._guarded(self._change_scene))
        panel.size.on_update(lambda _: self._resize())
        self.server.scene.on_click()(
            lambda event: self._guarded(lambda: self.click(event.ray_origin, event.ray_direction))
        )

    def _enter(self) -> None:
        """Show the scene in its colours, from above a corner."""
        view = self.view
        low, high = view.bounds()
        middle, reach = (low + high) / 2, float(np.linalg.norm(high - low))
        self._entering = True  # setting values below calls `_refresh`
        with self.server.atomic():
            self.panel.point.content = panel_html.hint(len(view.drawn), len(view.xyz))
            self.panel.layer.value = "colour"  # type: ignore[misc]  # viser sets it by __setattr__
            self._list_layers()
            # whole steps, because the slider shows its ends as numbers
            self.panel.height.min = STEP * float(np.floor(low[2] / STEP))
            self.panel.height.max = STEP * float(np.ceil(high[2] / STEP))
            self.panel.height.value = STEP * float(np.ceil(view.open_height() / STEP))  # type: ignore[misc]
            self._kept = view.below(self.panel.height.value)
            self.cloud = self.server.scene.add_point_cloud(
                "/cloud", view.xyz[view.drawn[self._kept]], view.rgb[self._kept], precision="float32",
                point_size=self.panel.size.value * view.spacing, point_shading="flat",
            )  # fmt: skip
            eye = middle + reach * np.array([0.5, 0.4, 0.75])
            self.server.initial_camera.position, self.server.initial_camera.look_at = eye, middle
            for client in self.server.get_clients().values():
                client.camera.position, client.camera.look_at = eye, middle
        self._shown, self._entering = None, False
        self._refresh()
        threading.Thread(target=self._prepare, args=(view,), daemon=True).start()

    def _prepare(self, view: SceneView) -> None:
        """Compute what the first query would wait for, while somebody looks at the scene."""
        self.looked_at.wait()
        time.sleep(UNDISTURBED)
        if view is self.view:
            with contextlib.suppress(PipelineError):  # a query will raise it again, and then it is shown
                view.prepare()

    def _change_scene(self) -> None:
        with self._lock:
            if self.panel.scene.value == self.view.scene:
                self._shown = None  # replaces the message on another scene that could not be opened
                self._refresh()
                return
            self.panel.about.content = panel_html.boxed("Opening ...")
            self.view, self._answer = self.open_view(self.panel.scene.value), None
            self._forget()
            self._enter()

    def _typed(self, event: viser.GuiEvent[viser.GuiTextHandle]) -> None:
        """Say at once what is looked for, and look for it once nobody types on. What the program sets, which
        has no client, is looked for at once."""
        with self._telling:
            self._typings = typing = self._typings + 1
            pause = event.client is not None and bool(text := self.wanted().text)
            if pause:
                self._looking = True
                self.panel.about.content = panel_html.looking(text)
        if pause:
            time.sleep(TYPING)
        if typing == self._typings:
            self._guarded(self._refresh)

    def _refresh(self) -> None:
        """Show what is set in the panel by now. Where another text was typed while one was looked for, the
        answer comes too late and is dropped: who typed calls this method again."""
        with self._lock:
            wanted, before = self.wanted(), self._shown
            if self._entering or wanted.scene != self.view.scene or (wanted == before and not self._looking):
                return
            self._shown, self._looking = wanted, False
            asked = before is not None and (before.text, before.negative) != (wanted.text, wanted.negative)
            if asked and wanted.text and wanted.layer != HEAT:
                # who types a text wants to see its heat; setting a value below calls this method again
                self._shown = wanted = replace(wanted, layer=HEAT)
                self.panel.layer.value = HEAT  # type: ignore[misc]  # viser sets it by __setattr__
            colours, about = self._colours(wanted)
            # otherwise the browser draws each change, and the colours wait for it
            with self._telling, self.server.atomic():
                if before is not None and wanted.layer == HEAT and self._asks_for_another(wanted):
                    self._shown = before  # nothing of the answer is on the page
                    return
                self.panel.about.content = about
                if before is None or before.height != wanted.height:
                    self._kept = self.view.below(wanted.height)
                    self.cloud.points = self.view.xyz[self.view.drawn[self._kept]]
                self.cloud.colors = colours[self._kept]

    def _asks_for_another(self, wanted: Wanted) -> bool:
        """Whether another text was typed since."""
        now = self.wanted()
        return (now.text, now.negative) != (wanted.text, wanted.negative)

    def _colours(self, wanted: Wanted) -> tuple[U1, str]:
        view = self.view
        if wanted.layer != HEAT:
            colours, legend = (
                view.only(wanted.layer, wanted.only),
                panel_html.legend(view.layer(wanted.layer)),
            )
            self._list_layers()
            return colours, legend
        if not wanted.text:
            return view.rgb, panel_html.boxed("Type what you want to find.")
        key = (view.scene, wanted.text, wanted.negative)
        if self._answer is None or self._answer[0] != key:
            negative = [part.strip() for part in wanted.negative.split(",") if part.strip()]
            self._answer = key, view.ask(wanted.text, negative)
        answer = self._answer[1]
        return view.heat_colours(answer, wanted.threshold), panel_html.matches(answer, view.source or "")

    def _list_layers(self) -> None:
        """List the layers of the scene. A task may have answered with more than were known before."""
        layers = (*self.view.layers, HEAT) if self.view.source else self.view.layers
        if tuple(self.panel.layer.options) != layers:
            self.panel.layer.options = layers

    def _resize(self) -> None:
        self.cloud.point_size = self.panel.size.value * self.view.spacing

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something. Where an artefact is missing or damaged, the panel says so, and the page goes on."""
        try:
            action()
        except PipelineError as error:
            self.panel.about.content = panel_html.problem(str(error))


def free_port(first: int) -> int:
    """The first port that is free, from `first` on; 0 for 0, which stands for any. viser would look for one
    itself, and wait for ever where there is none. Raises PipelineError."""
    for port in range(first, PORTS):
        try:
            with socket.socket() as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
                tried.bind((HOST, port))
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PipelineError(
                    f"port {port}: {error.strerror or error}; give another with --port"
                ) from error
    raise PipelineError(f"port {first}: taken, and so are all after it; give a lower one with --port")


def picture(view: Sighting) -> U1:
    """u1[H, W, 3]: the frame, with a ring around the pixel that shows the point."""
    image = Image.fromarray(view.frame.read_color(view.size, view.resize))
    scale = PICTURE / view.size[0]
    image = image.resize((PICTURE, max(1, round(view.size[1] * scale))))
    x, y = (view.column + 0.5) * scale, (view.row + 0.5) * scale
    ImageDraw.Draw(image).ellipse((x - 9, y - 9, x + 9, y + 9), outline=MARK, width=3)
    return np.asarray(image)
