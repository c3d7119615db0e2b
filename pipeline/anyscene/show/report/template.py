"""The pages' templates."""

from __future__ import annotations

import jinja2


def template(name: str) -> jinja2.Template:
    """One of this folder. What is put into it is escaped; a name that it lacks is an error."""
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
    """One decimal with its sign; what rounds to nothing has none."""
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}"
