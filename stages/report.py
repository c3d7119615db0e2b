"""What the other stages have written -> reports/index.html, one file to look at offline."""

from pathlib import Path

from rich.console import Console

from pipeline import config
from pipeline.evaluation.artefacts import Artefacts
from pipeline.report.page import build
from stages import command

PAGE = Path("reports/index.html")


def report(params: Path = Path("params.yaml")) -> None:
    """Write reports/index.html, and say in it what is missing where the run is partial."""
    page = build(config.load(params), Artefacts(params.parent))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page)
    Console(highlight=False).print(f"report: {PAGE.resolve()} ({len(page) / 1e6:.1f} MB)")


app = command(report)

if __name__ == "__main__":
    app()
