"""Small faults that people make, as changes of syntax trees."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
CALLED = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor", "rint": "trunc",
    "sorted": "list", "argmax": "argmin", "argmin": "argmax", "zeros": "ones", "ones": "zeros", "mean": "sum",
    "minimum": "maximum", "maximum": "minimum",
}  # fmt: skip
ESCAPE = "escape removed"
ESCAPES = {"escape", "quote"}  # what makes a text harmless for markup, addresses and shells


@dataclass(frozen=True)
class Fault:
    """Lines and columns of a piece of code, counted as ast does, and what stands there instead."""

    start: tuple[int, int]
    end: tuple[int, int]
    code: str
    what: str  # the kind of the fault

    def put(self, source: str) -> str:
        """The source with the fault in it."""
        lines = [line.encode() for line in source.splitlines(keepends=True)]
        (first, left), (last, right) = self.start, self.end
        whole = lines[first - 1][:left] + self.code.encode() + lines[last - 1][right:]
        return b"".join([*lines[: first - 1], whole, *lines[last:]]).decode()


def faults(source: str) -> list[Fault]:
    """All faults that can be put into `source`, in their order. What is only said is left as it is:
    docstrings, annotations, what is raised, texts."""
    found: list[Fault] = []
    _visit(ast.parse(source), found)
    return found


def _visit(node: ast.AST, found: list[Fault]) -> None:
    if isinstance(node, ast.JoinedStr):
        found += _of_text(node)
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return
    if isinstance(node, ast.expr | ast.stmt):
        for part, code, what in _of(node):
            assert part.end_lineno is not None and part.end_col_offset is not None
            start, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)
            found.append(Fault(start, end, code, what))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                _visit(child, found)


def _of(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """(what is replaced, by which code, the kind of the fault)."""
    if isinstance(node, ast.Compare) and (other := COMPARED.get(type(node.ops[0]))):
        yield node, _expression(node, ops=[other(), *node.ops[1:]]), "comparison"
    elif isinstance(node, ast.BinOp) and (sign := COMPUTED.get(type(node.op))):
        yield node, _expression(node, op=sign()), "arithmetic"
    elif isinstance(node, ast.BoolOp):
        flipped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, _expression(node, op=flipped), "logic"
        for index in range(len(node.values)):
            kept = [value for at, value in enumerate(node.values) if at != index]
            yield node, f"({' and '.join(map(_in, kept))})", "condition left out"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node, f"({ast.unparse(node.operand)})", "logic"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node, str(not node.value), "constant"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        changed = node.value + 1 if isinstance(node.value, int) else 2 * node.value or 1.0
        yield node, f"({changed!r})", "constant"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.List | ast.Set) and len(node.elts) > 1:
        for index in range(len(node.elts)):
            kept = [value for at, value in enumerate(node.elts) if at != index]
            yield node, _expression(node, elts=kept), "part left out"
    elif isinstance(node, ast.Dict) and len(node.keys) > 1:
        for index in range(len(node.keys)):
            keys, values = (
                [v for at, v in enumerate(one) if at != index] for one in (node.keys, node.values)
            )
            yield node, _expression(node, keys=keys, values=values), "part left out"
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.lower:
        yield node, _expression(node, slice=ast.Slice(None, node.slice.upper, node.slice.step)), "slice"
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        if node.generators[0].ifs:
            changed_node = copy.deepcopy(node)
            changed_node.generators[0].ifs = changed_node.generators[0].ifs[1:]
            yield node, _bracketed(ast.unparse(changed_node)), "condition left out"
    elif isinstance(node, ast.If) and any(isinstance(one, ast.Raise) for one in node.body):
        yield node.test, "(False)", "refusal removed"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass", "statement left out"
    elif isinstance(node, ast.AugAssign):
        yield node, f"{ast.unparse(node.target)} = {ast.unparse(node.value)}", "statement left out"


def _of_call(node: ast.Call) -> Iterator[tuple[ast.expr, str, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in CALLED:
        func = copy.deepcopy(node.func)
        if isinstance(func, ast.Attribute):
            func.attr = CALLED[name]
        elif isinstance(func, ast.Name):
            func.id = CALLED[name]
        yield node.func, ast.unparse(func), "another function"
    if _escapes(node):
        yield node, _in(node.args[0]), ESCAPE
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            kept = [one for at, one in enumerate(node.keywords) if at != index]
            yield node, _expression(node, keywords=kept), "argument left out"


def _of_text(node: ast.JoinedStr) -> Iterator[Fault]:
    """The faults of an f-string, which are put in as a whole: Python 3.11 gives no places inside of one."""
    count = sum(_escapes(one) for one in ast.walk(node))
    for index in range(count):
        places = iter(range(count))

        class Remove(ast.NodeTransformer):
            def visit_Call(
                self, call: ast.Call, places: Iterator[int] = places, index: int = index
            ) -> ast.AST:
                """The call, or what it is given in place of the one at `index`."""
                here = _escapes(call) and next(places) == index
                self.generic_visit(call)
                return call.args[0] if here else call

        changed = Remove().visit(copy.deepcopy(node))
        assert node.end_lineno is not None and node.end_col_offset is not None
        end = (node.end_lineno, node.end_col_offset)
        yield Fault((node.lineno, node.col_offset), end, ast.unparse(changed), ESCAPE)


def _escapes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    return getattr(node.func, "attr", getattr(node.func, "id", "")) in ESCAPES


def _expression(node: ast.expr, **changes: object) -> str:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return _bracketed(ast.unparse(changed))


def _bracketed(code: str) -> str:
    return code if code[0] in "([{" and code[-1] in ")]}" else f"({code})"


def _in(value: ast.expr) -> str:
    return f"({ast.unparse(value)})"
