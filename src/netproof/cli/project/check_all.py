"""``netproof check-all``: does a repository keep what it promises of its networks?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.asking.keeping import Answered

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The promises (default: the nearest netproof.toml, or pyproject.toml)."
    ),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="NAME", help="Only the promise of that name; repeat for several.")
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML: a case for every image.")]


def check_all(
    *,
    config: Config = None,
    only: Only = None,
    junit: Junit = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Verify what netproof.toml promises.

    Exits with 0 where every verdict is the promised one, with 1 where one is not (an undecided one is not, nor what could not be asked), with 2
    where the file has a fault: then nothing is asked.
    """
    from netproof.arguments.words import meant, printable, shown
    from netproof.asking.promises import check_files, files_of, find_promises, read_promises
    from netproof.cli.terminal.output import check_writable, is_same_file, print_json

    o.check_threads(threads)
    if junit is not None:
        check_writable(junit, "--junit")
    path = config or find_promises(Path.cwd())
    promises = read_promises(path)
    wanted = set(only or ())
    names = [promise.name for promise in promises]
    for name in sorted(wanted - set(names)):
        raise InputError("--only", f"{path} promises no {shown(name)}", meant(name, names))
    check_files(promises)
    if junit is not None:
        read = (path, *(file for promise in promises for file in files_of(promise).values()))
        if any(is_same_file(str(file), junit) for file in read):
            raise InputError("--junit", f"{junit} is what is read, and would be overwritten", "give it another name")
    o.use_threads(threads)

    from netproof.asking.keeping import keep

    found: list[Answered] = []
    for promise in promises:
        if wanted and promise.name not in wanted:
            continue
        for kept in keep(promise):
            found.append(kept)
            if not as_json:
                typer.echo(_line(kept))
    broken = [kept for kept in found if not kept.holds]
    if junit is not None:
        _write_junit(junit, found)
    if as_json:
        print_json({"config": str(path), "kept": not broken, "answers": [_document(kept) for kept in found]})
    else:
        typer.echo(f"{len(found) - len(broken)} of {len(found)} as promised in {printable(str(path))}")
    if broken:
        first = broken[0]
        typer.echo(
            f"CHECK FAILED: {printable(first.name)}: {first.verdict}, promised is {first.promise.expect}", err=True
        )
        raise typer.Exit(1)


def _line(kept: Answered) -> str:
    from netproof.arguments.words import printable
    from netproof.report.text import seconds_text

    mark = "kept  " if kept.holds else "BROKEN"
    required = f" [{', '.join(kept.promise.requirements)}]" if kept.promise.requirements else ""
    # A name can be anything, a line end or what steers a terminal as well.
    return printable(f"{mark}  {kept.name}{required}: {kept.verdict} ({kept.said}), {seconds_text(kept.seconds)}")


def _document(kept: Answered) -> dict[str, object]:
    return {
        "name": kept.name,
        "promise": kept.promise.name,
        "verdict": kept.verdict,
        "expected": kept.promise.expect,
        "kept": kept.holds,
        "said": kept.said,
        "requirements": list(kept.promise.requirements),
        "seconds": round(kept.seconds, 6),
    }


def _write_junit(path: Path, found: list[Answered]) -> None:
    from netproof.arguments.words import printable
    from netproof.files.opened import write_bytes
    from netproof.report.exports.junit import Case, junit

    cases = [
        Case(
            printable(kept.promise.name), printable(kept.name), kept.verdict, kept.seconds,
            printable(kept.said if kept.holds or kept.verdict == "error" else f"promised is {kept.promise.expect}; {kept.said}"),
            tuple(printable(word) for word in kept.promise.requirements), contradicts=not kept.holds and kept.verdict != "error",
        )
        for kept in found
    ]  # fmt: skip
    write_bytes(path, junit("netproof check-all", cases, ()))
