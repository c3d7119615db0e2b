"""Every figure of an evaluation, from what was predicted to the files and the table that people read.

The scenes are those of tests/builders/small_study.py. Of each class three numbers were read off its
matrices by hand: points that are right, annotated points, and points that are said to be of the class. IoU
is the first over the sum of the others without it.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.table import Table

from anyscene.study import literature, metrics_json, reports, table
from anyscene.study.literature import LiteratureScores
from tests.builders import small_study
from tests.builders.figures import close

WHOLE = {  # right, annotated, said; of walls, beds and chairs
    "dense": ((8, 10, 10), (6, 8, 7), (3, 4, 3)),
    "mask": ((7, 10, 9), (5, 8, 9), (2, 4, 2)),
    "capability": ((9, 10, 9), (8, 8, 8), (3, 4, 4)),
    "distilled": ((8, 10, 9), (7, 8, 8), (3, 4, 4)),
}
FOREGROUND = {  # of beds and chairs, where nothing else can be said
    "dense": ((6, 8, 7), (3, 4, 4)),
    "mask": ((6, 8, 7), (2, 4, 3)),
    "capability": ((8, 8, 8), (3, 4, 3)),
    "distilled": ((7, 8, 7), (3, 4, 4)),
}
HOUSES = {  # of the houses h1 and h2 alone
    "dense": (((6, 8, 7), (3, 4, 4), (2, 2, 2)), ((2, 2, 3), (3, 4, 3), (1, 2, 1))),
    "mask": (((6, 8, 6), (3, 4, 5), (1, 2, 1)), ((1, 2, 3), (2, 4, 4), (1, 2, 1))),
    "capability": (((8, 8, 8), (4, 4, 4), (1, 2, 1)), ((1, 2, 1), (4, 4, 4), (2, 2, 3))),
    "distilled": (((7, 8, 7), (4, 4, 4), (2, 2, 3)), ((1, 2, 2), (3, 4, 4), (1, 2, 1))),
}


def share(right, of):
    return 100 * right / of


def union(counts):
    right, annotated, said = counts
    return share(right, annotated + said - right)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def scores(row):
    """What metrics.json has of a row in `semantic`."""
    classes = dict(zip(("wall", "bed", "chair"), WHOLE[row], strict=True))
    iou = {name: union(counts) for name, counts in classes.items()}
    recall = {name: share(right, annotated) for name, (right, annotated, _) in classes.items()}
    head = ("wall", "bed")
    return {
        "mIoU": mean(iou.values()),
        "mAcc": mean(recall.values()),
        "f_mIoU": mean(map(union, FOREGROUND[row])),
        "f_mAcc": mean(share(right, annotated) for right, annotated, _ in FOREGROUND[row]),
        "per_class": iou,
        "precision": {name: share(right, said) for name, (right, _, said) in classes.items()},
        "recall": recall,
        "splits": {
            "head": {"mIoU": mean(iou[name] for name in head), "mAcc": mean(recall[name] for name in head)},
            "common": {"mIoU": iou["chair"], "mAcc": recall["chair"]},
        },
    }


def between(one, other):
    """The means of two structures of the same keys."""
    if isinstance(one, dict):
        return {name: between(one[name], other[name]) for name in one}
    return (one + other) / 2


def samples(row):
    """The mIoU of the three kinds of samples of two houses: h1 twice, either once, h2 twice."""
    if row == "shuffled":
        return [between(*both) for both in zip(samples("dense"), samples("mask"), strict=True)]
    first, second = (mean(map(union, house)) for house in HOUSES[row])
    return [first, mean(map(union, WHOLE[row])), second]


def spread(values, kinds):
    """mean, low and high over samples of these kinds. Each kind is a quarter of them or more, so the lowest
    2.5 % are all of one kind."""
    return {"mean": mean(values[kind] for kind in kinds), "low": min(values), "high": max(values)}


def sheet():
    """All of metrics.json by hand, but its section `rows`."""
    drawn = np.random.default_rng(3).multinomial(2, [0.5, 0.5], 1000)
    kinds = [2 - int(first) for first, _ in drawn]
    semantic = {row: scores(row) for row in WHOLE}
    semantic["shuffled"] = between(semantic["dense"], semantic["mask"])
    differences = {}
    for pair in ("capability - best single", "capability - mask", "distilled - capability"):
        a, b = pair.replace("best single", "dense").split(" - ")
        values = [one - other for one, other in zip(samples(a), samples(b), strict=True)]
        differences[pair] = {"value": semantic[a]["mIoU"] - semantic[b]["mIoU"], **spread(values, kinds)}
    return {
        "semantic": semantic,
        "bootstrap": {
            "scenes": 3,
            "drawn": {"what": "houses", "count": 2},
            "resamples": 1000,
            "mIoU": {row: spread(samples(row), kinds) for row in semantic},
            "best_single": "dense",
            "difference": differences,
        },
        "capability": {
            "model": {
                "dense": {
                    "capability": {"wall": 50.0, "bed": 25.0, "chair": 75.0, "lamp": 12.5},
                    "true_iou": {"wall": 50.0, "bed": 37.5, "chair": 25.0},
                    "spearman": -0.5,  # ranks 2, 1, 3 and 3, 2, 1
                },
                "mask": {
                    "capability": {"wall": 25.0, "bed": 87.5, "chair": 50.0, "lamp": 6.25},
                    "true_iou": {"wall": 12.5, "bed": 75.0, "chair": 62.5},
                    "spearman": 1.0,
                },
            },
            # 25, -62.5, 25 against 37.5, -37.5, -37.5: ranks 2.5, 1, 2.5 and 3, 1.5, 1.5
            "difference": {"dense - mask": {"spearman": 0.5}},
        },
    }


def test_every_figure_equals_that_of_the_sheet():
    found = small_study.metrics()
    for section, expected in sheet().items():
        assert found[section] == close(expected), section
    assert found["semantic"]["dense"]["per_class"]["wall"] == 66.6667


def test_points_without_a_prediction_are_left_out_where_they_are_no_errors():
    """Of dense a wall and a bed."""
    counted = small_study.tallies("ignore")
    found = metrics_json.semantic(counted.metrics(small_study.LABEL_SET))["dense"]
    iou = {"wall": share(8, 11), "bed": share(6, 8), "chair": share(3, 4)}
    recall = {"wall": share(8, 9), "bed": share(6, 7), "chair": share(3, 4)}
    assert found["per_class"] == close(iou) and found["recall"] == close(recall)
    assert found["precision"] == close(scores("dense")["precision"])
    assert found["mIoU"] == close(mean(iou.values())) and found["mAcc"] == close(mean(recall.values()))
    foreground = {"bed": share(6, 8), "chair": share(3, 5)}
    assert found["f_mIoU"] == close(mean(foreground.values()))
    assert found["f_mAcc"] == close(mean((share(6, 7), share(3, 4))))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a study in which no two figures are equal."""
    folder = tmp_path_factory.mktemp("reports")
    study = replace(small_study.study(), metrics=small_study.distinct())
    reports.write(study, small_study.NAMES, folder)
    return folder


