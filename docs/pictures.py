"""python -m docs.pictures: docs/viewer.png and docs/viewer-dark.png, what `anyscene view` shows of a query.

It needs `make demo`, and Chromium, which draws with WebGL in software.
"""

from __future__ import annotations

import subprocess
import sys

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.speed.viewer import FLAGS, chromium

SCENE, TEXT = "val_000", "somewhere to sit"
SIZE = (960, 640)
PICTURES = {"docs/viewer.png": (), "docs/viewer-dark.png": ("--dark",)}  # with options of the command
TURNED, MOVED = (0, 45), (-150, -20)  # pixels to the right and down, by which the mouse is drawn
WHEEL = 3  # turns of the mouse's wheel
SETTLED = 8000  # milliseconds after which the colours of the text are drawn, also where the machine is busy


def picture(browser: Browser, path: str, options: tuple[str, ...]) -> None:
    """Write the page, once it shows where the text is."""
    command = [sys.executable, "-m", "anyscene.cli.view", SCENE, "--port", "0", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = next((line.split()[0] for line in server.stdout if line.startswith("http")), None)
        if address is None:
            sys.exit("anyscene view did not start")
        tab = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        tab.set_default_timeout(120_000)
        tab.goto(address, wait_until="commit")
        field = tab.get_by_text("find", exact=True).first.locator("xpath=following::input[1]")
        field.fill(TEXT)
        tab.get_by_text("centre / m").first.wait_for()
        tab.get_by_text("Software WebGL").locator("xpath=following::button[1]").click()
        tab.wait_for_timeout(SETTLED)
        _closer(tab)
        tab.wait_for_timeout(SETTLED)
        tab.screenshot(path=path)
        tab.close()
    finally:
        server.terminate()
        server.wait()


def _closer(tab: Page) -> None:
    """Look from higher up, and draw the room larger, to the left of the panel."""
    for button, (right, down) in (("left", TURNED), ("right", MOVED)):
        tab.mouse.move(SIZE[0] / 2, SIZE[1] / 2)
        tab.mouse.down(button=button)
        tab.mouse.move(SIZE[0] / 2 + right, SIZE[1] / 2 + down, steps=8)
        tab.mouse.up(button=button)
    for _ in range(WHEEL):
        tab.mouse.wheel(0, -100)
        tab.wait_for_timeout(300)


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for path, options in PICTURES.items():
            picture(browser, path, options)
        browser.close()


if __name__ == "__main__":
    main()
