"""``netproof fetch``: bring the public files of a benchmark into the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netproof.cli.arguments import options as o

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="What to fetch; without it, what there is.", show_default=False)
]
Folder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder that they go to, below it NAME (default: ~/.cache/netproof)."),
]
Base = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Take the files from below this address instead.")
]
Only = Annotated[str | None, typer.Option("--only", metavar="PATTERN", help="Only files whose path matches this glob.")]


def fetch(
    name: Name = None, *, data: Folder = None, url: Base = None, only: Only = None, as_json: o.Json = False
) -> None:
    """Download the public files of a benchmark, and verify them.

    The same command again goes on where it was cut off, and leaves what is there. Nothing is used before its published hash is right.
    """
    from netproof.benchmarks import public
    from netproof.cli.terminal.output import print_json

    if name is None:
        known = public.collections().values()
        if as_json:
            print_json(
                [{"name": c.name, "description": c.description, "url": c.base, "files": len(c.files)} for c in known]
            )
            return
        width = max(len(c.name) for c in known)
        for each in known:
            typer.echo(f"{each.name:<{width}}  {each.description}")
        return
    from netproof.cli.terminal.progress import progress
    from netproof.cli.terminal.stop import stoppable

    wanted = public.collection(name)
    folder = data or public.cache_folder()
    total = len(wanted.matching(only))
    fetched: list[public.Fetched] = []

    def standing() -> str:
        return f": {len(fetched)} of {total} files are there; run the same command again to go on"

    with stoppable(standing), progress(wanted.name) as display:

        def grow(done: int, size: int | None) -> None:
            text = f"file {len(fetched) + 1} of {total}, {_megabytes(done)}"
            display.show(done, f"{text} of {_megabytes(size)}" if size else text, total=size)

        for file in public.fetch(wanted, folder, base=url, pattern=only, report=grow):
            fetched.append(file)
            display.show(len(fetched), f"{len(fetched)} of {total} files", total=total, due=len(fetched) == total)
    new = sum(done.downloaded for done in fetched)
    if as_json:
        print_json(
            {
                "name": wanted.name,
                "folder": str(folder / wanted.name),
                "files": [
                    {"path": str(d.path), "downloaded": d.downloaded, "digest": str(d.file.digest)} for d in fetched
                ],
            }
        )
    else:
        typer.echo(f"{wanted.name}: {total} files verified in {folder / wanted.name}, {new} of them new")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
