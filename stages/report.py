"""What the other stages have written -> reports/index.html, to look at offline; timings.html beside it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from anyscene.cli.command import command
from anyscene.project import parameters
from anyscene.project.layout import Artefacts
from anyscene.show.report import page, strip, timings
from anyscene.show.report.run import Run

PAGE, TIMINGS = Path("reports/index.html"), Path("reports/timings.html")


def report(
    params: Path = Path("params.yaml"),
    picture: Annotated[
        Path | None, typer.Option(help="write a picture of one scene in place of the page")
    ] = None,
    scene: Annotated[str | None, typer.Option(help="its name; default: the first of the split")] = None,
) -> None:
    """Write reports/index.html, and say in it what is missing where the run is partial."""
    settings, artefacts = parameters.load(params), Artefacts(params.parent)
    if picture is not None:
        strip.write(scene, Run(settings, artefacts), picture)
        return
    text = page.build(settings, artefacts)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    TIMINGS.write_text(timings.build(settings, artefacts))
    Console(highlight=False).print(f"report: {PAGE.resolve()} ({len(text) / 1e6:.1f} MB)")


app = command(report)

if __name__ == "__main__":
    app()
