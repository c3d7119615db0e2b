import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from anyscene.errors import DataError, FailedBefore, PipelineError, ScenesFailed, StoreError
from anyscene.project import digests, per_scene, progress, store
from anyscene.project.freshness import Freshness
from tests.builders import REPOSITORY
from tests.builders.files import tree_hash
from tests.builders.per_scene_tasks import Count, Doubling, Threads

pytestmark = pytest.mark.integration

KEYS = {f"s{index}": f"key{index}" for index in range(6)}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "data" / "out"


@pytest.fixture
def task(tmp_path):
    return Count(tmp_path / "log")


def go(task, output, keys=KEYS, parameters=None, fresh=Freshness("code"), workers=1, failures=0):
    return per_scene.run(
        task,
        keys,
        output,
        parameters={"a": 1} if parameters is None else parameters,
        fresh=fresh,
        workers=workers,
        failures=failures,
        label="test",
    )


def computed(task):
    return Counter(task.log.read_text().split()) if task.log.exists() else Counter()


def test_all_then_nothing(task, output):
    assert go(task, output).done == tuple(KEYS)
    assert go(task, output).skipped == tuple(KEYS)
    assert computed(task) == Counter(list(KEYS))
    assert store.scene_ids(output) == list(KEYS)
    assert os.listdir(output.parent) == ["out"]


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2])
def test_same_bytes_whatever_the_workers(tmp_path, task, workers):
    go(task, tmp_path / "one")
    go(task, tmp_path / "other", workers=workers)
    assert tree_hash(tmp_path / "one") == tree_hash(tmp_path / "other")


def test_a_new_scene_costs_one_scene(task, output):
    go(task, output)
    assert go(task, output, KEYS | {"new": "k"}).done == ("new",)
    assert computed(task) == Counter([*KEYS, "new"])


def test_a_changed_input_costs_its_scene(task, output):
    go(task, output)
    assert go(task, output, KEYS | {"s2": "changed"}).done == ("s2",)


def test_a_deleted_artefact_is_computed_again(task, output):
    go(task, output)
    before = tree_hash(output)
    shutil.rmtree(output / "s3.zarr")
    assert go(task, output).done == ("s3",)
    assert tree_hash(output) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"a": 2}},
        {"fresh": Freshness("other code")},
        {"fresh": Freshness("code", packages={"torch": "9"})},
        {"fresh": Freshness("code", files={"weights": "other"})},
        {"fresh": Freshness("code", settings=({"base": 1},))},
    ],
)
def test_whatever_enters_the_values_costs_all_scenes(task, output, changed):
    go(task, output)
    keys = store.keys(output)
    assert len(go(task, output, **changed).done) == len(KEYS)
    assert len(go(task, output, **changed).skipped) == len(KEYS)
    assert not set(store.keys(output).values()) & set(keys.values())


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def alter(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, alter, Path.unlink])
@pytest.mark.parametrize("file", ["part1/c.0.0", "part1/zarr.json"])
def test_an_artefact_that_is_not_whole_is_computed_again(task, output, damage, file):
    go(task, output)
    whole = tree_hash(output)
    damage(output / "s3.zarr" / file)
    assert go(task, output).done == ("s3",)
    assert tree_hash(output) == whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seen": 0', '"seen": 1'),
        ("1e-17", "1e-16"),
        ('"frames"', '"framed"'),
        ('"key": "', '"key": "0'),
        ('"given": "', '"given": "0'),
        ('"made_by": "', '"made_by": "0'),
        ('"content": "', '"content": "0'),
        ('"digest": "', '"digest": "0'),
        ('"software": "', '"software": "0'),
    ],
)
def test_an_artefact_whose_attributes_were_altered_is_computed_again(task, output, old, new):
    go(task, output)
    whole, file = tree_hash(output), output / "s3.zarr/zarr.json"
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))
    assert go(task, output).done == ("s3",)
    assert tree_hash(output) == whole


def test_attributes_without_a_digest_are_taken_as_they_are(task, output):
    """Artefacts of before have none; they stay."""
    go(task, output)
    for file in output.glob("*/zarr.json"):
        root = json.loads(file.read_text())
        del root["attributes"]["digest"]
        file.write_text(json.dumps(root, indent=2))
    assert go(task, output).skipped == tuple(KEYS)


def test_a_file_that_is_too_many_is_no_part_of_an_artefact(task, output):
    go(task, output)
    (output / "s3.zarr/part1/c.0.9").write_text("x")
    assert go(task, output).done == ("s3",)


