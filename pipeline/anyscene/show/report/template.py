"""The templates of pages."""

from __future__ import annotations

import jinja2


def template(name: str) -> jinja2.Template:
    """A template of this folder. It escapes what is put into it, and an undefined name in it is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("anyscene.show.report", "."),
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
