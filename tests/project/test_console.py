"""What is written where no person looks."""

import io

import pytest
from rich.table import Table

from anyscene.project import console

WORDS = "a" * 90


def test_no_cell_is_cut_where_there_is_no_terminal(capsys):
    table = Table("one", "two")
    table.add_row(WORDS, WORDS)
    console.stdout().print(table)
    assert capsys.readouterr().out.count(WORDS) == 2


@pytest.mark.parametrize("width", [40, 120])
def test_a_terminal_keeps_its_width(monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert console.stdout().width == width


def test_brackets_in_names_are_no_markup(capsys):
    table = Table("[bold]one", title="[/title]")
    table.add_row("[/cell]")
    console.stdout().print(table)
    console.stdout().print("a [red]b[/] [/c]")
    out = capsys.readouterr().out
    assert all(text in out for text in ("[bold]one", "[/title]", "[/cell]", "a [red]b[/] [/c]"))
