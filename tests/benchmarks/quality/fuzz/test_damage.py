"""What is done to files is done to one of them, differs from case to case, and can be done again."""

import numpy as np
import pytest

from benchmarks.quality.fuzz.damage import DAMAGES, damage

CONTENT = {"a.bin": bytes(range(256)) * 4, "b.txt": b"1 2.5 -3e2\n" * 20}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def done(folder, seed):
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    files = [(folder / name).relative_to(folder) for name in CONTENT]
    what = damage(folder, files, np.random.default_rng(seed))
    return what, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_case_can_be_repeated_and_all_ways_occur(folder):
    found = [done(folder, seed) for seed in range(200)]
    assert found == [done(folder, seed) for seed in range(200)]
    assert {what.how for what, _ in found} == set(DAMAGES)
    for what, after in found:
        changed = {name for name in CONTENT if after.get(name) != CONTENT[name]}
        assert what.how == "exchanged" or changed <= {what.file.name}, what


@pytest.mark.parametrize("how", sorted(set(DAMAGES) - {"gone", "exchanged"}))
@pytest.mark.parametrize("content", [b"", b"7", CONTENT["a.bin"], CONTENT["b.txt"]])
def test_each_way_takes_any_content(how, content):
    seen = {DAMAGES[how](content, np.random.default_rng(seed)) for seed in range(20)}
    assert len(content) < 2 or seen != {content}
