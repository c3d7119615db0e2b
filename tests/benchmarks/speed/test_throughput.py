import operator

import pytest

from benchmarks.speed import throughput
from benchmarks.speed.own_process import alone, peak

CPU = "CPU, 1 thread"
FIGURES = throughput.Measured(12.345, 3.2, 0.66)


@pytest.mark.integration
def test_a_model_is_measured_in_a_process_of_its_own():
    measured = throughput.measure("sam (demo)", "cpu")
    assert measured.per_second > 1 and 0 < measured.seconds < 60 and 0.1 < measured.peak_gib < 2


@pytest.mark.integration
def test_its_peak_is_not_that_of_who_started_it():
    held = bytearray(1 << 30)
    held[::4096] = b"x" * (1 << 18)  # every page is touched
    assert peak() > 1 and alone(peak) < peak() - 0.9
    del held


@pytest.mark.integration
def test_what_fails_there_is_an_error_here(capfd):
    with pytest.raises(RuntimeError, match="failed; its message is above"):
        alone(operator.getitem, {}, "none")
    assert "KeyError: 'none'" in capfd.readouterr().err


def test_what_is_measured_again_replaces_what_was():
    rows = throughput.joined([], "sam vit_b", CPU, FIGURES)
    rows = throughput.joined(rows, "lseg", "Some GPU", FIGURES)
    rows = throughput.joined(rows, "lseg", CPU, FIGURES)
    rows = throughput.joined(rows, "lseg", CPU, throughput.Measured(1, 2, 3))
    assert [(row["device"], row["what"], row["per_second"]) for row in rows] == [
        (CPU, "lseg", 1),
        (CPU, "sam vit_b", 12.345),
        ("Some GPU", "lseg", 12.345),
    ]
    assert rows[0]["setting"] == "ViT-L/16, frames of 320x240, base 640"


def test_the_table_has_a_column_for_each_device():
    rows = throughput.joined([], "sam (demo)", CPU, FIGURES)
    lines = throughput.table(rows).splitlines()
    assert "GPU: per second" in lines[0] and len(lines) == 2 + len(throughput.SUBJECTS)
    (row,) = [line for line in lines if line.startswith("| sam (demo)")]
    assert row.endswith("| 12.3, 3 s, 0.7 GiB | not measured |")
    (row,) = [line for line in lines if line.startswith("| sd15 |")]
    assert row.endswith("| - | not measured |")
    both = throughput.table(throughput.joined(rows, "sd15", "Some GPU", FIGURES)).splitlines()
    assert "Some GPU: per second" in both[0] and "| GPU:" not in both[0]


def test_the_committed_table_is_that_of_the_figures():
    written = throughput.HEAD + throughput.table(throughput.recorded())
    assert throughput.TABLE.read_text() == written
