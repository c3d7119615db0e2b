"""Packages that only some commands need: the extras of pyproject.toml, as the installed metadata has them."""

from __future__ import annotations

from importlib import metadata

# Import names that are not the name of their distribution.
DISTRIBUTIONS = {"open_clip": "open-clip-torch", "skimage": "scikit-image"}


def remedy(error: ImportError) -> str | None:
    """What to do about an import that failed, such as `needs viser: pip install "anyscene[viewer]"`; None
    where the missing module belongs to no extra. Of several extras that bring it the first is named."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    extra = of_module(module)
    return None if extra is None else f'needs {module}: pip install "anyscene[{extra}]"'


def of_module(module: str) -> str | None:
    """The first extra that brings the importable `module`; None for the core and for what is not known."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = canonicalize_name(DISTRIBUTIONS.get(module, module))
    requirements = [Requirement(line) for line in metadata.requires("anyscene") or ()]
    bringing = [one for one in requirements if one.marker and canonicalize_name(one.name) == wanted]
    for extra in metadata.metadata("anyscene").get_all("Provides-Extra") or ():
        if any(one.marker.evaluate({"extra": extra}) for one in bringing if one.marker):
            return str(extra)
    return None
