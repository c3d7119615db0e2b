from types import SimpleNamespace

import pytest

from anyscene.project import progress as module
from anyscene.project.progress import progress


@pytest.fixture
def seconds(monkeypatch):
    """A clock that stands at the end of the list."""
    passed = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: passed[-1]))
    return passed


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(module, "BRIEF", 0)


def test_the_first_five_seconds_are_silent(seconds, capfd):
    with progress("work", 4) as advance:
        for now in (1.0, 4.9, 5.0, 6.0):
            seconds.append(now)
            advance()
    assert capfd.readouterr().err.splitlines() == [
        "work: 3/4, 5 s, about 2 s left",
        "work: 4/4, 6 s, about 0 s left",
    ]


def test_work_of_less_has_no_line(seconds, capfd):
    with progress("work", 30) as advance:
        for step in range(30):
            seconds.append(step * 4.9 / 29)
            advance()
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_a_line_at_every_tenth(capfd):
    with progress("work", 30) as advance:
        for step in range(30):
            advance(f"loss {step}")
    lines = capfd.readouterr().err.splitlines()
    assert (
        len(lines) == 10
        and lines[0].startswith("work: 3/30, loss 2, ")
        and lines[-1].startswith("work: 30/30")
    )
    assert lines[0].endswith("s left")


@pytest.mark.usefixtures("at_once")
def test_a_line_after_a_long_silence(monkeypatch, capfd):
    monkeypatch.setattr(module, "SILENCE", 0)
    with progress("work", 30) as advance:
        for _ in range(30):
            advance()
    assert len(capfd.readouterr().err.splitlines()) == 30


@pytest.mark.usefixtures("at_once")
def test_few_pieces_have_a_line_each(capfd):
    with progress("work", 2) as advance:
        advance()
        advance()
    assert [line.split(",")[0] for line in capfd.readouterr().err.splitlines()] == ["work: 1/2", "work: 2/2"]


@pytest.mark.usefixtures("at_once")
def test_brackets_in_names_are_no_markup(capfd):
    with progress("training [/bold] [red]", 1) as advance:
        advance("scene [/x]")
    assert capfd.readouterr().err.startswith("training [/bold] [red]: 1/1, scene [/x], ")


def test_what_was_done_is_told_of_what_is_stopped():
    with pytest.raises(KeyboardInterrupt) as stopped, progress("scenes", 12) as scenes:
        scenes()
        scenes("one more")
        with progress("frames", 30):
            raise KeyboardInterrupt
    assert stopped.value.__notes__ == ["0 of 30", "2 of 12"]


def test_nothing_to_do_is_silent(capfd):
    with progress("work", 0) as advance:
        advance()
    assert capfd.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("work", 2) as advance:
        advance("loss 3")
        advance("loss 4")
    assert "2/2" in capfd.readouterr().err
