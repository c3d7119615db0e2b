import pytest

from anyscene.errors import ConfigError
from anyscene.learning.entry import Entry
from tests.builders import objectives
from tests.builders.objectives import MaskedViews, Probe, ProbeSettings


def test_an_entry_says_what_its_class_is():
    assert objectives.MASKED.load() is MaskedViews
    assert objectives.PROBE.load() is Probe
    hidden = Entry("a probe that hides it", ProbeSettings, objectives.PROBE.objective)
    with pytest.raises(ConfigError, match="Probe: its entry names other settings"):
        hidden.load()
    with pytest.raises(ConfigError, match=r"no\.such:Thing: cannot be imported"):
        Entry("nothing", ProbeSettings, "no.such:Thing").load()
