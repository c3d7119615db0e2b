"""Training that is killed, resumed, and ends with the bits of one that was not."""

import multiprocessing
import signal
import time

import numpy as np
import pytest
import safetensors.torch

from anyscene.errors import OutputError, TrainingError
from anyscene.learning.engine.checkpoint import Checkpoints
from tests.builders import resumable, training_rooms
from tests.builders.files import tree_hash

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    training_rooms.write(folder, range(5))
    return folder


def test_killed_at_ten_random_steps_it_ends_with_the_same_bits(world, tmp_path):
    resumable.run(world, tmp_path / "undisturbed", tmp_path / "whole")
    rng = np.random.default_rng(0)
    for step in np.sort(rng.choice(np.arange(2, resumable.STEPS - 1), 10, replace=False)):
        process, steps = started(world, tmp_path)
        while steps.recv() < step:
            pass
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        steps.close()
    assert list((tmp_path / "checkpoints").glob("step-*"))
    process, steps = started(world, tmp_path)
    assert [steps.recv() for _ in range(resumable.STEPS)] == list(range(resumable.STEPS))
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not (tmp_path / "checkpoints").exists()


def started(world, folder):
    """The training, in a process of its own, and a connection on which the number of every step done comes.

    A server that has imported torch once forks all of them: the import takes longer than the training.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([resumable.__name__, "torch._dynamo"])  # optimisers import the second
    steps, sending = context.Pipe(duplex=False)
    arguments = (world, folder / "checkpoints", folder / "resumed")
    process = context.Process(target=resumable.run, args=arguments, kwargs={"announce": sending.send})
    process.start()
    sending.close()
    return process, steps


@pytest.fixture
def stopped(world, tmp_path, monkeypatch):
    """Checkpoints of a training that stopped after ten steps."""
    save = Checkpoints.save

    def stop(self, identity, rows, *rest):
        save(self, identity, rows, *rest)
        if len(rows) == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stop)
        patch.setattr(resumable, "SECONDS", 0)
        with pytest.raises(KeyboardInterrupt):
            resumable.run(world, tmp_path / "checkpoints", tmp_path / "out")
    return tmp_path / "checkpoints"


def test_only_the_last_checkpoint_is_kept(stopped):
    assert sorted(path.name for path in stopped.iterdir()) == ["memory", "step-10"]
    assert len(list((stopped / "memory").iterdir())) == 5


def test_a_checkpoint_of_another_training_is_left_alone(world, stopped, tmp_path, capsys):
    resumable.run(world, stopped, tmp_path / "other", seed=1, steps=3)
    assert capsys.readouterr().out.split()[-3:] == ["0", "1", "2"]
    resumable.run(world, tmp_path / "fresh", tmp_path / "again", seed=1, steps=3)
    assert (tmp_path / "other").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("file", ["model.safetensors", "optimiser.safetensors", "state.json", "memory"])
def test_a_damaged_checkpoint_is_named(world, stopped, tmp_path, file):
    damaged = next((stopped / "memory").iterdir()) if file == "memory" else stopped / "step-10" / file
    damaged.write_bytes(damaged.read_bytes()[:100])
    left = tree_hash(stopped)
    with pytest.raises(TrainingError, match=r"(step-10|room).*remove .*checkpoints"):
        resumable.run(world, stopped, tmp_path / "out")
    assert tree_hash(stopped) == left  # what can still be saved of it is its owner's to decide


@pytest.mark.parametrize("file", ["model.safetensors", "optimiser.safetensors"])
def test_altered_bytes_are_noticed(world, stopped, tmp_path, file):
    damaged = stopped / "step-10" / file
    content = bytearray(damaged.read_bytes())
    content[-40] ^= 1
    damaged.write_bytes(content)
    left = tree_hash(stopped)
    with pytest.raises(TrainingError, match=r": not readable as a checkpoint \(its bytes have changed"):
        resumable.run(world, stopped, tmp_path / "out")
    assert tree_hash(stopped) == left


@pytest.mark.parametrize("file", range(4))
def test_a_checkpoint_that_cannot_be_saved_leaves_the_older_one(world, stopped, tmp_path, monkeypatch, file):
    """As where the disk is full at its first, second, ... file. The training goes on from the older one."""
    save, saved = safetensors.torch.save, []

    def full(tensors):
        saved.append(tensors)
        if len(saved) > file:
            raise OSError(28, "No space left on device")
        return save(tensors)

    before = tree_hash(stopped / "step-10")
    with monkeypatch.context() as patch:
        patch.setattr(resumable, "SECONDS", 0)
        patch.setattr(safetensors.torch, "save", full)
        with pytest.raises(OutputError, match=r"step-11: cannot be written \(No space left"):
            resumable.run(world, stopped, tmp_path / "out")
    assert [path.name for path in stopped.glob("*step*")] == ["step-10"]
    assert tree_hash(stopped / "step-10") == before
    resumable.run(world, stopped, tmp_path / "resumed")
    resumable.run(world, tmp_path / "fresh", tmp_path / "whole")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_half_written_checkpoint_does_not_count(world, stopped, tmp_path, capsys):
    (stopped / ".12.partial").mkdir()
    (stopped / ".12.partial" / "state.json").write_text("{")
    resumable.run(world, stopped, tmp_path / "resumed")
    resumable.run(world, tmp_path / "fresh", tmp_path / "whole")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
