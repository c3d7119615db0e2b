"""Faults are put where they are meant to be, and nowhere else."""

import ast

import pytest

from benchmarks.quality.mutants.faults import faults


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("a < b", {"(a <= b)"}),
        ("a + 1", {"(a - 1)", "a + (2)"}),
        ("x and y", {"(x or y)", "((x))", "((y))"}),
        ("f(a, b=c)", {"(f(a))", "pass"}),
        ("k = [a, b]", {"k = [b]", "k = [a]"}),
        ("k = {1: a, **b}", {"k = {**b}", "k = {1: a}", "k = {(2): a, **b}"}),
        ("k = a[i:j]", {"k = (a[:j])"}),
        ("k = [a for a in b if c]", {"k = [a for a in b]"}),
        ("k = min(a)", {"k = max(a)"}),
        ("a += b", {"a = b"}),
        ("if a:\n    raise ValueError(1 + 1)", {"if (False):\n    raise ValueError(1 + 1)"}),
        ("k = html.escape(a, quote=b)", {"k = (a)", "k = (html.escape(a))"}),
        ("k = f'{escape(a)} {escape(b.c)}'", {"k = f'{a} {escape(b.c)}'", "k = f'{escape(a)} {b.c}'"}),
        ("if a:\n    pass", set()),
        ("k = 'a' f'{1}'", set()),
        ("k: 'list[1]' = a", set()),
        ("__all__ = [a, b]", set()),
        ("if TYPE_CHECKING:\n    import a", set()),
    ],
)
def test_what_is_put(code, found):
    put = {one.put(code) for one in faults(code)}
    assert all(ast.parse(one) for one in put) and code not in put
    assert put == found


def test_annotations_and_docstrings_are_left_as_they_are():
    code = "def f(a: int = 1) -> {1: 2, 3: 4}:\n    'Says 1.'"
    assert [one.code for one in faults(code)] == ["(2)"]


def test_places_are_counted_in_bytes():
    code = 'ä = "ö", 1 < 2  # ü\nb = 3\n'
    assert 'ä = "ö", (1 <= 2)  # ü\nb = 3\n' in {one.put(code) for one in faults(code)}
