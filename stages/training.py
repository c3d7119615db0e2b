"""An entry of `training` -> models/NAME: a network that predicts features from 3D alone."""

from pathlib import Path

from anyscene.cli.command import command
from anyscene.learning.train import train_network
from anyscene.project import parameters
from anyscene.project.layout import Artefacts


def main(name: str, params: Path = Path("params.yaml")) -> None:
    """Train the network NAME of params.yaml on the training scenes."""
    train_network(name, parameters.load(params), Artefacts(params.parent), code="")


app = command(main)

if __name__ == "__main__":
    app()
