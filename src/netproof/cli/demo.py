"""``netproof demo``: a first look, on a network that comes with the package."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o

if TYPE_CHECKING:
    from netproof.demo.digits import Digits
    from netproof.demo.residual import ResidualReport
    from netproof.demo.run import AtRadius, DemoReport, ExactRadius

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for what the demo writes; made where there is none.")
]

_COLUMNS = ("radius", "robust", "vulnerable", "misclassified", "undecided", "seconds", "median ms")
_FLOAT_COLUMNS = ("radius", "robust", "vulnerable", "undecided", "seconds")


def demo(out: Out = Path("demo-output"), as_json: o.Json = False) -> None:
    """Verify two small networks that come with netproof: no data needed, a few seconds."""
    from netproof.cli.terminal.output import print_json
    from netproof.demo.run import run_demo

    # So small a network gains nothing from more threads, and loses where other work wants the cores.
    o.use_threads(1)
    if as_json:
        print_json(run_demo(out).as_dict())
    else:
        run_demo(out, _Printer())


class _Printer:
    """Prints every step of the demo when it is done."""

    def __init__(self) -> None:
        self._rows = 0
        self._found = 0

    def loaded(self, digits: Digits) -> None:
        graph = digits.network.graph
        sizes = "-".join(str(graph.nodes[index].size) for index in (0, *graph.activations))
        typer.echo(
            f"A {sizes} network that computes with {digits.network.scheme['bits']}-bit integers "
            f"reads 8x8 images of digits.\n"
            f"Of {len(digits)} digits it was not trained on, it gets {digits.right} right."
        )

    def row(self, row: AtRadius) -> None:
        if not self._rows:
            typer.echo(
                f"\nThe first {len(row.verdicts)} of them: can the answer change where every pixel may move by up to "
                "`radius` of 255 grey levels?\n\n" + "  ".join(_COLUMNS)
            )
        self._rows += 1
        cells = (
            str(row.radius), str(row.robust), str(row.vulnerable), str(row.misclassified), str(row.undecided),
            f"{row.seconds:.2f}", f"{row.median_ms:.1f}",
        )  # fmt: skip
        typer.echo(_line(_COLUMNS, cells))

    def exact(self, found: ExactRadius) -> None:
        if not self._found:
            typer.echo(_WORDS + "\nThe largest radius at which a digit is robust:\n")
        self._found += 1
        answer = f"  digit {found.index:>3}, a {found.label}: robust at {found.radius:>3}"
        if found.witness_radius is not None:
            answer += f", read as {found.becomes} at {found.witness_radius:>3}"
        if not found.exact:
            answer += " (undecided between)"
        typer.echo(f"{answer}   {found.seconds:.2f} s")

    def pictured(self, example: ExactRadius, picture: Path) -> None:
        typer.echo(f"\nDigit {example.index} before and after: {picture}")

    def residual(self, report: ResidualReport) -> None:
        graph = report.network.graph
        neurons = sum(graph.nodes[index].size for index in graph.activations)
        typer.echo(
            f"\nA residual network in floating point, {len(graph.activations)} ReLU layers with {neurons} neurons, reads "
            f"the same digits.\nThe first {len(report.rows[0].verdicts)} of them, proved over the real numbers or "
            "replayed with onnxruntime:\n\n" + "  ".join(_FLOAT_COLUMNS) + "  settled by"
        )
        for row in report.rows:
            cells = (str(row.radius), str(row.robust), str(row.vulnerable), str(row.undecided), f"{row.seconds:.2f}")
            settled = ", ".join(f"{method} {count}" for method, count in row.methods.items())
            typer.echo(f"{_line(_FLOAT_COLUMNS, cells)}  {settled}")
        typer.echo(
            "\nEach of these was a property in VNN-LIB. To ask the hardest again (unsat: robust; sat: vulnerable):\n\n"
            f"  netproof verify {shlex.quote(report.network.path)} {shlex.quote(str(report.example))}\n"
        )

    def done(self, report: DemoReport) -> None:
        typer.echo(f"Done in {report.seconds:.1f} s.")


def _line(names: Sequence[str], cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>{len(name)}}" for name, cell in zip(names, cells, strict=True))


_WORDS = """
  robust         proved: every image in reach gets the same answer, not only those somebody tried
  vulnerable     an image in reach gets another answer; it was found, and replayed on the integers
  misclassified  wrong on the image as it is, so there is nothing to ask
  undecided      the time limit came before an answer
"""
