"""What all stages are made by at this moment -> data/freshness.json, which DVC compares."""

from pathlib import Path

from anyscene.cli.check import check
from anyscene.cli.command import command
from anyscene.project import experiment, freshness, layout, parameters
from anyscene.project.stages import declared


def main() -> None:
    """Check all parameters, and look up the code, packages and files that every stage is made by."""
    params, stages = parameters.load(layout.PARAMETERS), declared()
    experiment.link(stages, params)
    experiment.remember(Path(params.dataset.root))
    check(params)
    freshness.write(stages.values(), params)


if __name__ == "__main__":
    command(main)()
