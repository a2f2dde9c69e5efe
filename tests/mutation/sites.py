"""The mutants of a source file: one small change each, most of them by the operators of mutmut.

mutmut's own runner copies the project, wraps functions only and runs whole test files again; what is taken from it is
the part that knows Python. Left out are its changes of strings (messages have tests of their own, of parts of them) and
those that any test notices: ``None`` for an argument or a value, a missing operand, another axis. Added are the slips
that a verifier has to fear: a term that is forgotten, a factor that is, a clamp, a check, a condition that always holds
or never does.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

#: mutmut's operators that are not used
_SKIPPED = {
    mutators.operator_string,
    mutators.operator_assignment,
    mutators.operator_lambda,
    mutators.operator_augmented_assignment,
    mutators.operator_arg_removal,
    mutators.operator_dict_arguments,
}
#: what mutmut turns into its opposite, and a forgotten operand, or a condition that is forced, changes as well
_SUBSUMED = (cst.Add, cst.Multiply, cst.Equal, cst.NotEqual, cst.Is, cst.IsNot, cst.In, cst.NotIn)
#: methods of tensors and numbers that may be forgotten: what they are called on is left
_FORGETTABLE = {"abs", "clamp", "ceil", "floor", "round", "expand", "any", "all", "clone", "strip"}
#: modules of which they are functions
_MODULES = {"np", "torch", "math"}
#: functions of two values of which one may be forgotten
_OF_TWO = {"minimum", "maximum", "nextafter", "min", "max"}
#: functions whose arguments none may be missing of
_NO_DEFAULTS = {"isinstance", "where", "full_like", "replace", "pass_back", "hull", "output_range"}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path : of the file, below the package
    line : where it is
    function : the one it is in, with its classes (``Rounding.of``); empty where it is in none
    before, after : the changed part of the source, its lines without indentation
    source : the whole changed file
    assignment : the changed statement, where it gives names of the module their values
    key : says which mutant this is, as long as the function or class that it is in stays the same
    """

    path: str
    line: int
    function: str
    before: str
    after: str
    source: str
    assignment: str
    key: str


def mutants_of(package: Path, path: str, sample: int | None = None, seed: int = 0) -> list[Mutant]:
    """All mutants of ``package / path``, by line, or so many that are drawn by a seed: all of them where there are no more."""
    text = (package / path).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(text))
    module, lines = wrapper.module, text.splitlines()
    positions = wrapper.resolve(PositionProvider)
    code = [module.code_for_node(statement) for statement in module.body]
    joined = "".join(code)
    head = text.index(joined)
    ends = text[:head], text[head + len(joined) :]
    changes = [
        (place, scope, node, new)
        for place, statement in enumerate(module.body)
        for scope, node in _visited(statement)
        for new in _changes(node)
    ]
    if sample is not None:
        Random(seed).shuffle(changes)
    found: dict[str, Mutant] = {}
    for place, scope, node, new in changes:
        if len(found) == sample:
            break
        changed = module.code_for_node(module.body[place].deep_replace(node, new))  # type: ignore[arg-type]
        source = "".join([ends[0], *code[:place], changed, *code[place + 1 :], ends[1]])
        if source == text or source in found or not _compiles(changed):
            continue
        before, after = _difference(lines, source.splitlines())
        key = hashlib.sha256(f"{path}\n{changed}".encode()).hexdigest()[:16]
        assignment = changed if _gives_names(module.body[place]) else ""
        # Where a condition begins a line further down, its first line is what a test is known to run.
        line = positions[node.test if isinstance(node, cst.If) else node].start.line
        found[source] = Mutant(path, line, scope, before, after, source, assignment, key)
    return sorted(found.values(), key=lambda one: one.line)


def _gives_names(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], cst.Assign | cst.AnnAssign)


