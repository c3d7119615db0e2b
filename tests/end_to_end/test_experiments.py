"""Experiments that DVC runs beside the workspace, where Git knows neither scans nor weights."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

LINKED = ("data/world", "models/demo")
DECLARE = """
from pathlib import Path
from anyscene.project.stages import declared, dvc_yaml
Path("dvc.yaml").write_text(dvc_yaml(declared()))
"""
WITNESS = """
import json, os
from pathlib import Path
shared = {}
for folder in ("data/scenes", "data/superpoints", "data/projection"):
    files = [file.stat() for file in Path(folder).rglob("*") if file.is_file()]
    shared[folder] = sum(s.st_size for s in files if s.st_nlink > 1) / sum(s.st_size for s in files)
links = [name for name in LINKED if Path(name).is_symlink()]
json.dump({"shared": shared, "links": links, "place": os.getcwd()}, open("witness.json", "w"))
"""


@pytest.fixture
def own(workspace):
    """The finished project as one of a user's scans: without the stage that makes them. Git knows neither
    scans nor weights nor the package. A stage more notes how its copy is made."""
    folder = workspace.folder
    shutil.rmtree(folder / ".git")
    (folder / "stages/world.py").unlink()
    assert workspace.run("-c", DECLARE).code == 0
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())
    stages["stages"]["witness"] = {
        "cmd": "python witness.py",
        "deps": ["data/fusion"],
        "params": ["fusion"],
        "outs": [{"witness.json": {"cache": False}}],
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump(stages))
    (folder / "witness.py").write_text(f"LINKED = {LINKED}\n{WITNESS}")
    for name, ignored in {".": "/pipeline", "models": "/*/"}.items():  # data/world is ignored already
        with (folder / name / ".gitignore").open("w") as stream:
            stream.write(f"{ignored}\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    commit(workspace)
    return workspace


def commit(own):
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (["add", "-A"], [*identity, "commit", "-qm", "Run"]):
        subprocess.run(["git", *command], cwd=own.folder, check=True)


def files(own):
    """When each file of the workspace was last written, without what DVC keeps."""
    found = (file for name in ("data", "models", "reports") for file in (own.folder / name).rglob("*"))
    return {file: file.stat().st_mtime_ns for file in found}


def of(own, experiment, file):
    """The content of a file in the commit of an experiment."""
    listed = own.dvc("exp", "list", "--all").output
    assert experiment in listed, listed
    code = f"import dvc.api; print(dvc.api.read({file!r}, rev={experiment!r}))"
    found = own.run("-c", code)
    assert found.code == 0, found.output
    return json.loads(found.output)


def shown(own):
    """The lines of `dvc exp show` by experiment."""
    table = own.dvc("exp", "show", "--csv")
    assert table.code == 0, table.output
    return {line["Experiment"]: line for line in csv.DictReader(io.StringIO(table.output))}


def wait(own):
    """For the queue to be empty."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        said = own.dvc("queue", "status").output
        if not re.search(r"Queued|Running", said):
            return said
        time.sleep(1)
    raise AssertionError(said)


def test_experiments_run_beside_the_workspace(own):
    pose = sorted((own.folder / "data/world").glob("*/pose/*"))[0]
    content = pose.read_text()
    pose.unlink()  # it is the cache's, too
    pose.write_text(content)
    assert own.dvc("repro", "witness").stages == ["witness"]  # nothing else is to do
    commit(own)
    before = files(own)
    kept = pose.stat()
    with pose.open("r+") as stream:
        stream.write("9")  # whoever read it again would find it changed
    os.utime(pose, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    result = own.dvc("exp", "run", "--temp", "--name", "hot", "-S", "fusion.tau=0.1", "witness")
    assert result.code == 0, result.output
    assert result.stages == ["fusion", "witness"]

    queued = own.dvc("exp", "run", "--queue", "--name", "added", "-S", "fusion.method=add", "witness")
    assert queued.code == 0, queued.output
    assert own.dvc("queue", "start").code == 0
    assert "Success" in wait(own)

    table = shown(own)
    assert (table["hot"]["fusion.tau"], table["added"]["fusion.method"]) == ("0.1", "add")
    for name in ("hot", "added"):
        seen = of(own, name, "witness.json")
        assert seen["place"].startswith(str(own.folder / ".dvc/tmp/exps"))
        assert seen["links"] == list(LINKED)
        assert min(seen["shared"].values()) > 0.999, seen  # all but .gitignore; nothing was copied
    assert files(own) == before
    assert own.damaged() == []  # nothing was written into what the cache shares


def test_a_stopped_experiment_is_gone_back_from(workspace):
    """What it had finished DVC does not know, and keeps unless it is told not to."""
    commit(workspace)
    before = workspace.artefacts("data/fusion")
    stop = ("-m", "tests.builders.killed_dvc", "hash", "fusion")
    command = ("exp", "run", "-S", "fusion.tau=0.1", "fusion")
    stopped = workspace.run(*stop, *command, path=REPOSITORY, alone=True)
    assert stopped.code == -signal.SIGKILL, stopped.output
    assert workspace.params()["fusion"]["tau"] == 0.1 and workspace.artefacts("data/fusion") != before
    subprocess.run(["git", "checkout", "-q", "HEAD", "--", "params.yaml", "dvc.lock"], cwd=workspace.folder)
    refused = workspace.dvc("checkout", "--with-deps", "fusion")
    assert refused.code != 0 and "Use `--force`" in refused.output, refused.output
    assert f"{workspace.folder}/data/fusion/" in refused.output
    assert workspace.dvc("checkout", "--force", "--with-deps", "fusion").code == 0
    assert workspace.artefacts("data/fusion") == before
    assert workspace.dvc("repro", "fusion").stages == []


@pytest.mark.slow
def test_the_ablation_is_an_experiment_that_leaves_the_workspace_alone(own, monkeypatch, tmp_path):
    """All stages, with raw scans outside the project."""
    outside = tmp_path / "scans"
    (own.folder / "data/world").rename(outside)
    own.set({"dataset": {"root": str(outside)}})
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    result = own.dvc("repro")
    assert result.code == 0, result.output
    commit(own)

    def content():
        names = ("params.yaml", "dvc.lock", "reports/metrics.json")
        return {name: (own.folder / name).read_bytes() for name in names} | files(own)

    before = content()
    for _ in range(2):  # the second replaces the first
        done = own.run("-m", "benchmarks.quality.ablation")
        assert done.code == 0, done.output
        (own.folder / "reports/ablation.md").rename(own.folder / "ablation.md")
        assert content() == before
    text = (own.folder / "ablation.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| (\d+\.\d) \|", text, re.MULTILINE))
    scores = of(own, "table-3", "reports/metrics.json")["semantic"]
    assert set(rows) >= {"pixel distillation", "superpoint distillation", "capability fusion"}, text
    assert rows["pixel distillation"] == f"{scores['pixel']['mIoU']:.1f}"
    assert own.dvc("exp", "list", "--name-only").output.split() == ["table-3"]
    assert own.damaged() == []
