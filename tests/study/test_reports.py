"""The files of an evaluation: all new ones, or all those of before."""

import json

import pytest

from anyscene.datasets import label_set
from anyscene.errors import OutputError, StoreError
from anyscene.study import reports
from tests.builders.full_disk import full_disk

NAMES = label_set("scannet20").names


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


@pytest.mark.parametrize("file", ["metrics.json", "summary.json", "plots/rows.csv", "plots/per_class.csv"])
def test_a_full_disk_keeps_all_older_files_together(study, tmp_path, file):
    reports.write(study, NAMES, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    older = {name: b"of before" for name in whole}
    for name, content in older.items():
        (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / name).write_bytes(content)
    with full_disk(len(whole[file]) - 1), pytest.raises(OutputError, match=r"cannot be written .*unchanged"):
        reports.write(study, NAMES, tmp_path / "reports")
    assert contents(tmp_path / "reports") == older
    reports.write(study, NAMES, tmp_path / "reports")
    assert contents(tmp_path / "reports") == whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ": nothing was evaluated yet; run `dvc repro`"),
        ("{", r" is damaged \(.*\): run `dvc repro evaluation`"),
        ("[1]", r" is damaged \(.*\): run `dvc repro evaluation`"),
        ("{}", " says nothing of its rows: run `dvc repro evaluation`"),
    ],
)
def test_what_was_not_written_by_an_evaluation_is_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(StoreError, match=rf"metrics\.json{said}$"):
        reports.read(tmp_path)


def test_figures_that_cannot_be_summed_up_replace_none(study, tmp_path):
    reports.write(study, NAMES, tmp_path)
    whole = contents(tmp_path)
    del study.metrics["capability"]["model"]["dense"]["capability"]
    study.metrics["bootstrap"]["best_single"] = "one that has no scores"
    with pytest.raises(KeyError):
        reports.write(study, NAMES, tmp_path)
    assert contents(tmp_path) == whole


def test_tables_of_an_older_version_go(study, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/of_before.csv").write_text("a,b\n")
    reports.write(study, NAMES, tmp_path)
    assert not (tmp_path / "plots/of_before.csv").exists() and (tmp_path / "plots/rows.csv").is_file()
    assert json.loads((tmp_path / "metrics.json").read_text()) == study.metrics
