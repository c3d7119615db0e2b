from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from anyscene.datasets import label_set
from anyscene.errors import StoreError
from anyscene.study import rows
from anyscene.study.table import show, tables
from tests.builders import figures

SCANNET = label_set("scannet20")


def test_table_names_rows_controls_and_what_is_missing(study):
    out = io.StringIO()
    Console(file=out, width=120).print(tables(study.metrics))
    text = out.getvalue()
    for words in (
        "2D model dense",
        "capability fusion",
        "controls",
        "fusion by shuffled capability",
        "Spearman of the difference dense - mask: 1.00",
        "left out, the network was not trained: + temporal ensembling",
        "left out, it is lost: superpoint distillation",
        "these networks were trained with labels, the others were not: temporal ensembling",
        "otherfurniture",
        "no annotation: f",
    ):
        assert words in text
    assert "50 / 60" in text and "20 / -" in text
    lines = [line.split() for line in text.splitlines()]
    assert [["height"], ["known", "off"], ["fusion", "62.5"], ["ensembled", "1.2"]] == [
        line for line in lines if (line and line[0] in ("height", "known")) or "62.5" in line or "1.2" in line
    ]


def test_the_way_to_the_last_step_leads_through_what_its_network_began_from():
    every = [
        figures.row(name) for name in ("dense", "capability", "pixelwise", "distilled", "ensembled", "max")
    ]
    assert rows.last_step(every).name == "ensembled"
    assert [row.name for row in rows.steps(every)] == ["capability", "distilled", "ensembled"]
    without_start = [row for row in every if row.name != "distilled"]
    assert [row.name for row in rows.steps(without_start)] == ["capability", "ensembled"]
    assert [row.name for row in rows.steps(every[:1])] == [] and rows.last_step([]) is None
    circle = [replace(every[3], start="ensembled"), every[4]]
    assert {row.name for row in rows.steps(circle)} == {"distilled", "ensembled"}


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": [{"supervisedd": 3}]},
        {"rows": 3},
        {"bootstrap": {}},
        {"points": "many"},
        {"semantic": {"dense": {}}},
        {"capability": None},
    ],
)
def test_damaged_metrics_are_named(study, tmp_path, damage):
    show(study.metrics, tmp_path)
    with pytest.raises(
        StoreError, match=r"metrics\.json: damaged, cannot be shown \(.*run `dvc repro evaluation`"
    ):
        show(study.metrics | damage, tmp_path)


def test_brackets_in_names_are_shown(study, tmp_path, capsys):
    page = tmp_path / "[red]" / "index.html"
    page.parent.mkdir()
    page.touch()
    tasks = {"[/task]": {"[bold]source": {"[/figure]": 1.0}}}
    show(study.metrics | {"tasks": tasks, "label_set": "[/set]"}, page)
    out = capsys.readouterr().out
    for text in ("[/task]", "[bold]source", "[/figure]", "[/set], ", f"report: {page}"):
        assert text in out
