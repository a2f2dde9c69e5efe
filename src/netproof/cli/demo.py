"""``netproof demo``: a first look, on a network that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli import options as o

if TYPE_CHECKING:
    from netproof.demo.digits import Digits
    from netproof.demo.run import DemoReport, ExactRadius, RadiusRow

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the picture; made where there is none.")]

_COLUMNS = ("radius", "robust", "vulnerable", "misclassified", "undecided", "seconds", "median ms")


def demo(out: Out = Path("demo-output"), as_json: o.Json = False) -> None:
    """Verify a small quantized network that comes with netproof: no data needed, a few seconds."""
    from netproof.cli.output import print_json
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

    def row(self, row: RadiusRow) -> None:
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
        typer.echo("  ".join(f"{cell:>{len(name)}}" for name, cell in zip(_COLUMNS, cells, strict=True)))

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

    def done(self, report: DemoReport) -> None:
        if report.example is not None:
            typer.echo(f"\nDigit {report.example.index} before and after: {report.picture}")
        typer.echo(f"Done in {report.seconds:.1f} s.")


_WORDS = """
  robust         proved: every image in reach gets the same answer, not only those somebody tried
  vulnerable     an image in reach gets another answer; it was found, and replayed on the integers
  misclassified  wrong on the image as it is, so there is nothing to ask
  undecided      the time limit came before an answer
"""