def _visited(node: cst.CSTNode, scope: tuple[str, ...] = (), inside: bool = False) -> Iterator[tuple[str, cst.CSTNode]]:
    """The nodes that are changed, and the function that they are in, by its name with those of its classes ("" for none).

    Annotations, decorators, assertions, error messages and the imports of type checkers are not changed.
    """
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Assert | cst.Raise | cst.Import | cst.ImportFrom):
        return
    if isinstance(node, cst.If) and isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
        return
    if isinstance(node, cst.UnaryOperation) and isinstance(node.expression, cst.Integer):
        return  # an axis, or an index from the end
    if isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "strict":
        return  # a second look at lengths that agree
    yield ".".join(scope) if inside else "", node
    if isinstance(node, cst.ClassDef) and not inside:
        scope = (*scope, node.name.value)
    for child in node.children:
        if isinstance(node, cst.FunctionDef) and not inside and child is node.body:
            yield from _visited(child, (*scope, node.name.value), True)
        else:
            yield from _visited(child, scope, inside)


def _changes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    operator = getattr(node, "operator", node)
    if not isinstance(operator, _SUBSUMED):
        for kind, mutate in mutators.mutation_operators:
            if isinstance(node, kind) and mutate not in _SKIPPED and not isinstance(node, cst.AugAssign):
                yield from mutate(node)
    yield from _slips(node)


def _slips(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add | cst.Subtract | cst.Multiply):
        yield _held(node.left)
        if not isinstance(node.operator, cst.Subtract):
            yield _held(node.right)
    elif isinstance(node, cst.Comparison) and isinstance(node.comparisons[0].operator, cst.Equal | cst.NotEqual):
        yield cst.Name("True")
        yield cst.Name("False")
    elif isinstance(node, cst.BooleanOperation):
        yield from (_held(node.left), _held(node.right))
    elif isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        yield node.expression
    elif isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        name = node.func.attr.value
        if name in _FORGETTABLE:
            of_module = isinstance(node.func.value, cst.Name) and node.func.value.value in _MODULES
            yield node.args[0].value if of_module else node.func.value
        elif name in _OF_TWO and len(node.args) == 2:
            yield from (argument.value for argument in node.args)
        yield from _without_an_option(node)
    elif isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
        if node.func.value in _OF_TWO and len(node.args) == 2:
            yield from (argument.value for argument in node.args)
        yield from _without_an_option(node)
    elif isinstance(node, cst.If):
        for operator, literal in ((cst.And(), "False"), (cst.Or(), "True")):
            test = cst.BooleanOperation(_held(node.test), operator, cst.Name(literal))
            yield node.with_changes(test=test, whitespace_before_test=cst.SimpleWhitespace(" "))
    elif isinstance(node, cst.SimpleStatementLine):
        (*_, last) = node.body
        if isinstance(last, cst.AugAssign) or (isinstance(last, cst.Expr) and isinstance(last.value, cst.Call)):
            yield node.with_changes(body=[cst.Pass()])


def _without_an_option(node: cst.Call) -> Iterator[cst.Call]:
    """The call without its last argument, or without one that is named: those have defaults."""
    if isinstance(node.func, cst.Name | cst.Attribute):
        name = node.func.value if isinstance(node.func, cst.Name) else node.func.attr.value
        if name in _OF_TWO or name in _NO_DEFAULTS:
            return
    for i, argument in enumerate(node.args):
        last = i == len(node.args) - 1 > 0 and not argument.star
        named = argument.keyword is not None and len(node.args) > 1
        if (last or named) and not (argument.keyword is not None and argument.keyword.value == "strict"):
            yield node.with_changes(args=[*node.args[:i], *node.args[i + 1 :]])


def _held(expression: cst.BaseExpression) -> cst.BaseExpression:
    """In parentheses, so that it can stand anywhere."""
    if isinstance(expression, cst.Name | cst.Call | cst.Attribute | cst.Subscript | cst.Integer) or expression.lpar:
        return expression
    return expression.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _compiles(source: str) -> bool:
    """Whether the compiler takes it without a warning: it sees itself where a number is called or indexed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(source, "<mutant>", "exec", dont_inherit=True)
        except SyntaxError:  # what a SyntaxWarning becomes
            return False
    return True


def _difference(old: list[str], new: list[str]) -> tuple[str, str]:
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    parts: Iterable[list[str]] = (old[head : len(old) - tail], new[head : len(new) - tail])
    before, after = (" ".join(line.strip() for line in part) for part in parts)
    return before, after
