"""python -m benchmarks.speed.viewer [--write] [FOLDER]: a million points in the viewer. With --write
the table goes to docs/viewer.md.

It needs `make demo`. One of its rooms, with a mesh so fine that it has a million vertices, goes through the
pipeline's own stages into FOLDER (default: a temporary one). `anyscene view` shows it to headless Chromium,
which draws with WebGL in software. Server and browser share this machine's cores.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from scipy.spatial import cKDTree

from anyscene.datasets import ply
from anyscene.networks.trained import described
from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show.viewer.scene_view import DRAWN
from anyscene.tasks import sources
from benchmarks.speed.own_process import peak

ROOT, TABLE, MARK = Path.cwd(), Path("docs/viewer.md"), "<!-- measured -->\n"
SCENE, POINTS = "val_000", 1_000_000
STAGES = ("scenes", "labels", "superpoints", "projection dense", "projection mask", "fusion")
LARGE = DRAWN // 3  # points of a drawing that can only be the cloud; the ceiling is not drawn
TEXTS = (
    "somewhere to sit", "where to sleep", "a way out", "art to look at", "it lets daylight in", "to eat at",
    "where to keep books", "to put clothes away", "what one walks on", "for reading at night", "to lie down",
    "to cook on", "a plant",
)  # fmt: skip
WANTED = {"first paint": 3.0, "query": 0.3, "memory": 2.0}  # seconds, seconds, GiB
# WebGL in software; the page's text and boxes on the CPU, as browsers do that have no GPU
FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-rasterization",
]  # fmt: skip
# Notes when the cloud is drawn (to its last pixel), when its colours arrive, when something is typed.
HOOK = """
window.seen = {drawn: null, coloured: null, typed: null};
const gl = WebGL2RenderingContext.prototype, large = %d;
for (const name of ['drawArrays', 'drawArraysInstanced', 'drawElements', 'drawElementsInstanced']) {
  const draw = gl[name];
  gl[name] = function (...given) {
    draw.apply(this, given);
    const count = Math.max(given[name.startsWith('drawArrays') ? 2 : 1],
      name.endsWith('Instanced') ? given.at(-1) : 0);
    if (count >= large && seen.drawn === null) {
      this.readPixels(0, 0, 1, 1, this.RGBA, this.UNSIGNED_BYTE, new Uint8Array(4));
      seen.drawn = performance.now();
    }
  };
}
for (const [name, place] of [['bufferData', 1], ['bufferSubData', 2]]) {
  const upload = gl[name];
  gl[name] = function (...given) {
    if (given[place]?.byteLength >= 3 * large && seen.typed !== null && seen.coloured === null) {
      seen.coloured = performance.now();
      seen.drawn = null;
    }
    upload.apply(this, given);
  };
}
document.addEventListener('input', () => { seen.coloured = null; seen.typed = performance.now(); }, true);
"""
DRAW_NOTHING = """(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1280, height: 800});
  document.body.append(canvas);
  const gl = canvas.getContext('webgl2', {antialias: true});
  gl?.clear(gl.COLOR_BUFFER_BIT);
  gl?.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return gl !== null;
})()"""


@dataclass(frozen=True)
class Measured:
    """Seconds: from the request of the page until the cloud is on it; from a typed text until its colours are
    in the browser (`query`) and until they are drawn, both medians; of the first query; of a click. Peaks of
    memory in GiB: of the server, and of all processes of the browser."""

    source: str
    points: int
    start: float
    paint: float
    first_query: float
    query: float
    drawn: float
    click: float
    memory: float
    browser: float


def finer(folder: Path, points: int, seed: int = 0) -> None:
    """Divide triangles of a scan's mesh until it has about so many vertices, and its annotation with them."""
    from trimesh.remesh import subdivide

    xyz, rgb, _, face = ply.read_mesh(folder / "mesh.ply")
    coarse, rng = xyz, np.random.default_rng(seed)
    while len(xyz) < points:
        # a vertex for each edge, three times as many as vertices, that one of its two triangles has chosen
        share = 1 - np.sqrt(max(0, 1 - (points - len(xyz)) / (3 * len(xyz))))
        chosen = np.sort(rng.choice(len(face), int(np.ceil(share * len(face))), replace=False))
        xyz, face, found = subdivide(xyz, face, chosen, vertex_attributes={"rgb": rgb.astype(np.float32)})
        rgb = found["rgb"]
    ply.write_mesh(folder / "mesh.ply", xyz, np.rint(rgb).astype(np.uint8), face)
    nearest = cKDTree(coarse).query(xyz)[1]
    for file in (folder / "truth").glob("vertex_*.npy"):
        np.save(file, np.load(file)[nearest])


def make(folder: Path) -> None:
    """Make the scene's artefacts with the pipeline's own stages, and take the network from the demo."""
    values = parameters.read(ROOT / layout.PARAMETERS)
    raw = ROOT / values["dataset"]["root"] / SCENE
    values["dataset"]["root"] = str(layout.WORLD)
    values["runtime"]["workers"] = 1
    shutil.copytree(raw, folder / layout.WORLD / SCENE)
    finer(folder / layout.WORLD / SCENE, POINTS)
    (folder / layout.PARAMETERS).write_text(yaml.safe_dump(values, sort_keys=False))
    (folder / layout.NETWORKS).mkdir()
    (folder / layout.DEMO_MODELS).symlink_to(ROOT / layout.DEMO_MODELS)
    trained = described(ROOT / layout.NETWORKS)
    network = trained[-1].folder if trained else ROOT / layout.DEMO_MODELS / "student"
    shutil.copytree(network, folder / layout.NETWORKS / network.name)
    measured = json.loads((ROOT / layout.METRICS).read_text())["capability"]["model"]
    (folder / layout.CAPABILITY).mkdir()
    for model in values["segmenters"]["names"]:
        percent = [measured[model]["capability"][name] for name in values["vocabulary"]]
        record = {"vocabulary": values["vocabulary"], "capability": [value / 100 for value in percent]}
        (folder / layout.CAPABILITY / f"{model}.json").write_text(json.dumps(record))
    for stage in STAGES:
        command = [sys.executable, "-m", *f"stages.{stage}".split()]
        subprocess.run(command, cwd=folder, env=environment(), check=True)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@contextmanager
