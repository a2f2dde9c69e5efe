"""The shape of the code: which room may import which, how large a module may be, what start-up loads.

A *room* is a folder of ``src/netproof`` or a module beside them. :data:`MAY_IMPORT` is the rule, and
docs/architecture.md explains it. In short: whoever asks stands above whoever answers; ``operators`` are
at the bottom, because an operator knows its own function and no graph; a graph is made of operators;
bounds and attacks work on graphs and know nothing of files, queries or settings; exact engines answer
queries and know nothing of the search, with which they are compared;
readers make graphs and never bound them. Imports inside functions count, those for type checkers do not.
"""

from __future__ import annotations

import ast
import functools
import io
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import netproof

SOURCE = Path(netproof.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

_GROUND = {"errors", "arguments", "pictures", "files", "host", "processes", "rows", "solvers", "version"}
_GRAPHS = _GROUND | {"operators", "graph"}
_QUERIES = _GRAPHS | {"network", "query", "result"}
_BOUNDS = _QUERIES | {"property", "local_robustness", "bounds", "conditions", "effort"}
_ENGINE = _BOUNDS | {
    "settings", "device", "attack", "exact", "search", "perturbations", "inference",
}  # fmt: skip

#: what each room may import besides itself
MAY_IMPORT: dict[str, set[str]] = {
    # the ground: nothing of netproof but errors
    "errors": set(),
    "arguments": {"errors"},
    "host": {"errors"},
    "files": {"errors", "arguments"},
    "processes": {"errors"},
    "solvers": {"errors", "processes"},
    "rows": set(),
    "version": set(),
    "pictures": {"errors"},
    "settings": {"errors", "arguments"},
    "operators": {"errors", "rows"},
    "graph": {"errors", "operators"},
    # numbers alone, one of them how many rows of a graph fit into memory
    "effort": {"graph"},
    "network": _GRAPHS,
    "device": _GRAPHS | {"network", "settings"},
    "result": {"errors"},
    "query": _GRAPHS | {"network", "result"},
    "property": _QUERIES,
    "local_robustness": _QUERIES | {"property"},
    # evaluating many inputs: a graph, and nothing of what is asked
    "inference": _GRAPHS,
    # what may happen to an input; a question about it is one about the class of a sample
    "perturbations": _QUERIES | {"property", "local_robustness"},
    "formats": _QUERIES | {"property"},
    "certificate": _QUERIES | {"formats", "property", "local_robustness", "perturbations", "inference"},
    "bounds": _GRAPHS | {"effort"},
    "conditions": _QUERIES | {"property", "bounds", "effort"},
    "attack": _BOUNDS,
    "exact": _QUERIES | {"settings", "bounds"},
    "search": _ENGINE - {"search"},
    "agreement": _ENGINE,
    "benchmarks": _QUERIES | {"local_robustness", "formats"},
    "making": _ENGINE | {"formats", "benchmarks"},
    "asking": _ENGINE | {"formats", "benchmarks"},
    "training": _QUERIES | {"device", "formats", "making", "bounds"},
    "runs": _ENGINE | {"formats", "benchmarks", "certificate"},
    "measure": _ENGINE | {"formats", "making", "runs"},
    "report": _QUERIES | {"local_robustness", "formats", "asking", "benchmarks", "making", "runs"},
    # for other people's tests
    "testing": _ENGINE | {"formats", "asking"},
    "demo": _ENGINE | {"formats", "report"},
    "cli": _ENGINE
    | {
        "formats",
        "benchmarks",
        "making",
        "certificate",
        "runs",
        "measure",
        "report",
        "demo",
        "training",
        "asking",
        "agreement",
    },
    "__main__": {"cli"},
    # the public API: gathers names, and nothing inside imports it
    "__init__": _ENGINE | {"formats", "certificate", "agreement"},
}


#: first words of names that say what is done, not what it is about
NO_SUBJECT = {"drop", "merge", "refine"}


def room(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import that runs, wherever it stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from imports(other)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        else:
            yield from imports(node)


def own_imports(module: Path) -> Iterator[tuple[int, str]]:
    """Line and first part after ``netproof.`` of every import from the package itself."""
    for line, name in imports(tree_of(module)):
        first, _, rest = f"{name}.".partition(".")
        if first == "netproof":
            yield line, rest.partition(".")[0]


@functools.cache
def tree_of(module: Path) -> ast.Module:
    """A module, parsed once for all that is asked about it."""
    return ast.parse(module.read_text())


def relative(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_imports_point_downwards(module):
    mine = room(module)
    assert mine in MAY_IMPORT, f"a new room: say in MAY_IMPORT what {mine} may import"
    wrong = [
        f"line {line}: {mine} imports {other or 'the package itself'}"
        for line, other in own_imports(module)
        if other != mine and other not in MAY_IMPORT[mine]
    ]
    assert not wrong, f"{relative(module)}: {'; '.join(wrong)}"


def test_the_rule_has_no_cycle():
    above: list[str] = []

    def visit(name: str) -> None:
        assert name not in above, f"a cycle: {' -> '.join([*above, name])}"
        above.append(name)
        for below in MAY_IMPORT[name]:
            visit(below)
        above.pop()

    for name in MAY_IMPORT:
        visit(name)


FOLDERS = sorted({module.parent for module in MODULES})


def names_in(folder: Path) -> list[str]:
    return sorted(module.stem for module in folder.glob("*.py") if module.stem != "__init__")


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_folder_holds_at_most_twelve_modules(folder):
    assert len(names_in(folder)) <= 12


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_a_prefix_that_several_modules_share_is_a_folder(folder):
    first = Counter(name.partition("_")[0] for name in names_in(folder))
    shared = {prefix for prefix, count in first.items() if count > 1} - NO_SUBJECT
    assert not shared, f"make {', '.join(shared)} a folder, or name its modules apart"


def test_the_graph_itself_knows_no_particular_operator():
    # Passes in graph/ may; the graph works with any operator that keeps the contract.
    names = {name for _, name in imports(ast.parse((SOURCE / "graph" / "graph.py").read_text()))}
    rooms = {".".join(name.split(".")[:3]) for name in names if name.startswith("netproof.operators")}
    assert rooms <= {"netproof.operators.base", "netproof.operators.input", "netproof.operators.sums"}


def test_a_query_has_no_subclasses():
    # What a query is about is data beside it: whoever takes a Query can take any.
    for module in MODULES:
        classes = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ClassDef)]
        assert not [node.name for node in classes if any(ast.unparse(base) == "Query" for base in node.bases)]


def test_the_checker_shares_nothing_with_the_search():
    # Every module that checking brings along, imports inside functions included, and packages' own __init__.
    seen: set[str] = set()

    def visit(name: str) -> None:
        path = SOURCE.parent / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in seen or not path.is_file():  # an attribute of a module
            return
        seen.add(name)
        for _, used in imports(ast.parse(path.read_text())):
            parts = used.split(".")
            if parts[0] == "netproof" and len(parts) > 1:
                for length in range(2, len(parts) + 1):
                    visit(".".join(parts[:length]))

    visit("netproof.certificate.checker.check")
    visit("netproof.certificate.checker.sets")
    rooms = {name.split(".")[1] for name in seen}
    assert rooms == {
        "arguments", "certificate", "errors", "files", "graph", "host", "inference", "local_robustness", "network", "operators",
        "perturbations", "processes", "property", "query", "result",
    }  # fmt: skip


def code_lines(module: Path) -> int:
    """Lines that hold code: neither empty, nor comments, nor docstrings."""
    text = module.read_text()
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ignored:
            lines.update(range(token.start[0], token.end[0] + 1))
    for statement in ast.walk(ast.parse(text)):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            lines.difference_update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return len(lines)


def test_the_checker_of_real_networks_stands_alone():
    # It reads network and property by itself, computes without PyTorch, and is short enough to be read.
    room = SOURCE / "certificate" / "checker" / "real"
    lines: Counter[str] = Counter()
    for module in room.rglob("*.py"):
        lines[module.parent.name] += code_lines(module)
        names = [name for _, name in imports(tree_of(module))]
        assert not [name for name in names if name.partition(".")[0] == "torch"]
        own = {name for name in names if name.startswith("netproof.")}
        allowed = ("netproof.certificate.checker.real.", "netproof.certificate.real.contents.", "netproof.errors.")
        assert all(name.startswith(allowed) for name in own), module
    contents = SOURCE / "certificate" / "real" / "contents.py"
    assert {name.partition(".")[0] for _, name in imports(ast.parse(contents.read_text()))} == {
        "__future__", "collections", "dataclasses", "numpy", "typing",
    }  # fmt: skip
    # docs/certificates.md: what every proof rests on, what operators are, what functions that are not straight need, and planes and pairs
    assert lines["real"] <= 1500
    assert lines["reading"] <= 1100
    assert lines["curved"] <= 450
    assert lines["joint"] <= 310


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_module_fits_in_a_head(module):
    assert len(module.read_text().splitlines()) <= 500
    assert "util" not in module.stem, "name it for what it does"


@pytest.mark.parametrize(
    "code",
    [
        "import netproof; netproof.__version__; dir(netproof)",
        "from netproof import NetproofError, Settings",
        "from netproof.cli.main import run; run(['--help'])",
        "from netproof.cli.main import run; run(['robust', '--help'])",
        "from netproof.cli.main import run; run(['check', '--help'])",
        "from netproof.cli.main import run; run(['bench', 'list'])",
        "from netproof.cli.main import run; run(['export', '--help'])",
    ],
)
def test_start_up_loads_no_torch(code):
    code = f"import sys; {code}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    import inspect

    assert set(dir(netproof)) >= set(netproof.__all__)
    for name in netproof.__all__:
        value = getattr(netproof, name)
        assert name == "__version__" or inspect.getdoc(value), f"{name} has no docstring"


def test_type_checkers_see_the_names_where_they_are_loaded_from():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == netproof._HOME and sorted({*seen, "__version__"}) == sorted(netproof.__all__)


def test_former_names_are_there_and_nowhere_listed():
    assert not set(netproof._DEPRECATED) & {*netproof.__all__, *netproof._HOME}
    assert all(callable(getattr(netproof, name)) for name in netproof._DEPRECATED)
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = [alias.asname for node in blocks[1].body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert seen == list(netproof._DEPRECATED)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(netproof, "nonsense")
    with pytest.raises(ImportError):
        from netproof import nonsense  # noqa: F401


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_function_fits_in_a_head(module):
    # Without its docstring and its signature, which are long where a command has many options.
    for function in ast.walk(tree_of(module)):
        if isinstance(function, ast.FunctionDef):
            body = function.body[1:] if ast.get_docstring(function) is not None else function.body
            lines = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 75, f"{function.name} has {lines} lines: take what is a job of its own out of it"
