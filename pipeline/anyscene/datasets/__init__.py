"""Readers of raw scans, and label sets.

`dataset.reader` names one of the readers that packages offer under the entry points `anyscene.readers`
(`entry.Entry`). Readers do not know each other, and nothing here imports one except through its entry.
"""

from anyscene.datasets.entry import Entry, Extent
from anyscene.datasets.label_sets import LabelSet, label_set
from anyscene.datasets.protocol import Dataset
from anyscene.datasets.truth import Truth
from anyscene.errors import ConfigError
from anyscene.project import layout, parameters

__all__ = [
    "REGISTRY",
    "Dataset",
    "Entry",
    "Extent",
    "LabelSet",
    "Truth",
    "entry",
    "label_set",
    "open_dataset",
]

REGISTRY = parameters.Dataset.ENTRIES


def entry(name: str) -> Entry:
    """The reader `name`. Raises ConfigError where no package offers that name, or what it offers is not an
    Entry of that name."""
    found = REGISTRY.get(name)
    if not isinstance(found, Entry) or found.name != name:
        raise ConfigError(
            f"{REGISTRY.group}: {name!r} is {found!r}, wanted an Entry of that name; correct its package"
        )
    return found


def open_dataset(dataset: parameters.Dataset, scenes: parameters.Scenes) -> Dataset:
    """The raw scans that params.yaml names. Raises ConfigError as `entry`."""
    return entry(dataset.reader).open(dataset, scenes, layout.DIGESTS)
