"""The viewer's web page, on viser (Apache-2.0): the cloud, the panel, clicks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import rich
import viser
from PIL import Image, ImageDraw

from anyscene.errors import PipelineError
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.picking import hit
from anyscene.show.viewer.scene_view import SceneView, Sighting
from anyscene.tasks.query.session import Answer

HOST = "127.0.0.1"  # never the network: nobody asks who it is that looks
HEAT, EVERY = "heat of the text", "all classes"
UNDISTURBED = 1.5  # seconds that a browser has to draw the first picture before anything is computed
STEP = 0.125  # of threshold and metres: a power of 2, so that its multiples are exact
MARK, PICTURE = (255, 0, 255), 320  # colour of what was clicked; pixels across a view


@dataclass(frozen=True)
class Wanted:
    """What the panel asks for."""

    scene: str  # id
    layer: str  # title
    only: str  # a class, or EVERY
    text: str  # to find, empty = none
    negative: str  # texts that are not meant, between commas
    threshold: float  # of heat, in 0..1
    height: float  # metres; what is above is not drawn


class Page:
    """Serves scenes until it is stopped; `open_view` reads one by its name."""

    def __init__(
        self,
        scenes: Sequence[str],
        scene: str,
        open_view: Callable[[str], SceneView],
        port: int,
        dark: bool = False,
    ) -> None:
        """Raises PipelineError where the port is taken or the scene cannot be read."""
        self._open_view, self._lock = open_view, threading.RLock()
        self.view = open_view(scene)
        self._shown: Wanted | None = None
        self._answer: tuple[tuple[str, str, str], Answer] | None = None
        try:
            with rich.get_console().capture():  # its banner: who serves says the address, once
                self.server = viser.ViserServer(host=HOST, port=port, label="anyscene", verbose=False)
        except OSError as error:
            raise PipelineError(
                f"port {port}: {error.strerror or error}; give another with --port"
            ) from error
        # the button would hand the scene to a relay on the internet
        self.server.gui.configure_theme(dark_mode=dark, show_logo=False, show_share_button=False)
        self._looked_at = threading.Event()
        self.server.on_client_connect(lambda _: self._looked_at.set())
        self._build(scenes, scene)
        self._enter()

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server.get_port()}"

    def stop(self) -> None:
        """Give the port back."""
        self.server.stop()

    def wanted(self) -> Wanted:
        """What the panel says now."""
        return Wanted(
            self._scene.value, self._layer.value, self._only.value, self._text.value.strip(),
            self._negative.value.strip(), self._threshold.value, self._height.value,
        )  # fmt: skip

    def select(self, point: int) -> None:
        """Mark a point and say what is known of it."""
        with self._lock:
            found = self.view.describe(point)
            seen = [(view.frame.id, picture(view)) for view in found.views]
            self._point.content = panel_html.point(found)
            self._forget()
            marker = self.server.scene.add_icosphere(
                "/clicked", radius=2 * self.view.spacing, color=MARK, position=self.view.xyz[point]
            )
            with self._views:
                pictures = [self.server.gui.add_image(image, label=f"view {frame}") for frame, image in seen]
            self._clicked_on = [marker, *pictures]

    def _forget(self) -> None:
        """Take away what showed the point that was clicked before."""
        for handle in self._clicked_on:
            handle.remove()
        self._clicked_on = []

    def _build(self, scenes: Sequence[str], scene: str) -> None:
        gui = self.server.gui
        self._scene = gui.add_dropdown("scene", list(scenes), initial_value=scene)
        self._layer = gui.add_dropdown("layer", ["colour"])
        self._only = gui.add_dropdown("only", [EVERY, *self.view.texts.label_set.names])
        self._text = gui.add_text("find", "", hint='such as "somewhere to sit"')
        self._negative = gui.add_text("but not", "", hint="texts that are not meant, between commas")
        self._threshold = gui.add_slider("threshold", 0.0, 1.0, STEP, 0.0)
        self._height = gui.add_slider("height / m", 0.0, 1.0, STEP, 1.0)
        self._size = gui.add_slider("point size", 0.5, 4.0, 0.1, 1.2)
        self._about = gui.add_html("")
        self._point = gui.add_html("")
        self._views = gui.add_folder(None)
        self._clicked_on: list[viser.IcosphereHandle | viser.GuiImageHandle] = []
        for handle in (self._layer, self._only, self._text, self._negative, self._threshold, self._height):
            handle.on_update(lambda _: self._guarded(self._refresh))
        self._scene.on_update(lambda _: self._guarded(self._change_scene))
        self._size.on_update(lambda _: self._resize())
        self.server.scene.on_click()(lambda event: self._guarded(lambda: self._clicked(event)))

    def _enter(self) -> None:
        """Show the scene from above a corner, in its colours."""
        view = self.view
        low, high = (view.xyz.min(0), view.xyz.max(0)) if len(view.xyz) else (np.zeros(3), np.ones(3))
        middle, reach = (low + high) / 2, float(np.linalg.norm(high - low))
        self._entering = True  # setting values below calls `_refresh`
        with self.server.atomic():
            self._point.content = panel_html.hint(len(view.drawn), len(view.xyz))
            self._layer.value = "colour"
            self._list_layers()
            # whole steps, for the slider writes its ends out
            self._height.min = STEP * float(np.floor(low[2] / STEP))
            self._height.max = STEP * float(np.ceil(high[2] / STEP))
            self._height.value = STEP * float(np.ceil(view.open_height() / STEP))
            self._kept = view.below(self._height.value)
            self._cloud = self.server.scene.add_point_cloud(
                "/cloud", view.xyz[view.drawn[self._kept]], view.rgb[self._kept], precision="float32",
                point_size=self._size.value * view.spacing, point_shading="flat",
            )  # fmt: skip
            eye = middle + reach * np.array([0.5, 0.4, 0.75])
            self.server.initial_camera.position, self.server.initial_camera.look_at = eye, middle
            for client in self.server.get_clients().values():
                client.camera.position, client.camera.look_at = eye, middle
        self._shown, self._entering = None, False
        self._refresh()
        threading.Thread(target=self._prepare, args=(view,), daemon=True).start()

    def _prepare(self, view: SceneView) -> None:
        """While the scene is looked at, what its first query would wait for."""
        self._looked_at.wait()
        time.sleep(UNDISTURBED)
        if view is self.view:
            with contextlib.suppress(PipelineError):  # said when somebody asks
                view.prepare()

    def _change_scene(self) -> None:
        with self._lock:
            if self._scene.value == self.view.scene:
                self._shown = None  # what was said of another that could not be opened goes
                self._refresh()
                return
            self._about.content = panel_html.boxed("Opening ...")
            self.view, self._answer = self._open_view(self._scene.value), None
            self._forget()
            self._enter()

    def _refresh(self) -> None:
        """Show what is wanted by now: others may have been typed while one text was looked for."""
        with self._lock:
            wanted, before = self.wanted(), self._shown
            if self._entering or wanted == before or wanted.scene != self.view.scene:
                return
            self._shown = wanted
            asked = before is not None and (before.text, before.negative) != (wanted.text, wanted.negative)
            if asked and wanted.text and wanted.layer != HEAT:
                # who types wants to see it; noted first, for setting a value calls this method again
                self._shown = wanted = replace(wanted, layer=HEAT)
                self._layer.value = HEAT
            colours, about = self._colours(wanted)
            with self.server.atomic():  # what comes apart is drawn apart, and the colours would wait for it
                self._about.content = about
                if before is None or before.height != wanted.height:
                    self._kept = self.view.below(wanted.height)
                    self._cloud.points = self.view.xyz[self.view.drawn[self._kept]]
                self._cloud.colors = colours[self._kept]

    def _colours(self, wanted: Wanted) -> tuple[np.ndarray, str]:
        view = self.view
        if wanted.layer != HEAT:
            colours, legend = (
                view.only(wanted.layer, wanted.only),
                panel_html.legend(view.layer(wanted.layer)),
            )
            self._list_layers()
            return colours, legend
        if not wanted.text:
            return view.rgb, panel_html.boxed("Type what to find.")
        key = (view.scene, wanted.text, wanted.negative)
        if self._answer is None or self._answer[0] != key:
            negative = [part.strip() for part in wanted.negative.split(",") if part.strip()]
            self._answer = key, view.ask(wanted.text, negative)
        answer = self._answer[1]
        return view.heat_colours(answer, wanted.threshold), panel_html.matches(answer, view.source or "")

    def _list_layers(self) -> None:
        """Those of the scene; a task may have answered with more than were known before."""
        layers = (*self.view.layers, HEAT) if self.view.source else self.view.layers
        if tuple(self._layer.options) != layers:
            self._layer.options = layers

    def _clicked(self, event: viser.SceneClickEvent) -> None:
        with self._lock:
            found = hit(
                self.view.xyz[self.view.drawn[self._kept]],
                np.array(event.ray_origin),
                np.array(event.ray_direction),
                self.view.spacing,
            )
            if found is not None:
                self.select(int(self.view.drawn[self._kept[found]]))

    def _resize(self) -> None:
        self._cloud.point_size = self._size.value * self.view.spacing

    def _guarded(self, action: Callable[[], None]) -> None:
        """What is missing or damaged is said in the panel; the page goes on."""
        try:
            action()
        except PipelineError as error:
            self._about.content = panel_html.problem(str(error))


def picture(view: Sighting) -> np.ndarray:
    """u1[H, W, 3]: the frame, with a ring around the pixel that shows the point."""
    image = Image.fromarray(view.frame.read_color(view.size))
    scale = PICTURE / view.size[0]
    image = image.resize((PICTURE, max(1, round(view.size[1] * scale))))
    x, y = (view.column + 0.5) * scale, (view.row + 0.5) * scale
    ImageDraw.Draw(image).ellipse((x - 9, y - 9, x + 9, y + 9), outline=MARK, width=3)
    return np.asarray(image)
