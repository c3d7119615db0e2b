"""Folders of published 2D models: what is damaged in them is named."""

import json

import pytest

from anyscene.errors import WeightsError
from anyscene.segmenters import pretrained


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"not readable \(.*\)"),
        ("[1]", "wanted an object"),
        ("3", "wanted an object"),
        (None, r"not readable \(.*No such file"),
    ],
)
def test_settings_that_are_none(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=rf"config\.json: {message}.*; get it again from there"):
        pretrained.read_json(tmp_path / "config.json", "there")


def test_settings_are_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    assert pretrained.read_json(tmp_path / "config.json", "there") == {"a": 1}
