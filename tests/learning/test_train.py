"""What a training is asked for."""

import pytest

from anyscene.errors import ConfigError
from anyscene.learning.train import train_network
from anyscene.project import parameters
from anyscene.project.freshness import Freshness
from anyscene.project.layout import Artefacts
from tests.builders import REPOSITORY


def test_a_network_that_is_no_entry_is_refused(tmp_path):
    params = parameters.load(REPOSITORY / "params.yaml")
    there = ", ".join(params.training)
    with pytest.raises(ConfigError, match=f"no network 'none' in `training`; there are {there}$"):
        train_network("none", params, Artefacts(tmp_path), Freshness("code"))
    assert not list(tmp_path.iterdir())