def test_files_are_read_once_to_know_that_they_are_whole(task, output, monkeypatch):
    go(task, output)
    monkeypatch.setattr(digests, "content_hash", lambda file: pytest.fail(f"{file} is read"))
    assert go(task, output).skipped == tuple(KEYS)


def adopting(code, check=2, seed=0):
    return dataclasses.replace(Freshness(code), check=check, seed=seed)


def test_what_other_code_makes_alike_is_adopted(task, output):
    go(task, output)
    task.log.write_text("")
    before = store.keys(output)
    assert go(task, output, fresh=adopting("refactored")).skipped == tuple(KEYS)
    drawn = sorted(computed(task))
    assert len(drawn) == 2 and set(computed(task).values()) == {1}
    assert go(task, output, fresh=Freshness("refactored")).done == ()
    assert store.keys(output) == before  # whoever reads them computes nothing again
    for scene in KEYS:
        path = store.scene_path(output, scene)
        assert store.made(path).by == Freshness("refactored").made_by
        assert store.open_scene(path).attrs["adopted"] == [
            {"from": Freshness("code").made_by, "compared": drawn}
        ]


def test_what_other_code_makes_otherwise_is_not_adopted(tmp_path, output):
    go(Count(tmp_path / "log"), output)
    before = tree_hash(output)
    with pytest.raises(StoreError, match=r"s\d\.zarr: today's code makes different bytes \(part1\)"):
        go(Count(tmp_path / "log", added=1), output, fresh=adopting("rewritten"))
    assert tree_hash(output) == before
    assert len(go(Count(tmp_path / "log", added=1), output, fresh=Freshness("rewritten")).done) == len(KEYS)


def test_other_attributes_are_not_adopted(tmp_path, output):
    """Poses of frames are attributes."""
    go(Count(tmp_path / "log"), output)
    with pytest.raises(StoreError, match=r"s\d\.zarr: today's code makes different bytes \(frames\)"):
        go(Count(tmp_path / "log", seen=1), output, fresh=adopting("rewritten"))


def test_only_what_differs_by_code_alone_is_adopted(task, output):
    go(task, output)
    keys = KEYS | {"s0": "changed"}
    assert go(task, output, keys, fresh=adopting("refactored")).skipped == tuple(f"s{i}" for i in range(1, 6))
    assert go(task, output, keys, fresh=Freshness("refactored")).done == ("s0",)


def test_orphans_are_removed(task, output):
    go(task, output)
    keys = {scene: key for scene, key in KEYS.items() if scene != "s1"}
    assert go(task, output, keys).removed == ("s1",)
    assert store.scene_ids(output) == list(keys)


def test_half_written_artefact_is_replaced(task, output):
    (output / "s0.zarr").mkdir(parents=True)
    (output / "s0.zarr" / "rubbish").write_text("x")
    assert "s0" in go(task, output).done
    assert not (output / "s0.zarr" / "rubbish").exists()


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2])
def test_all_are_tried_and_failures_listed(tmp_path, output, workers):
    task = Count(tmp_path / "log", failing=("s1",), crashing=("s4",))
    with pytest.raises(ScenesFailed) as caught:
        go(task, output, workers=workers)
    assert "2 of 6 scenes failed" in str(caught.value)
    assert caught.value.failures["s1"] == "s1/color/3.png: broken; export it again"
    assert caught.value.failures["s4"].startswith("ZeroDivisionError: oops (per_scene_tasks.py:")
    assert store.scene_ids(output) == ["s0", "s2", "s3", "s5"]
    assert go(Count(tmp_path / "log"), output).done == ("s1", "s4")
    assert os.listdir(output.parent) == ["out"]


def test_a_failed_scene_keeps_its_older_artefact(tmp_path, task, output):
    go(task, output)
    with pytest.raises(ScenesFailed):
        go(Count(tmp_path / "log", failing=("s1",)), output, KEYS | {"s1": "changed"})
    assert store.scene_ids(output) == list(KEYS)
    assert go(task, output, KEYS | {"s1": "changed"}).done == ("s1",)


def test_errors_in_place_of_keys_are_listed(task, output):
    with pytest.raises(ScenesFailed, match="s9: no permission"):
        go(task, output, KEYS | {"s9": DataError("no permission")})
    assert store.scene_ids(output) == list(KEYS)


