"""A checkpoint of OpenScene or SAS -> a trained network in models/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from anyscene.cli.command import command
from anyscene.errors import CheckpointError, OutputError
from anyscene.networks.checkpoint import DESCRIPTION, save
from anyscene.networks.published import network_of
from anyscene.project import outputs
from anyscene.project.digests import content_hash
from anyscene.segmenters.precomputed.converters import torch_file


def main(
    file: Annotated[Path, typer.Argument(help="such as scannet_lseg.pth.tar or model_best.pth.tar")],
    out: Annotated[Path, typer.Option(help="folder to write: models/NAME")],
    title: Annotated[str | None, typer.Option(help="its name in tables; default: that of the folder")] = None,
    voxel: Annotated[
        float, typer.Option(min=0.001, max=10, help="side of a voxel in metres; nuScenes: 0.05")
    ] = 0.02,
) -> None:
    """Take over a trained network of OpenScene or SAS. `query`, `view`, `predict` and evaluation take it by
    its name, and a training can begin from it."""
    if (out / DESCRIPTION).exists():
        raise OutputError(f"{out}: there is a network already; give another folder, or remove it")
    outputs.check_folder(out)
    network = network_of(_state(file), str(file))
    about = {
        "name": out.name,
        "title": title or out.name,
        "kind": "published",
        "start": None,
        "place": 0,
        "supervised": False,
        "voxel": voxel,
        "input": "geometry",
        "made": {"file": file.name, "sha256": content_hash(file)},
    }
    save(network, out, about)
    settings = network.settings
    bias = "with a bias" if settings["bias"] else "without a bias"
    typer.echo(f"{out}: MinkUNet{settings['variant']}, {settings['out_channels']} wide, last layer {bias}")
    typer.echo("text.encoder must be the network's text space: as wide, and of the same CLIP")


def _state(file: Path) -> Mapping[str, Any]:
    """The state dict in a checkpoint, which may hold an optimiser and scores beside it."""
    content = torch_file.load(file, "get it again")
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = {} if state is None else {name: one for name, one in state.items() if hasattr(one, "shape")}
    if not tensors:
        raise CheckpointError(f"{file}: holds no state dict")
    return tensors


app = command(main)

if __name__ == "__main__":
    app()
