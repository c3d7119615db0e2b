"""Tools in a folder that holds no project: a scan by its path, a network by the path of its folder."""

from __future__ import annotations

import json

import pytest
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene.cli import predict, query, view
from anyscene.library import feature_cloud
from anyscene.project import parameters
from anyscene.show.viewer import page as viewer_page
from tests.builders import miniature
from tests.builders.capture import write_scan


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The folder that one stands in; beside it lie a scan and a network."""
    write_scan(tmp_path, "scan")
    miniature.write_network(tmp_path, "mine", "mine", 0)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for module in (predict, feature_cloud, view):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
    return folder


def run(command, *arguments):
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def test_a_scan_is_asked(empty):
    result = run(query, "../scan", "a lamp", "--source", "../models/mine", "--json", "q.json")
    assert result.exit_code == 0, result.output
    record = json.loads((empty / "q.json").read_text())
    assert (record["scene"], record["source"]) == ("scan", "mine") and record["queries"][0]["matches"]


def test_a_scan_is_labelled(empty):
    result = run(predict, "../scan", "--model", "../models/mine")
    assert result.exit_code == 0 and "36 points -> labels.ply" in result.output, result.output
    assert len(PlyData.read(empty / "labels.ply")["vertex"]["label"]) == 36
    assert [file.name for file in empty.iterdir()] == ["labels.ply"]


def test_a_scan_is_looked_at(empty, monkeypatch):
    shown = []

    def page(scenes, scene, open_view, port, dark):
        shown.append((scenes, open_view(scene)))
        raise KeyboardInterrupt

    monkeypatch.setattr(viewer_page, "Page", page)
    assert run(view, "../scan", "--source", "../models/mine").exit_code != 0  # by Ctrl+C
    scenes, seen = shown[0]
    assert scenes == ["scan"] and len(seen.xyz) == 36 and {"mine", "superpoints"} <= set(seen.layers)
    assert list(empty.iterdir()) == []


def test_without_a_network_it_is_said_what_to_give(empty):
    for arguments in ((query, "../scan", "a lamp"), (predict, "../scan"), (view, "../scan")):
        result = run(*arguments)
        assert result.exit_code == 1 and "models: no trained network" in result.output, result.output
        assert "give the folder of one" in result.output
    result = run(predict, "../scan", "--model", "../models/other")
    assert result.exit_code == 1 and "no features of ../models/other; there are none" in result.output


def test_parameters_that_are_named_must_be_there(empty):
    result = run(query, "../scan", "a lamp", "--source", "../models/mine", "--params", "params.yaml")
    assert result.exit_code == 1 and "params.yaml: no such file" in result.output
    values = parameters.DEFAULTS.read_text().replace("label_set: scannet20", "label_set: nonsense")
    (empty / "params.yaml").write_text(values)
    result = run(predict, "../scan", "--model", "../models/mine")
    assert result.exit_code == 1 and "no label set 'nonsense'" in result.output