def served(folder: Path, source: str) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """`anyscene view` of the scene: its process, its address and the seconds until it answers."""
    command = [sys.executable, "-m", "anyscene.cli.view", SCENE, "--port", "0", "--source", source]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        lines = (line.split()[0] for line in process.stdout if line.startswith("http"))
        address = next(lines, None) or sys.exit("anyscene view did not start")
        yield process, address, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait()


def look(folder: Path, source: str, playwright, picture: Path | None = None) -> Measured:
    """Do what a person would do: open, ask, choose every layer, click. The page's own clock times it."""
    with served(folder, source) as (server, address, start):
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(120_000)  # a busy machine draws a million points once in a while
        tab.add_init_script(HOOK % LARGE)
        _warm(tab)
        tab.goto(address, wait_until="commit")
        paint = _when(tab, "drawn") / 1000
        answered, drawn = zip(*(_ask(tab, text) for text in TEXTS), strict=True)
        if picture is not None:
            tab.screenshot(path=picture)
        click = _click(tab)
        memory = peak(server.pid)
        for layer in _layers(tab):
            _choose(tab, layer)
        memory, browsers = max(memory, peak(server.pid)), _children(server.pid, os.getpid())
        points = _points(folder)
        held = sum(map(peak, browsers))
        browser.close()
    return Measured(
        source, points, start, paint, answered[0], statistics.median(answered[1:]),
        statistics.median(drawn[1:]), click, memory, held,
    )  # fmt: skip


def _warm(tab) -> None:
    """Let the browser draw once, as a person's browser has: its own start is not measured."""
    tab.goto("about:blank")
    if not tab.evaluate(DRAW_NOTHING):
        sys.exit("Chromium has no WebGL here")
    tab.wait_for_timeout(1000)


def _field(tab, label: str):
    return tab.get_by_text(label, exact=True).first.locator("xpath=following::input[1]")


def _when(tab, what: str) -> float:
    """Milliseconds on the page's clock."""
    tab.wait_for_function(f"window.seen && window.seen.{what} !== null", timeout=120_000)
    return tab.evaluate(f"window.seen.{what}")


def _ask(tab, text: str) -> tuple[float, float]:
    """Seconds from typing a text until its colours arrive, and until they are drawn."""
    _field(tab, "find").fill(text)
    coloured = _when(tab, "coloured")
    drawn, typed = _when(tab, "drawn"), _when(tab, "typed")
    tab.wait_for_timeout(500)
    return (coloured - typed) / 1000, (drawn - typed) / 1000


def _click(tab) -> float:
    begin = time.perf_counter()
    tab.mouse.click(450, 450)
    tab.get_by_text("Superpoint").first.wait_for(timeout=60_000)
    return time.perf_counter() - begin


def _layers(tab) -> list[str]:
    _field(tab, "layer").click()
    names = tab.get_by_role("option").all_inner_texts()
    tab.keyboard.press("Escape")
    return names


def _choose(tab, layer: str) -> None:
    tab.evaluate("window.seen.coloured = null; window.seen.typed = performance.now()")
    box = _field(tab, "layer")
    if box.input_value() == layer:
        return
    box.click()
    tab.get_by_role("option", name=layer, exact=True).click()
    _when(tab, "coloured")


def _points(folder: Path) -> int:
    return store.open_scene(store.scene_path(folder / layout.SCENES, SCENE))["xyz"].shape[0]


def _children(but: int, process: int) -> list[int]:
    """All below `process` but those of `but`."""
    found = []
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        if int(child) != but:
            found += [int(child), *_children(but, int(child))]
    return found


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or sys.exit("needs Chromium (Debian: apt-get install chromium)")


def table(measured: list[Measured]) -> str:
    """Markdown."""
    head = (
        "| features | points | first paint | query | until drawn | first query | click | server | browser |\n"
    )
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"]
    for m in measured:
        times = (
            f"{m.paint:.2f} s",
            *(f"{1000 * v:,.0f} ms" for v in (m.query, m.drawn, m.first_query, m.click)),
        )
        cells = (m.source, f"{m.points:,}", *times, f"{m.memory:.2f} GiB", f"{m.browser:.2f} GiB")
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def main(arguments: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    given = [Path(argument) for argument in arguments if argument != "--write"]
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = (given[0] if given else Path(temporary)).resolve()
        if not (folder / layout.FUSION).is_dir():
            make(folder)
        asked = (sources.default(Artefacts(folder)), sources.FUSION)
        measured = [look(folder, source, playwright) for source in asked]
    text = table(measured)
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
    if "--write" in arguments:
        TABLE.write_text(TABLE.read_text().partition(MARK)[0] + MARK + text)
    kept = {"first paint": lambda m: m.paint, "query": lambda m: m.query, "memory": lambda m: m.memory}
    missed = [
        f"{name} of {m.source}" for m in measured for name, value in kept.items() if value(m) >= WANTED[name]
    ]
    if missed:
        sys.exit(f"not as quick or small as wanted: {', '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
