"""Which trainings are compared with which released code."""

from dataclasses import replace

from benchmarks.speed.peers import training as peer
from benchmarks.speed.training import rivals


def test_every_training_of_the_project_has_the_rival_of_its_kind(project):
    training = project.params.training
    found = rivals(training)
    assert {name: released.kind for name, released in found.items()} == {
        name: entry.kind for name, entry in training.items()
    }
    assert set(found.values()) == set(peer.ALL)


def test_two_entries_of_a_kind_are_both_compared_and_one_without_a_rival_is_not(project):
    first = next(iter(project.params.training.values()))
    found = rivals({"one": first, "two": first, "three": replace(first, kind="of another package")})
    assert list(found) == ["one", "two"] and len(set(found.values())) == 1
