import json
import subprocess
import sys

import pytest

from anyscene.errors import DataError
from anyscene.segmenters.precomputed import description

MASKS = {"format": 1, "kind": "masks", "labels": ["wall", "chair"]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "odise").mkdir()
    (tmp_path / "odise/precomputed.json").write_text(json.dumps(MASKS))
    return tmp_path / "odise"


@pytest.mark.parametrize(
    ("changes", "masks", "captioner"),
    [({}, True, True), ({"captions": True}, True, False), ({"kind": "features"}, False, False)],
)
def test_it_says_what_the_answers_are(folder, changes, masks, captioner):
    (folder / "precomputed.json").write_text(json.dumps(MASKS | changes))
    assert description.read(folder) == MASKS | changes
    assert description.are_masks(folder) == masks and description.wants_captioner(folder) == captioner


@pytest.mark.parametrize("ask", [description.read, description.are_masks, description.wants_captioner])
def test_without_it_nothing_is_known(folder, ask):
    (folder / "precomputed.json").unlink()
    with pytest.raises(
        DataError, match=r"precomputed\.json: not readable \(.*\); `anyscene convert` writes it"
    ):
        ask(folder)


@pytest.mark.integration
def test_what_stages_ask_before_they_run_imports_no_torch(folder):
    code = """
import dataclasses, sys
from anyscene import segmenters
from anyscene.project import parameters
params = parameters.load()
section = dataclasses.replace(params.segmenters, names=("odise",), weights=sys.argv[1])
for name in ("looks_at_template", "looks_at_vocabulary", "has_own_labels", "captioned", "on_device"):
    print(getattr(segmenters, name)("odise", section))
print(len(segmenters.weights("odise", section)), *segmenters.modules("odise", section))
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(folder.parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:5] == ["True", "False", "True", "True", "False"]
    assert said[5:] == [
        "1 anyscene.segmenters.precomputed.segmenter anyscene.segmenters.captions.colour",
        "False",
    ]