def test_a_scene_whose_key_cannot_be_had_keeps_its_older_artefact(task, output):
    go(task, output)
    before = tree_hash(output)
    with pytest.raises(ScenesFailed, match="s2: no permission"):
        go(task, output, KEYS | {"s2": StoreError("no permission")})
    assert tree_hash(output) == before


def test_an_id_that_is_too_long_for_what_is_made_of_it_is_listed(task, output):
    with pytest.raises(
        ScenesFailed, match=r"n{20}\.\.\. is too long to name a folder: give at most 200 bytes"
    ):
        go(task, output, KEYS | {"n" * 201: "k"})
    assert store.scene_ids(output) == list(KEYS)
    go(task, output, KEYS | {"ü" * 100: "k"})
    assert store.scene_ids(output) == [*KEYS, "ü" * 100]


@pytest.mark.parametrize("scene", ["a/b", "..", ".hidden", "", "two words", "back\\slash"])
def test_ids_that_cannot_name_a_folder_are_listed(task, output, scene):
    with pytest.raises(ScenesFailed, match="cannot name a folder"):
        go(task, output, KEYS | {scene: "k"})
    assert store.scene_ids(output) == list(KEYS)


@pytest.mark.integration
def test_a_killed_worker_costs_its_scene_alone(tmp_path, output):
    with pytest.raises(ScenesFailed) as caught:
        go(Count(tmp_path / "log", dying=("s2",)), output, workers=2)
    assert list(caught.value.failures) == ["s2"] and "was killed" in caught.value.failures["s2"]
    assert store.scene_ids(output) == ["s0", "s1", "s3", "s4", "s5"]


def test_no_scenes_leave_an_empty_folder(task, output):
    go(task, output)
    assert go(task, output, {}).removed == tuple(KEYS)
    assert output.is_dir() and store.scene_ids(output) == []


def test_second_run_is_refused_and_told_who_holds_the_output(task, output):
    with (
        per_scene.workspace(output),
        pytest.raises(StoreError, match=rf"out is being written by process {os.getpid()} on "),
    ):
        go(task, output)
    assert len(go(task, output).done) == len(KEYS)


