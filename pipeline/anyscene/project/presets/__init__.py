"""The settings of SAS for a data set: a file NAME.yaml in this folder, which is laid over params.yaml.

Each data set has two readings: NAME is the paper's, and NAME-code that of its released code. A file may be
laid over another, which its key `over` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from anyscene.errors import ConfigError
from anyscene.project import outputs, parameters

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def is_first(name: str) -> bool:
    """Whether a preset is laid over no other."""
    return "over" not in parameters.read(FOLDER / f"{name}.yaml")


def read(name: str) -> dict[str, Any]:
    """The sections and keys that a preset sets. Raises ConfigError where there is no such preset, or it sets
    what that below it has not."""
    if name not in names():
        raise ConfigError(f"no preset is called {name!r}; there are {', '.join(names())}")
    settings: dict[str, Any] = parameters.read(FOLDER / f"{name}.yaml")
    if "over" not in settings:
        return settings
    below = read(settings.pop("over"))
    lay(below, settings, f"preset {name}")
    return below


def load(name: str, params: Path, root: Path | None = None) -> parameters.Params:
    """The parameters of the file `params` with a preset laid over them. Nothing is written. root: the folder
    of the scans; None: as in `params`. Raises ConfigError where there is no such preset, or a value is
    wrong."""
    values = parameters.read(params)
    try:
        lay(values, _rooted(read(name), root), str(params))
    except ConfigError:
        parameters.load(params)  # says which of the file's own keys are not known any more
        raise
    return parameters.parse(values, f"{params} with preset {name}")


def write(name: str, params: Path, root: Path | None = None) -> parameters.Params:
    """Write the keys of a preset into the file `params`, and keep its other keys and its comments. Raises
    ConfigError as `load`, and then leaves the file as it is."""
    settings = load(name, params, root)
    _rewrite(params, _rooted(read(name), root), settings)
    return settings


def change(params: Path, overlay: Mapping[str, Any]) -> parameters.Params:
    """Write the values of the nested mapping `overlay` into the file `params`, and keep its other keys and
    its comments. Raises ConfigError where there is no such key or a value is wrong, and then leaves the file
    as it is."""
    values = parameters.read(params)
    lay(values, overlay, str(params))
    settings = parameters.parse(values, str(params))
    _rewrite(params, overlay, settings)
    return settings


def _rewrite(params: Path, overlay: Mapping[str, Any], settings: parameters.Params) -> None:
    """Lay `overlay` over the file `params`, which then holds `settings`."""
    round_trip = _round_trip()
    values = round_trip.load(params.read_text(encoding="utf-8"))
    lay(values, overlay, str(params))
    with outputs.replaced(params) as partial:
        with partial.open("w", encoding="utf-8") as stream:
            round_trip.dump(values, stream)
        if parameters.load(partial) != settings:
            raise ConfigError(f"{params}: cannot hold the values that were to be set; it is as it was")


def _round_trip() -> YAML:
    """Reads and writes YAML with its comments, in the layout in which `dvc exp run -S` rewrites params.yaml.
    So an experiment that changes nothing leaves the file as it is."""
    round_trip = YAML(typ="rt")
    round_trip.default_flow_style = False
    return round_trip


def lay(values: Any, overlay: Mapping[str, Any], where: str) -> None:
    """Replace the leaves of the nested mapping `values` by those of `overlay`, in place. A list is a leaf.
    Raises ConfigError where `overlay` has a key that `values` has not."""
    for key, value in overlay.items():
        if key not in values:
            raise ConfigError(f"{where}: has no key '{key}', which the preset sets")
        if isinstance(value, Mapping):
            lay(values[key], value, f"{where}: {key}" if ": " not in where else f"{where}.{key}")
        elif isinstance(value, list) and isinstance(values[key], CommentedSeq):
            values[key][:] = value  # in place, so that comments after it stay
            values[key].fa.set_block_style()
        else:
            values[key] = value


def _rooted(overlay: dict[str, Any], root: Path | None) -> dict[str, Any]:
    if root is not None:
        overlay["dataset"]["root"] = str(root)
    return overlay