def lines(path):
    with path.open(newline="") as file:
        return [tuple(line) for line in csv.reader(file)]


def text(values):
    return tuple(map(str, values))


def test_the_files_are_those_that_are_known_here(written):
    found = sorted(path.relative_to(written).as_posix() for path in written.rglob("*.*"))
    tables = ("capability", "classes", "confusion", "losses", "per_class", "rows")
    plots = ["plots/confusion.json", *(f"plots/{name}.csv" for name in tables)]
    assert found == sorted(["metrics.json", "summary.json", *plots])
    assert json.loads((written / "metrics.json").read_text()) == json.loads(
        json.dumps(small_study.distinct())
    )


def test_every_figure_of_the_summary(written):
    of = small_study.distinct()["semantic"]
    assert json.loads((written / "summary.json").read_text()) == {
        "mIoU": {
            "best_2d_model": of["dense"]["mIoU"],
            "capability": of["capability"]["mIoU"],
            "distilled": of["distilled"]["mIoU"],
        },
        "last_step": {"f_mIoU": of["distilled"]["f_mIoU"], "mAcc": of["distilled"]["mAcc"]},
        "capability_spearman": pytest.approx(0.365),  # the mean of 0.61 and 0.12
    }


def test_every_column_of_the_plots(written):
    found, folder = small_study.distinct(), written / "plots"
    semantic, doubt = found["semantic"], found["bootstrap"]["mIoU"]
    assert lines(folder / "rows.csv") == [
        ("row", "mIoU", "low", "high"),
        *(
            text((row, scores["mIoU"], doubt[row]["low"], doubt[row]["high"]))
            for row, scores in semantic.items()
        ),
    ]
    each = {
        row: [(name, iou, of["precision"][name], of["recall"][name]) for name, iou in of["per_class"].items()]
        for row, of in semantic.items()
    }
    assert lines(folder / "per_class.csv") == [
        ("row", "class", "IoU", "precision", "recall"),
        *(text((row, *values)) for row, classes in each.items() for values in classes),
    ]
    last = each["distilled"]  # in which the IoU of classes rises
    assert lines(folder / "classes.csv") == [
        ("class", "IoU", "precision", "recall"),
        *(text(last[place]) for place in (2, 1, 0)),
    ]
    model = found["capability"]["model"]
    assert lines(folder / "capability.csv") == [
        ("model", "class", "capability", "true_iou"),
        *(
            text((name, of, model[name]["capability"][of], model[name]["true_iou"][of]))
            for name in ("dense", "mask")
            for of in ("wall", "bed", "chair")
        ),
    ]
    assert lines(folder / "losses.csv") == [
        ("network", "step", "loss"),
        ("distilled", "0", "3.0"),
        ("distilled", "2", "1.5"),
        ("distilled", "5", "0.25"),
    ]


