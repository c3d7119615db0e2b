"""What all stages are made by at this moment -> data/freshness.json, which DVC compares."""

from anyscene.cli.command import command
from anyscene.project import freshness, parameters
from anyscene.project.stages import PARAMETERS, declared


def main() -> None:
    """Check all parameters, and look up the code, packages and files that every stage is made by."""
    freshness.write(declared().values(), parameters.load(PARAMETERS))


if __name__ == "__main__":
    command(main)()
