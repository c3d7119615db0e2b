"""Every number that the viewer's panel shows, and where it stands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from anyscene.scene import Camera, Frame
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.scene_view import PickedPoint, Sighting
from anyscene.tasks.layer import Classes, Layer, Scale
from anyscene.tasks.query.groups import ALWAYS, Match
from tests.builders import markup


def read(html):
    return markup.read(html)


def match(score, area, centre):
    return Match((1,), score, 77, area, centre, (9.9, 9.8, 9.7), ((0, 0, 0), (1, 1, 1)))


def test_groups_are_listed_by_rank():
    matches = (match(0.87654, 1.2345, (1.26, -2.34, 0.04)), match(0.65432, 12.3, (10, 0.5, 3)))
    answer = SimpleNamespace(text="a bed", shows=("bed", "sofa"), matches=matches, left_out="", in_order=True)
    root = read(panel_html.matches(answer, "fused"))
    assert root.all("table")[0].lines() == [
        ["", "shows", "score", "area / m²", "centre / m"],
        ["1", "bed", "0.877", "1.23", "1.3 -2.3 0.0"],
        ["2", "sofa", "0.654", "12.30", "10.0 0.5 3.0"],
    ]
    assert root.all("b")[0].text == "a bed" and "(fused)" in root.text and root.text.endswith(f"{ALWAYS}.")


def frame(name, distance):
    camera = Camera(np.eye(3), np.eye(4), 4, 3)
    return Sighting(Frame(name, Path("0.png"), None, 1000.0, camera), 0, 0, (4, 3), distance, "antialiased")


POINT = PickedPoint(
    12345,
    (1.234, -5.678, 0.006),
    67,
    8901,
    (("bed", 0.87654), ("sofa", -0.1236)),
    (("fused", "bed"), ("2D model dense", "wall")),
    "table",
    (("dense", 0.256), ("mask", 0.744)),
    (frame("000010", 1.26), frame("7", 12.34)),
)


def test_what_is_known_of_a_point():
    root = read(panel_html.point(POINT))
    scores, said = root.all("table")
    assert scores.lines() == [["label", "cosine"], ["bed", "0.877"], ["sofa", "-0.124"]]
    steps = [["fused", "bed"], ["2D model dense", "wall"], ["annotation", "table"]]
    assert said.lines() == [["step", "says"], *steps]
    of_tables = [text for table in (scores, said) for text in table.texts()]
    assert [text for text in root.texts() if text not in of_tables] == [
        "Point 12,345",
        "at 1.23 -5.68 0.01 m",
        "Superpoint 67, which has 8,901 points",
        "Weight: dense 0.26, mask 0.74",
        "The closest frames that show it are 000010 (1.3 m), 7 (12.3 m)",
    ]


def test_what_is_not_known_of_a_point_is_not_said():
    bare = PickedPoint(0, (0, 0, 0), -1, 0, (), (), None, (), ())
    root = read(panel_html.point(bare))
    assert root.texts() == ["Point 0", "at 0.00 0.00 0.00 m", "No frame here shows it"]
    first = PickedPoint(0, (0, 0, 0), 0, 1, (), (), None, (), ())
    assert "Superpoint 0, which has 1 points" in read(panel_html.point(first)).texts()


def test_a_legend_names_colours_and_a_scale_its_ends():
    classes = Layer(
        "a", "a", np.zeros((1, 3), np.uint8), legend=Classes((("bed", (255, 0, 16)), ("b", (1, 2, 3))))
    )
    root = read(panel_html.legend(classes))
    assert [one.text for one in root.all("span")] == ["bed", "b"]
    found = [one.attributes["style"].split(";")[1] for one in root.all("i")]
    assert found == ["background:#ff0010", "background:#010203"]
    scale = Layer("a", "a", values=np.zeros(1, np.float32), legend=Scale("low", "high"))
    root = read(panel_html.legend(scale))
    assert root.texts() == ["low", "high"]
    style = root.all("i")[0].attributes["style"]
    assert "90deg,#00224e," in style and style.endswith(",#fee838)") and style.count("#") == 6
    assert panel_html.legend(Layer("a", "a", np.zeros((1, 3), np.uint8))) == ""


def test_how_much_is_drawn():
    said = "Click a point to see what it is."
    assert read(panel_html.hint(1000, 1000)).text == said
    assert read(panel_html.hint(1000, 12345)).text.startswith(f"{said} 1,000 of 12,345 points are drawn;")
