"""The templates of pages."""

from __future__ import annotations

from pathlib import Path

import jinja2

FILES = (
    Path(__file__).with_name("page.html.j2"),
    Path(__file__).with_name("page.css"),
    Path(__file__).with_name("timings.html.j2"),
)


def template(name: str) -> jinja2.Template:
    """One of FILES. It escapes what is put into it, and an undefined name in it is an error."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({file.name: file.read_text(encoding="utf-8") for file in FILES}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["signed"] = signed
    return environment.get_template(name)


def signed(value: float) -> str:
    """`value` with its sign and one decimal. What rounds to zero has no sign."""
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}"