def test_every_cell_of_the_confusion(written):
    """In a hundredth of each class; of two equal remainders, 12.5 and 87.5, the first is rounded up."""
    found = lines(written / "plots/confusion.csv")
    counted = {pair: found.count(pair) for pair in found[1:]}
    assert found[0] == ("actual", "predicted") and counted == {
        ("wall", "wall"): 80,
        ("wall", "bed"): 10,
        ("wall", "chair"): 10,
        ("bed", "wall"): 13,
        ("bed", "bed"): 87,
        ("chair", "chair"): 75,
        ("chair", "lamp"): 25,
    }
    none, mask = [0, 0, 0, 0, 0], [[7, 3, 0, 0, 0], [2, 5, 0, 1, 0], [0, 1, 2, 0, 1]]
    dense = [[8, 1, 0, 0, 1], [1, 6, 0, 0, 1], [1, 0, 3, 0, 0]]
    assert json.loads((written / "plots/confusion.json").read_text()) == {
        "row": "distilled",
        "names": ["wall", "bed", "chair", "lamp"],
        "confusion": {
            "dense": [*dense, none],
            "mask": [*mask, none],
            "capability": [[9, 0, 1, 0, 0], [0, 8, 0, 0, 0], [0, 0, 3, 0, 1], none],
            "distilled": [[8, 1, 1, 0, 0], [1, 7, 0, 0, 0], [0, 0, 3, 1, 0], none],
            "shuffled": [[15, 4, 0, 0, 1], [3, 11, 0, 1, 1], [1, 1, 5, 0, 1], none],
        },
    }


