"""Training curves: DVCLive writes them, `dvc plots` and the report draw them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from dvclive.live import Live
from scmrepo.exceptions import SCMError

from anyscene.arrays import F8
from anyscene.errors import TrainingError
from anyscene.project.digests import Digests

FOLDER = "curves"  # in the folder of the network
Row = dict[str, float]  # step, and its figures by name


class Curve:
    """The curve of the network that will lie in `folder`. Raises TrainingError in a Git repository without a
    commit, in which DVCLive does not start."""

    def __init__(self, folder: Path):
        try:
            self._live = Live(str(Path(folder) / FOLDER), dvcyaml=None, report=None, save_dvc_exp=False)
        except SCMError as error:
            raise TrainingError(
                f"{folder}: DVCLive needs a commit in the Git repository around it ({error}); make one, such "
                "as `git commit --allow-empty -m begin`, and run this again"
            ) from error

    def add(self, row: Row) -> None:
        """Append the row of one step, and write it."""
        self._live.step = int(row["step"])
        for name, value in row.items():
            if name != "step":
                self._live.log_metric(name, value)
        self._live.make_summary()  # type: ignore[no-untyped-call]  # dvclive leaves it without types

    def replay(self, rows: Iterable[Row]) -> None:
        """Begin with the rows of an earlier run."""
        for row in rows:
            self.add(row)


def digest(folder: Path) -> str:
    """16 digits of the files of the curve of the network in `folder`. Raises OSError where one cannot be
    read."""
    with Digests(None) as digests:
        return digests(Path(folder) / FOLDER, lambda _: True)[:16]


def rows(folder: Path, names: Iterable[str]) -> list[Row]:
    """The figures `names` of every step from the curve of the network in `folder`. Raises TrainingError where
    one was not recorded."""
    columns = {name: read(folder, name) for name in names}
    return [
        {name: float(values[place]) for name, (_, values) in columns.items()}
        for place in range(min(len(values) for _, values in columns.values()))
    ]


def read(folder: Path, name: str = "loss") -> tuple[F8, F8]:
    """(steps f8[n], values f8[n]) of the figure `name` from the curve of the network in `folder`. Raises
    TrainingError where it was not recorded."""
    path = Path(folder) / FOLDER / "plots" / "metrics" / f"{name}.tsv"
    try:
        table = np.loadtxt(path, skiprows=1, ndmin=2, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: not readable as a curve ({error}); train again") from error
    return table[:, 0], table[:, 1]