@pytest.mark.filterwarnings("ignore:flock")  # filelock says what it falls back to
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks(task, output, monkeypatch, number):
    """Those of clusters, as they are mounted by default: a file that is there holds the output, until the
    process that wrote it is gone."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        per_scene.workspace(output) as folder,
        pytest.raises(StoreError, match=rf"out is being written by process {os.getpid()} on "),
    ):
        go(task, output)
    assert not folder.exists()
    go(task, output)
    if os.fork() == 0:
        per_scene.workspace(output).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    with per_scene.workspace(output):
        pass


def test_a_lock_that_nobody_holds_is_taken_over(task, output):
    left_over = output.parent / ".out.partial"
    (left_over / "s1.99.zarr").mkdir(parents=True)
    (left_over / "holder").write_text("process 1 on nowhere")
    assert len(go(task, output).done) == len(KEYS)
    assert not left_over.exists()


def test_progress_without_a_terminal_is_a_line_a_tenth(task, output, monkeypatch, capfd):
    monkeypatch.setattr(progress, "BRIEF", 0)
    go(task, output, {f"s{index}": "k" for index in range(40)})
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 11 and lines[0].startswith("test: 4/40, ") and lines[0].endswith("left")
    assert lines[-1] == "test: 40 computed, 0 unchanged, 0 removed"


@pytest.mark.integration
def test_workers_share_the_cores(output):
    before = dict(os.environ)
    limit = max(1, len(os.sched_getaffinity(0)) // 2)
    for scene in "ab":  # each run has one scene to compute, and yet no more threads
        go(Threads(), output, dict.fromkeys({"a", scene}, "k"), workers=2)
        assert store.open_scene(output / f"{scene}.zarr")["threads"][:].tolist() == [limit, limit]
    assert dict(os.environ) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_each_yields_results_in_order_and_makes_its_function_once_a_process(tmp_path, workers):
    make, items = Doubling(tmp_path / "log"), range(20)
    assert list(per_scene.each(make, items, workers)) == [2 * item for item in items]
    made = (tmp_path / "log").read_text().split()
    assert len(made) == len(set(made)) <= workers and (str(os.getpid()) in made) == (workers == 1)


def test_each_makes_nothing_where_there_is_nothing_to_do(tmp_path):
    assert list(per_scene.each(Doubling(tmp_path / "log"), [], 2)) == []
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_each_raises_what_a_call_raises_after_the_results_before(tmp_path, workers):
    found = per_scene.each(Doubling(tmp_path / "log", bad=3), range(8), workers)
    assert [next(found) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(DataError, match="3: is bad"):
        next(found)


def test_each_says_that_a_process_was_killed(tmp_path):
    with pytest.raises(PipelineError, match=r"a process was killed .*lower runtime\.workers"):
        list(per_scene.each(Doubling(tmp_path / "log", deadly=5), range(8), 2))


def test_processes_stay_for_several_calls_and_make_each_function_once(tmp_path):
    with per_scene.WorkerPool(2) as processes:
        for name in ("one", "other"):
            found = per_scene.each(Doubling(tmp_path / name, bad=30), range(20), processes)
            assert list(found) == [2 * item for item in range(20)]
        with pytest.raises(DataError, match="3: is bad"):
            list(per_scene.each(Doubling(tmp_path / "raising", bad=3), range(20), processes))
        assert list(per_scene.each(Doubling(tmp_path / "last"), range(2), processes)) == [0, 2]
    logs = [(tmp_path / name).read_text().split() for name in ("one", "other", "raising", "last")]
    assert all(len(made) == len(set(made)) for made in logs)
    started = set().union(*logs)
    assert len(started) <= 2 and str(os.getpid()) not in started


class Asked(Sequence):
    """Numbers that note how many of them were taken."""

    taken = 0

    def __len__(self):
        return 40

    def __getitem__(self, place):
        self.taken += 1
        return range(40)[place]


def test_each_runs_ahead_of_who_asks_by_a_few_results_only(tmp_path):
    items = Asked()
    found = per_scene.each(Doubling(tmp_path / "log"), items, 2)
    assert next(found) == 0 and items.taken == 2 * per_scene.AHEAD + 1
    found.close()


def test_content_key_is_fixed():
    key = per_scene.content_key("up", {"b": 1.5, "a": (1, 2)}, 3)
    assert key == per_scene.content_key("up", {"a": [1, 2], "b": 1.5}, 3)
    assert key == hashlib.sha256(b'["up",{"a":[1,2],"b":1.5},3]').hexdigest()
    assert key != per_scene.content_key("up", {"a": [1, 2], "b": 1.5}, 4)


def test_join():
    joined = per_scene.join(one={"a": "1", "b": "2"}, two={"a": "3", "b": "4"})
    assert list(joined) == ["a", "b"]
    assert joined["a"] != per_scene.join(one={"a": "3"}, two={"a": "1"})["a"]
    with pytest.raises(StoreError, match=r"two lacks scene b \(and 0 more\); run two again"):
        per_scene.join(one={"a": "1", "b": "2"}, two={"a": "3"})


def test_replace_is_whole_at_every_rename(tmp_path, monkeypatch):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "value").write_text(name)
    seen = []
    rename = os.rename

    def watched(source, target):
        rename(source, target)
        value = tmp_path / "old" / "value"
        seen.append(value.read_text() if value.exists() else None)

    monkeypatch.setattr(os, "rename", watched)
    per_scene.replace(tmp_path / "new", tmp_path / "old")
    assert seen == [None, "new"] and os.listdir(tmp_path) == ["old"]


KILLED = """
import sys
from pathlib import Path
from anyscene.project import per_scene
from anyscene.project.freshness import Freshness
from tests.builders.per_scene_tasks import Count
if __name__ == "__main__":
    keys = {f"s{index}": f"key{index}" for index in range(6)}
    task = Count(Path(sys.argv[2]), pause=0.02)
    output, workers = Path(sys.argv[1]), int(sys.argv[3])
    fresh = Freshness("code")
    per_scene.run(task, keys, output, parameters={"a": 1}, fresh=fresh, workers=workers, label="test")
