"""Every number and the place of every mark on the page, from figures of which no two are equal.

Of each section all texts with a digit are compared, and all attributes with one. So a number that is not
known here makes a test fail, too."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
import yaml
import zarr

from anyscene import datasets
from anyscene.project import layout, parameters, store, timing
from anyscene.project.layout import Artefacts
from anyscene.show import palette
from anyscene.show.report import drawn_scene, page, run, timings
from anyscene.show.viewpoint import Viewpoint
from anyscene.study import ablation, reports
from anyscene.tasks.segmentation import evaluate
from tests.builders import markup, miniature, small_study
from tests.builders.markup import figures, places

pytestmark = pytest.mark.integration

METRICS = small_study.distinct()
ROWS = tuple(METRICS["semantic"])
TITLES = {row.name: row.title for row in small_study.ROWS}
STAGES = ("scenes", "projection@dense", "fusion")
LOSSES = {  # network -> the losses of its steps, and where the line goes in a box of 300 x 150
    "pixelwise": ({0: 4.0, 10: 2.0, 20: 1.0}, "M0.0 0.0L150.0 75.0L300.0 112.5"),
    "distilled": ({0: 1.0, 30: -1.0, 40: 0.0}, "M0.0 0.0L225.0 150.0L300.0 75.0"),
    "ensembled": ({5: 8.0, 20: 6.0}, "M75.0 0.0L300.0 37.5"),
}
TICKS = {  # network -> of its axes: (text, place)
    "pixelwise": (
        [("0", 0), ("5", 75), ("10", 150), ("15", 225), ("20", 300)],
        [("0", 150), ("1", 112.5), ("2", 75), ("3", 37.5), ("4", 0)],
    ),
    "distilled": (
        [("0", 0), ("10", 75), ("20", 150), ("30", 225), ("40", 300)],
        [("-1", 150), ("-0.5", 112.5), ("0", 75), ("0.5", 37.5), ("1", 0)],
    ),
    "ensembled": (
        [("0", 0), ("5", 75), ("10", 150), ("15", 225), ("20", 300)],
        [("0", 150), ("2", 112.5), ("4", 75), ("6", 37.5), ("8", 0)],
    ),
}
PICTURES = (
    drawn_scene.GalleryPicture("colour", "data:,"),
    drawn_scene.GalleryPicture("2D model dense", "data:,", 12.34, frozenset({0, 3})),
    drawn_scene.GalleryPicture("capability fusion", "data:,", 56.78),
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """(folder, parameters) of a finished project with the figures of a study on a sheet of paper."""
    folder = tmp_path_factory.mktemp("page")
    params = miniature.write(folder, spacing=0.5)
    study = replace(small_study.study(), metrics=METRICS)
    reports.write(study, small_study.NAMES, folder / "reports")
    for name, (losses, _) in LOSSES.items():
        lines = "".join(f"{step}\t{loss}\n" for step, loss in losses.items())
        file = folder / "models" / name / "curves/plots/metrics/loss.tsv"
        file.write_text(f"step\tloss\n{lines}")
    label = zarr.open_group(folder / "data/labels/room1.zarr", mode="r+")["label"]
    label[::5], label[1::5] = -1, 10  # as the networks say, which have random weights
    (folder / "data/fusion/large").write_bytes(bytes(2_340_000))
    (folder / "data/fusion/.gitignore").write_text("/large")
    seeds = {name: replace(getattr(params, name), seed=seed) for name, seed in SEEDS.items()}
    training = {
        name: replace(entry, seed=20 + place) for place, (name, entry) in enumerate(params.training.items())
    }
    params = replace(
        params,
        **seeds,
        vocabulary=small_study.NAMES,
        training=training,
        report=replace(params.report, scenes=1),
    )
    return folder, params


SEEDS = {"world": 11, "synthesis": 12, "evaluation": 13}


@pytest.fixture(scope="module")
def sections(evaluated):
    """The parts of the page by their ids."""
    scene = drawn_scene.DrawnScene("room0", PICTURES, agreement=("its depth maps agree to 31 mm",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn_scene, "draw", lambda name, run: scene)
        text = page.build(evaluated[1], Artefacts(evaluated[0]), STAGES)
    root = markup.read(text)
    outside = [one.tag for one in root.all("body")[0].inside if isinstance(one, markup.Element)]
    assert set(outside) == {"header", "section"}
    return markup.sections(root)


def test_the_sections_are_those_that_are_known_here(sections):
    known = ("header", "ablation", "tasks", "classes", "capability", "scenes", "synthesis", "training", "run")
    assert tuple(sections) == known


def one(value):
    return f"{value:.1f}"


def signed(value):
    return f"{value:+.1f}"


def test_the_head(sections):
    head = sections["header"]
    found = zip(head.all("dt"), head.all("dd"), strict=True)
    assert [(name.text, value.text) for name, value in found] == [
        ("mIoU of the best 2D model, dense", "41.1"),
        ("capability fusion", "57.3"),
        ("superpoint distillation", "54.6"),
    ]
    measured, *missing = figures(head)[4:]
    assert measured == (
        "Measured on 3 scenes of the split val, 12,345 annotated points, label set sheet. Points without a "
        "prediction count as errors. These classes do not occur in these scenes and enter no mean: lamp."
    )
    assert missing == ["Images were synthesised for 3 of 4 classes."] and places(head) == []


def ablation_line(row):
    of, doubt = METRICS["semantic"][row], METRICS["bootstrap"]["mIoU"][row]
    delta = of["mIoU"] - METRICS["semantic"]["dense"]["mIoU"]
    return [
        *(TITLES[row], "", one(of["mIoU"]), "" if row == "dense" else signed(delta)),
        f"{one(doubt['low'])}–{one(doubt['high'])}",
        *(one(of[name]) for name in ("mAcc", "f_mIoU", "f_mAcc")),
        *(one(of["splits"][name]["mIoU"]) for name in ("head", "common")),
    ]


def test_the_table_of_the_ablation(sections):
    head, *lines = sections["ablation"].all("table", "ablation")[0].lines()
    of_scores = ["mIoU", "Δ", "95 %", "mAcc", "f-mIoU", "f-mAcc", "head", "common"]
    assert head == ["", "0 mIoU 70", *of_scores]  # 64.2 is the highest end of an interval
    controls = "Controls: the same fusion with other weights"
    assert lines == [*map(ablation_line, ROWS[:-1]), [controls], ablation_line(ROWS[-1])]


def test_the_table_of_other_label_sets(sections):
    other = METRICS["label_sets"]["other"]
    expected = [["", "other", "95 %", "mAcc", "f-mIoU"]]
    for row in ROWS:
        of, doubt = other["semantic"][row], other["bootstrap"]["mIoU"][row]
        reach = f"{one(doubt['low'])}–{one(doubt['high'])}"
        expected.append([TITLES[row], one(of["mIoU"]), reach, one(of["mAcc"]), one(of["f_mIoU"])])
    assert sections["ablation"].all("table", "tasks")[0].lines() == expected


PAIRS = {
    "capability - best single": "capability fusion over best 2D model",
    "capability - mask": "capability fusion over 2D model mask",
    "distilled - capability": "superpoint distillation over capability fusion",
}


def test_the_table_of_differences(sections):
    found = METRICS["bootstrap"]["difference"]
    assert found["distilled - capability"]["high"] < 0 < found["capability - mask"]["low"]
    assert sections["ablation"].all("table", "differences")[0].lines() == [
        [
            title,
            "",
            signed(found[pair]["value"]),
            f"{signed(found[pair]['low'])} to {signed(found[pair]['high'])}",
        ]
        for pair, title in PAIRS.items()
    ]


def test_no_other_number_stands_in_the_section_of_the_ablation(sections):
    part = sections["ablation"]
    of_tables = [text for table in part.all("table") for text in figures(table)]
    others = [text for text in figures(part) if text not in of_tables]
    *prose, network, _, _ = others
    pair = METRICS["bootstrap"]["difference"]["distilled - capability"]
    reach = f"{signed(pair['low'])} to {signed(pair['high'])}"
    assert network == (
        "Superpoint distillation: sees places alone, began from demo/student, was trained on 17 scenes of "
        f"demo, {signed(pair['value'])} over capability fusion ({reach})."
    )
    assert all(set(re.findall(r"\d+", text)) <= {"95", "2"} for text in others if text != network)
    assert "The columns head, common show" in prose[1] and "best 2D model alone, dense." in prose[1]


def test_the_bars_of_the_ablation(sections):
    """In percent of an axis from 0 to 70; in percent of one with 0 in its middle for differences."""
    expected = []
    for row in ROWS:
        if row == "shuffled":
            expected.append(("th", "colspan=10"))
        doubt = METRICS["bootstrap"]["mIoU"][row]
        expected.append(("bar", f"style=width:{METRICS['semantic'][row]['mIoU'] / 0.7:.2f}%"))
        left, right = doubt["low"] / 0.7, 100 - doubt["high"] / 0.7
        expected.append(("whisker", f"style=left:{left:.2f}%;right:{right:.2f}%"))
    found = METRICS["bootstrap"]["difference"]
    reach = found["capability - mask"]["high"]
    assert reach == max(abs(pair[end]) for pair in found.values() for end in ("low", "high"))
    for pair in PAIRS:
        low, value, high = (50 + 50 * found[pair][name] / reach for name in ("low", "value", "high"))
        expected.append(("whisker", f"style=left:{low:.2f}%;right:{100 - high:.2f}%"))
        expected.append(("dot", f"style=left:{value:.2f}%"))
    assert places(sections["ablation"]) == expected


def test_the_tables_of_tasks(sections):
    part = sections["tasks"]
    assert [title.text for title in part.all("h3")] == ["height", "gaps"]
    assert [table.lines() for table in part.all("table")] == [
        [["", "known", "off"], ["fusion", "62.5", ""], ["distilled", "3.2", "1.3"]],
        [["", "wide"], ["distilled", "0.0"]],
    ]
    assert figures(part) == ["62.5", "3.2", "1.3", "0.0"] and places(part) == []


def test_the_dots_of_classes(sections):
    """Classes begin with the one that the last row knows best; dots of a class stand 3 pixels apart."""
    part = sections["classes"]
    shown = {"dense": "circle", "mask": "triangle", "capability": "square", "distilled": "diamond"}
    legend = part.all("p", "legend")[0]
    assert [one.text for one in legend.all("span")] == [TITLES[row] for row in shown]
    assert [svg.attributes["class"] for svg in legend.all("svg")] == [f"marker {m}" for m in shown.values()]
    scale, *lines = part.all("div", "dotrow")
    assert [mark.text for mark in scale.all("i")] == ["0", "25", "50", "75", "100"]
    places_of_scale = ["left:0", "left:25%", "left:50%", "left:75%", "left:100%"]
    assert [mark.attributes["style"] for mark in scale.all("i")] == places_of_scale
    assert [line.all("span")[0].text for line in lines] == ["chair", "bed", "wall"]
    for line, name in zip(lines, ("chair", "bed", "wall"), strict=True):
        for dot, down, (row, marker) in zip(
            line.all("b"), ("-10.5", "-7.5", "-4.5", "-1.5"), shown.items(), strict=True
        ):
            value = one(METRICS["semantic"][row]["per_class"][name])
            assert dot.attributes["style"] == f"left:{value}%;margin-top:{down}px"
            assert dot.attributes["title"] == f"{TITLES[row]}: {value}"
            assert dot.all("svg")[0].attributes["class"] == f"marker {marker}"
    assert len(places(part)) == 5 + 12 + 7  # of the scale, the dots, the cells of the confusion


def test_the_cells_of_the_confusion(sections):
    """Of the last row, in percent of each true class; 12.5 and 87.5 go to even numbers."""
    table = sections["classes"].all("table", "confusion")[0]
    assert sections["classes"].all("summary")[0].text == "Confusion of superpoint distillation"
    assert table.lines() == [
        ["", "wall", "bed", "chair", "lamp"],
        ["wall", "80", "10", "10", ""],
        ["bed", "12", "88", "", ""],
        ["chair", "", "", "75", "25"],
    ]
    for cell in table.all("td"):
        if cell.text:
            share = {"12": 12.5, "88": 87.5}.get(cell.text, float(cell.text))
            colour = palette.hexadecimal(palette.heat(share / 100))
            assert cell.attributes == {
                "style": f"background:{colour}",
                "class": "dark" if share < 60 else "light",
            }
    of_legend = ["2D model dense", "2D model mask", "0", "25", "50", "75", "100"]
    assert figures(sections["classes"]) == [*of_legend, "80", "10", "10", "12", "88", "75", "25"]


def axes(x_ticks, y_ticks, width, height):
    """Where the lines and texts of axes stand: x below the box, y to the left of it."""
    found = []
    for at in x_ticks:
        found.append(("grid", f"x1={at:.1f}", f"x2={at:.1f}", "y1=0", f"y2={height}"))
        found.append(("text", f"x={at:.1f}", f"y={height + 14}"))
    for at in y_ticks:
        found.append(("grid", "x1=0", f"x2={width}", f"y1={at:.1f}", f"y2={at:.1f}"))
        found.append(("text", "x=-6", f"y={at + 3.5:.1f}"))
    return found


def test_the_scatters_of_capability(sections):
    """The box has 260 units for 0 to 100; for differences for -80 to 80, of which 74.5 is the largest."""
    part, model = sections["capability"], METRICS["capability"]["model"]
    dense, mask = ((model[name]["capability"], model[name]["true_iou"]) for name in ("dense", "mask"))
    classes = ("wall", "bed", "chair")
    charts = {
        "dense Spearman 0.61": ((0, 25, 50, 75, 100), {k: (dense[0][k], dense[1][k]) for k in classes}),
        "mask Spearman 0.12": ((0, 25, 50, 75, 100), {k: (mask[0][k], mask[1][k]) for k in classes}),
        "dense − mask Spearman -0.34": (
            (-80, -40, 0, 40, 80),
            {k: (dense[0][k] - mask[0][k], dense[1][k] - mask[1][k]) for k in classes},
        ),
    }
    assert [one.text for one in part.all("figcaption")] == list(charts)
    for figure, (ticks, points) in zip(part.all("figure"), charts.values(), strict=True):
        (svg,) = figure.all("svg")
        low, reach = ticks[0], ticks[-1] - ticks[0]
        expected = [("svg", "viewbox=-34 -8 306 300")]
        expected += axes((0, 65, 130, 195, 260), (260, 195, 130, 65, 0), 260, 260)
        expected.append(("equal", "x1=0", "y1=260", "x2=260", "y2=0"))
        hints, anchors = [], []
        for name, (measured, true) in points.items():
            x, y = 260 * (measured - low) / reach, 260 - 260 * (true - low) / reach
            expected.append(("point", f"cx={x:.1f}", f"cy={y:.1f}", "r=3.6"))
            right = x + 6 + 5.6 * len(name) <= 260  # whether its name has room there
            expected.append(("text", f"x={x + 6 if right else x - 6:.1f}", f"y={y + 3.5:.1f}"))
            anchors.append("start" if right else "end")
            hints += [f"{name}: {measured:.0f} | {true:.0f}", name]
        expected += [("axis-title", "x=260", "y=289"), ("axis-title", "x=5", "y=11")]
        assert places(svg) == expected
        of_names = [one for mark in svg.all("g") for one in mark.all("text")]
        assert [one.attributes["text-anchor"] for one in of_names] == anchors
        assert svg.texts() == [*map(str, (*ticks, *ticks)), *hints, "capability →", "↑ true IoU"]


def test_the_table_of_capability(sections):
    part, model = sections["capability"], METRICS["capability"]["model"]

    def cells(name):
        for entry in model.values():
            for of in ("capability", "true_iou"):
                yield f"{entry[of][name]:.0f}" if name in entry[of] else "–"

    assert part.all("table")[0].lines() == [
        ["", "dense", "its true IoU", "mask", "its true IoU"],
        *([name, *cells(name)] for name in small_study.NAMES),
    ]
    rest = [text for text in figures(part.all("p")[0])]
    assert rest == [] and len(part.all("table")) == 1


def test_the_pictures_and_their_scores(sections):
    part, label_set = sections["scenes"], datasets.label_set("scannet20")
    captions = [one.text for one in part.all("figcaption")]
    assert captions == ["colour", "2D model dense 12.3", "capability fusion 56.8"]
    swatches, errors = part.all("p", "swatches")
    names = [f"{number} {name}" for number, name in enumerate(label_set.names, 1)]
    assert [one.text for one in swatches.all("span")] == [*names, "none"]
    colours = ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in (*label_set.colours.tolist(), palette.NEUTRAL)]
    assert [one.attributes["style"] for one in swatches.all("i")] == [f"background:{c}" for c in colours]
    assert [one.text for one in errors.all("span")] == ["right", "wrong", "not annotated"]
    assert [one.attributes["style"] for one in errors.all("i")] == [
        f"background:{colour}" for colour in ("#b2c4d6", "#d55e00", "#7d828a")
    ]
    said = "1 of 2 scenes, evenly chosen. Each scene is seen from above one of its corners"
    first, *others = (text for text in figures(part) if text not in names)
    assert first.startswith(said)
    assert others == ["room0", "its depth maps agree to 31 mm", "2D model dense", "12.3", "56.8"]


def test_how_many_images_are_shown(sections, evaluated):
    images = evaluated[1].synthesis.images
    (said,) = figures(sections["synthesis"])
    assert said.startswith(f"These are the first 4 of {images} images of each class.") and images == 12
    assert [one.text for one in sections["synthesis"].all("figcaption")] == ["wall", "bed", "chair"]


def test_the_curves_of_losses(sections):
    part = sections["training"]
    titles = [one.text for one in part.all("figcaption")]
    assert titles == ["pixel distillation", "superpoint distillation", "temporal ensembling"]
    for figure, name in zip(part.all("figure"), LOSSES, strict=True):
        (svg,), (x_ticks, y_ticks) = figure.all("svg"), TICKS[name]
        assert places(svg) == [
            ("svg", "viewbox=-38 -8 350 190"),
            *axes([at for _, at in x_ticks], [at for _, at in y_ticks], 300, 150),
            ("line", f"d={LOSSES[name][1]}"),
            ("axis-title", "x=300", "y=179"),
        ]
        assert svg.texts() == [*(text for text, _ in (*x_ticks, *y_ticks)), "step →"]


def test_sizes_versions_and_seeds(sections, evaluated):
    folder, params = evaluated
    sizes, versions, seeds = (table.lines() for table in sections["run"].all("table"))
    projected = ["data/projection/dense", "data/projection/mask"]
    stages = ["data/scenes", "data/labels", "data/superpoints", *projected, "data/synthesis"]
    stages += ["data/capability", "data/fusion", *(f"models/{name}" for name in params.training)]
    expected = [["folder", "files", "MB"]]
    for name in stages:
        files = [file for file in (folder / name).rglob("*") if file.is_file() and file.name != ".gitignore"]
        expected.append([name, str(len(files)), f"{sum(len(f.read_bytes()) for f in files) / 1e6:.1f}"])
    assert sizes == expected and float(dict(((a, c) for a, _, c in sizes[1:]))["data/fusion"]) == 2.4

    def installed(package):
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = ("anyscene", "torch", "numpy", "zarr", "diffusers", "segment-anything")
    assert versions == [
        ["version of", ""],
        ["Python", platform.python_version()],
        *([name, installed(name)] for name in packages),
        ["backend of distilled", "torch"],
    ]
    assert seeds == [
        ["seed of", ""],
        *([name, str(seed)] for name, seed in SEEDS.items()),
        *([name, str(20 + place)] for place, name in enumerate(params.training)),
    ]


def test_all_parameters_that_shape_results(sections, evaluated):
    part, params = sections["run"], evaluated[1]
    (shown,) = part.all("pre")
    plain = parameters.plain(params)
    expected = {name: plain[name] for name in plain if name not in ("report", "runtime")}
    assert yaml.safe_load("".join(shown.inside)) == json.loads(json.dumps(expected))
    of_tables = [text for table in part.all("table") for text in figures(table)]
    assert figures(part) == [*of_tables, *figures(shown)]
    assert places(part) == [("timings", "style=--rows:5")]  # of three stages, the head and the total


def test_the_page_of_times(evaluated, tmp_path):
    artefacts = Artefacts(tmp_path)
    for stage, seconds, note in (("fusion", 12.34, "2 computed"), ("scenes", 7.06, ""), ("gone", 99, "")):
        with timing.recorded(stage, folder=tmp_path / layout.TIMES) as say:
            say(note or None)
        file = tmp_path / layout.TIMES / f"{stage}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": seconds}))
    ended = {one.stage: f"{one.ended:%Y-%m-%d %H:%M} UTC" for one in timing.read(tmp_path)}
    root = markup.read(timings.build(STAGES, artefacts))
    assert root.all("table")[0].lines() == [
        ["stage", "seconds", "last run"],
        ["scenes", "7.1", ended["scenes"]],
        ["projection@dense", "–", "not run here"],
        ["fusion", "12.3", f"{ended['fusion']}: 2 computed"],
        ["total", "19.4", ""],
    ]
    assert len(figures(root.all("body")[0])) == 5
    assert [one.attributes.get("title") for one in root.all("td", "said")] == ["", None, "2 computed"]


@pytest.fixture
def drawn(evaluated, monkeypatch):
    """(a scene as it is drawn, with arrays in place of pictures; its view)"""
    seen = []
    whole = drawn_scene.corner_viewpoint
    monkeypatch.setattr(drawn_scene, "corner_viewpoint", lambda *given: seen.append(whole(*given)) or seen[0])
    monkeypatch.setattr(drawn_scene, "SIZE", (80, 60))
    monkeypatch.setattr(palette, "data_uri", lambda image, quality=0: image)
    monkeypatch.setattr(drawn_scene, "numbered", lambda picture, label: picture)
    for module in (ablation, run):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
    params = replace(evaluated[1], vocabulary=miniature.VOCABULARY)
    return drawn_scene.draw("room1", run.Run(params, Artefacts(evaluated[0]))), seen[0], params


def test_each_picture_has_the_score_of_its_scene(drawn, evaluated):
    scene, view, params = drawn
    folder, label_set = evaluated[0], datasets.label_set("scannet20")
    group, truth = (store.open_scene(folder / f"data/{name}/room1.zarr") for name in ("scenes", "labels"))
    truth = truth["label"][:]
    inputs = ablation.Inputs.of(params, Artefacts(folder))
    found = ablation.Ablation(inputs)
    features = found.features("room1")
    said = {row.plain_title: row.predict(features)[0].label for row in found.rows}
    by_title = {picture.title: picture for picture in scene.pictures}
    scored = {title for title, picture in by_title.items() if picture.mIoU is not None}
    assert scored == {
        *("2D model dense", "2D model mask", "capability fusion", "superpoint means"),
        *miniature.TITLES.values(),
    } - {"+ temporal ensembling"} | {"temporal ensembling"}
    for title in scored:
        picture = by_title[title]
        assert picture.mIoU == pytest.approx(evaluate(truth, said[title], label_set).mIoU)
        assert picture.classes == set(said[title][said[title] >= 0].tolist())
        colours = np.concatenate([label_set.colours, [palette.NEUTRAL]]).astype(np.uint8)[said[title]]
        np.testing.assert_array_equal(picture.image, view.picture(colours))
    assert by_title["ground truth"].classes == set(truth[truth >= 0].tolist())
    plain = Viewpoint(view.point, np.ones_like(view.shade)).picture(group["rgb"][:])
    np.testing.assert_array_equal(by_title["colour"].image, plain)
    last = said["temporal ensembling"]
    right, wrong = np.array([178, 196, 214]), np.array([213, 94, 0])
    errors = np.where((truth == last)[:, None], right, wrong)
    errors[truth < 0] = 125, 130, 138
    shown = view.picture(errors.astype(np.uint8))
    np.testing.assert_array_equal(by_title["errors of temporal ensembling"].image, shown)
    assert (truth == last).any() and (truth != last).any()
