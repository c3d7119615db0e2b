"""What all stages are made by at this moment -> data/freshness.json, which DVC compares."""

from anyscene.cli.command import command
from anyscene.errors import ConfigError
from anyscene.project import freshness, layout, parameters
from anyscene.project.stages import declared


def main() -> None:
    """Check all parameters, and look up the code, packages and files that every stage is made by."""
    params = parameters.load(layout.PARAMETERS)
    for name, path in parameters.missing_starts(params, layout.NETWORKS).items():
        raise ConfigError(
            f"training.{name}.from: {path} is not there; name another entry, or a folder of models/"
        )
    freshness.write(declared().values(), params)


if __name__ == "__main__":
    command(main)()
