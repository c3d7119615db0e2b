"""An entry of `training` -> models/NAME: a network that predicts features from 3D alone."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "training",
    each="training",
    by_step=True,
    reads=(
        layout.SCENES,
        layout.SUPERPOINTS,
        layout.DATA / "${item.target}",
        layout.DATA / "${item.beside}",
        layout.NETWORKS / "${item.from}",
    ),
    writes=(layout.NETWORKS / "${key}", layout.TRAINED / "${key}.json"),
    parameters=("augmentation", "network", "training.${key}"),
    files=named.objective_files,
    modules=named.objective_code,
    settings=named.objective_settings,
)


def training(name: str, params: Params, fresh: Freshness) -> None:
    """Train the network NAME of params.yaml on the training scenes."""
    from anyscene.learning.train import train_network

    train_network(name, params, layout.Artefacts(), fresh)


app = stage_command(STAGE, training)

if __name__ == "__main__":
    app()