"""


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_and_resumed(tmp_path, workers):
    go(Count(tmp_path / "log"), tmp_path / "whole")
    (tmp_path / "run.py").write_text(KILLED)
    rng = np.random.default_rng(workers)
    for attempt in range(4):
        output = tmp_path / f"killed{attempt}"
        command = [sys.executable, tmp_path / "run.py", output, tmp_path / "killed.log", str(workers)]
        process = start(command)
        deadline = time.monotonic() + 60
        while not store_started(output) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for scene in store.scene_ids(output):
            assert tree_hash(output / f"{scene}.zarr") == tree_hash(tmp_path / "whole" / f"{scene}.zarr")
        go(Count(tmp_path / "log"), output)
        assert tree_hash(output) == tree_hash(tmp_path / "whole")
        assert not (tmp_path / f".killed{attempt}.partial").exists()


def start(command):
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.DEVNULL
    )


def store_started(output):
    return any(output.with_name(f".{output.name}.partial").glob("*.zarr"))


@pytest.mark.integration
def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "run.py").write_text(KILLED.replace("pause=0.02", "pause=5"))
    output = tmp_path / "out"
    command = [sys.executable, tmp_path / "run.py", output, tmp_path / "log", "2"]
    process = start(command)
    while not store_started(output):
        time.sleep(0.01)
    workers = children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 4
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers and not any(map(alive, workers))


def children(pid):
    return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root"
)
def test_full_disk_fails_the_scene_and_keeps_the_others(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no permission to mount")
    try:
        with pytest.raises(ScenesFailed, match="No space left on device"):
            go(Count(tmp_path / "log"), disk / "out", {f"s{index:02}": "k" for index in range(60)})
        kept = store.scene_ids(disk / "out")
        assert kept
        for scene in kept:
            assert store.open_scene(disk / "out" / f"{scene}.zarr")["part2"].shape == (50, 8)
    finally:
        subprocess.run(["umount", disk], check=True)


CAUSE = "color/3.png: broken; export it again"


def test_as_many_scenes_as_allowed_may_fail_and_are_named(task, output, capsys):
    go(task, output)
    broken = dataclasses.replace(task, failing=("s1", "s4"), added=1)
    changed = KEYS | {"s0": "new", "s1": "new", "s4": "new"}
    with pytest.raises(ScenesFailed, match="2 of 6 scenes failed"):
        go(broken, output, changed, failures=1)
    assert store.scene_ids(output) == list(KEYS) and store.failed(output) == {}  # nothing is lost
    capsys.readouterr()
    found = go(broken, output, changed, failures=2)
    assert found.done == () and found.skipped == ("s0", "s2", "s3", "s5") and found.removed == ("s1", "s4")
    assert store.scene_ids(output) == ["s0", "s2", "s3", "s5"]
    assert store.failed(output) == {s: f"test: {s}/{CAUSE}" for s in ("s1", "s4")}
    assert capsys.readouterr().err.splitlines()[-4:] == [
        "test: 0 computed, 4 unchanged, 2 removed",
        "test: 2 of 6 scenes failed and are left out:",
        f"  s1: s1/{CAUSE}",
        f"  s4: s4/{CAUSE}",
    ]
    assert go(task, output, changed, failures=2).done == ("s1", "s4")  # mended
    assert store.failed(output) == {} and "failed.json" not in os.listdir(output)


def test_a_stage_leaves_out_what_failed_before_and_counts_it_not_again(task, output, capsys):
    go(task, output)
    first, second = output.parent / "first", output.parent / "second"
    go(dataclasses.replace(task, failing=("s1",)), first, failures=1)
    go(dataclasses.replace(task, failing=("s2",)), second, failures=1)
    keys = per_scene.join(first=store.keys(first), second=store.keys(second))
    assert list(keys) == list(KEYS)
    assert {scene for scene, key in keys.items() if isinstance(key, FailedBefore)} == {"s1", "s2"}
    whole = per_scene.join(first={"s0": "a"}, second={"s0": "b"})
    assert (
        per_scene.join(second={"s0": "b", "s1": FailedBefore("x")}, first={"s0": "a", "s1": "c"})["s0"]
        == (whole["s0"])
    )
    capsys.readouterr()
    assert go(task, output, keys).removed == ("s1", "s2")  # failures=0: none is new
    assert "test: 2 scenes are left out because a stage before failed on them" in capsys.readouterr().err
    assert store.failed(output) == {s: f"test: {s}/{CAUSE}" for s in ("s1", "s2")}


def test_a_scene_whose_key_failed_is_one_of_those_that_may(task, output):
    go(task, output)
    keys = KEYS | {"s2": StoreError("s2: no permission")}
    assert go(task, output, keys, failures=1).removed == ("s2",)
    assert store.failed(output) == {"s2": "test: s2: no permission"}


def test_a_damaged_list_of_what_failed_is_named(task, output):
    go(dataclasses.replace(task, failing=("s1",)), output, failures=1)
    (output / store.FAILED).write_text("[1")
    with pytest.raises(StoreError, match=r"out/failed\.json: damaged .*; run its stage again"):
        store.keys(output)