def printed(metrics):
    """What is printed, part by part: of a table its title, its head and its lines, each with its style."""
    found = []
    for part in table.tables(metrics).renderables:
        if isinstance(part, Table):
            head = [column.header for column in part.columns]
            cells = zip(*(map(str, column.cells) for column in part.columns), strict=True)
            found.append(
                (part.title, head, [(*line, row.style) for line, row in zip(cells, part.rows, strict=True)])
            )
        elif str(part):
            found.append(str(part))
    return found


def one(value):
    return f"{value:.1f}"


def interval(doubt):
    return f"{doubt['low']:.1f} to {doubt['high']:.1f}"


TITLES = {row.name: row.title for row in small_study.ROWS}


def test_every_cell_of_the_table():
    found = small_study.distinct()
    semantic, doubt = found["semantic"], found["bootstrap"]
    model, other = found["capability"]["model"], found["label_sets"]["other"]

    def cells(row):
        of = semantic[row]
        return (
            TITLES[row],
            *(one(of[name]) for name in ("mIoU", "mAcc", "f_mIoU", "f_mAcc")),
            *(one(of["splits"][name]["mIoU"]) for name in ("head", "common")),
            interval(doubt["mIoU"][row]),
            "bold" if row == "capability" else None,
        )

    def of_other(row):
        of = other["semantic"][row]
        doubt = interval(other["bootstrap"]["mIoU"][row])
        return TITLES[row], one(of["mIoU"]), doubt, one(of["mAcc"]), one(of["f_mIoU"]), None

    def pair(name, of):
        true = model[name]["true_iou"].get(of)
        return f"{model[name]['capability'][of]:.0f} / {'-' if true is None else format(true, '.0f')}"

    *without_control, control = semantic
    sized = ["mIoU", "mAcc", "f-mIoU", "f-mAcc", "mIoU head", "mIoU common", "95 % over houses"]
    classes = ("wall", "bed", "chair", "lamp")
    difference = doubt["difference"]["distilled - capability"]
    reach = f"{difference['low']:+.1f} to {difference['high']:+.1f}"
    assert difference["value"] < 0
    assert printed(found) == [
        (
            "sheet, val: 3 scenes, 12,345 points",
            ["", *sized],
            [*map(cells, without_control), ("controls", *[""] * 7, None), cells(control)],
        ),
        (
            "the same by other label sets",
            ["", "other: mIoU", "95 % over houses", "mAcc", "f-mIoU"],
            list(map(of_other, semantic)),
        ),
        (
            "capability / true IoU",
            ["", "dense", "mask"],
            [
                *((name, pair("dense", name), pair("mask", name), None) for name in classes),
                ("Spearman", "0.61", "0.12", "bold"),
            ],
        ),
        "Spearman of the difference dense - mask: -0.34",
        ("height", ["", "known", "off"], [("fusion", "62.5", "", None), ("distilled", "3.2", "1.3", None)]),
        ("gaps", ["", "wide"], [("distilled", "0.0", None)]),
        "left out, failed in scenes: its mesh is damaged: e",
        "left out, no annotation: d",
        "superpoint distillation: sees places alone, began from demo/student, was trained on 17 scenes of "
        f"demo, {difference['value']:+.1f} over capability fusion ({reach})",
        "not in these scenes, so in no mean: lamp",
    ]


def test_published_scores_stand_beside_their_rows(monkeypatch):
    rows = {"2d_model": {"mask": 23.44}, "network": {"superpoint": 45.64}}
    known = LiteratureScores("sheet", "val", "", {"SAS": 61.94, "OV3D": 57.32}, rows)
    for module in (table, literature):
        monkeypatch.setattr(module, "published", lambda metrics: known)
    monkeypatch.setattr(literature, "unlike", lambda metrics, known: {})
    (_, head, lines), *notes = printed(small_study.distinct() | {"label_sets": {}})
    assert head[-1] == "mIoU in SAS"
    assert [line[-2] for line in lines] == ["", "23.4", "", "45.6", "", ""]
    assert "published mIoU on these scenes: SAS 61.9, OV3D 57.3" in notes
