import pytest

from benchmarks import throughput


def test_a_model_is_measured_in_a_process_of_its_own():
    measured = throughput.measure("sam (demo)", "cpu")
    assert measured.per_second > 1 and 0 < measured.seconds < 60 and 0.1 < measured.peak_gib < 2


def test_what_fails_there_is_an_error_here(monkeypatch, capfd):
    with pytest.raises(RuntimeError, match="failed; its message is above"):
        throughput._alone(throughput._prepare, "none", None)
    assert "KeyError: 'none'" in capfd.readouterr().err


def test_the_table_has_a_column_for_each_device():
    figure = {"per_second": 12.345, "seconds": 3.2, "peak_gib": 0.66}
    lines = throughput.table({"CPU, 1 thread": {"sam (demo)": figure}}).splitlines()
    assert "GPU: per second" in lines[0] and len(lines) == 2 + len(throughput.SUBJECTS)
    (row,) = [line for line in lines if line.startswith("| sam (demo)")]
    assert row.endswith("| 12.3, 3 s, 0.7 GiB | not measured |")
    (row,) = [line for line in lines if line.startswith("| sd15 |")]
    assert row.endswith("| - | not measured |")
    both = throughput.table({"CPU, 1 thread": {}, "Some GPU": {"sd15": figure}}).splitlines()
    assert "Some GPU: per second" in both[0] and "| GPU:" not in both[0]


def test_the_committed_table_is_that_of_the_figures():
    written = throughput.HEAD + throughput.table(throughput.recorded())
    assert throughput.TABLE.read_text() == written
