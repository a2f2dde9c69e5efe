"""``netproof bench generate``: make a benchmark from networks and images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from netproof.cli.arguments import image_options as i
from netproof.cli.arguments import options as o
from netproof.cli.arguments.help import ARCHIVES
from netproof.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netproof.making.folder import BenchmarkFolder
    from netproof.making.generate import Shuffled
    from netproof.making.recipes import Recipe
    from netproof.network import Network

_Number = TypeVar("_Number", int, float)

_RECIPE = "default for the published networks: theirs"

Networks = Annotated[list[Path], typer.Argument(metavar="NETWORK...", help="Networks in ONNX, of one input.")]
Split = Annotated[
    str,
    typer.Option("--split", metavar="PART", help="Which part of an archive: test or train.", rich_help_panel=ARCHIVES),
]
Count = Annotated[
    list[int] | None,
    typer.Option(
        "--count", metavar="N", help=f"Images per network, once for all or once for each ({_RECIPE}; else 24)."
    ),
]
TimeLimit = Annotated[
    list[float] | None,
    typer.Option("--timeout", metavar="S", help=f"Seconds per instance, once or once for each ({_RECIPE}; else 200)."),
]
Title = Annotated[
    str | None, typer.Option("--title", metavar="WORD", help=f"Heads the properties ({_RECIPE}; else robustness).")
]
Selected = Annotated[
    Path | None,
    typer.Option("--selected", metavar="DIR", help="Folder of lists NETWORK_list.txt to choose from; else filter."),
]
Filters = Annotated[
    str | None, typer.Option("--filters", metavar="NAME,...", help="Filters of the selection (default: all).")
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Filter the first N images, shuffled (default: all).")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the benchmark.")]


def generate(
    networks: Networks,
    *,
    images: i.Images,
    out: Out,
    labels: i.Labels = None,
    split: Split = "test",
    crop: i.Crop = None,
    unchecked: i.Unchecked = False,
    radius: i.Radius = "1/255",
    mean: i.Mean = None,
    std: i.Std = None,
    count: Count = None,
    timeout: TimeLimit = None,
    title: Title = None,
    seed: o.Seed = None,
    selected: Selected = None,
    filters: Filters = None,
    limit: Limit = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Make a benchmark: choose images, write their properties and the list of instances.

    The same seed gives the same files. Filtering goes on where it was stopped.
    """
    from netproof.making.generate import Shuffled, check_classes, check_seed, check_selected, read_selected

    choice = _Choice(i.radius_of(radius), 0 if seed is None else seed, filters, limit)
    check_seed(choice.seed)
    for option, each in (("--count", count), ("--timeout", timeout)):
        if each and (len(each) not in (1, len(networks)) or not all(0 < n < 1 << 31 for n in each)):
            raise InputError(
                option, f"is given as {', '.join(map(str, each))}", "give one positive number, or one per network"
            )
    if limit is not None and limit < 1:
        raise InputError("--limit", f"is {limit}", "give a positive number of images")
    if selected is not None and (filters is not None or limit is not None):
        raise InputError("--selected", "is given together with filters", "give one of them")
    names = [i.network_name(path) for path in networks]
    if len(set(names)) != len(names):
        raise InputError(names[0], "two networks have one name", "rename one of them")
    o.use_threads(threads)

    from netproof.cli.terminal.output import print_json
    from netproof.files.lock import FolderLock
    from netproof.formats.images.sources import read_image_set
    from netproof.formats.load import load
    from netproof.making.filters import filters_of
    from netproof.making.folder import BenchmarkFolder
    from netproof.making.image_table import check_fit

    found = read_image_set(images, labels, split=split, crop=crop, check=not unchecked)
    tasks: list[_Task] = []
    for place, (name, path) in enumerate(zip(names, networks, strict=True)):
        network = load(path)
        check_fit(network, found)
        check_classes(found, name, network.outputs)
        filters_of(filters, network, choice.seed)
        recipe = _recipe(name, found.images.shape[1], mean, std, title)
        recipe = replace(recipe, count=_nth(count, place, recipe.count), timeout=_nth(timeout, place, recipe.timeout))
        listed: Sequence[int] | None = None if selected is None else read_selected(selected / f"{name}_list.txt")
        check_selected(name, found, listed or ())
        tasks.append(_Task(name, network, recipe, listed))
    shuffled, folder = Shuffled(found), BenchmarkFolder(out)
    with FolderLock(out):
        documents = [_made(task, shuffled, choice, folder, quiet=as_json) for task in tasks]
    if as_json:
        print_json({"folder": str(out), "radius": choice.radius, "seed": choice.seed, "networks": documents})
    else:
        typer.echo(f"written to {out}")


@dataclass(frozen=True)
class _Choice:
    """Which images are asked about, and in which box: ``radius`` of values from 0 to 1; filters and a limit as they are given."""

    radius: float
    seed: int
    filters: str | None
    limit: int | None


@dataclass(frozen=True, eq=False)
class _Task:
    """A network to make properties of; ``listed`` are the positions that were selected before, None where filters are to."""

    name: str
    network: Network
    recipe: Recipe
    listed: Sequence[int] | None


def _made(task: _Task, images: Shuffled, choice: _Choice, folder: BenchmarkFolder, *, quiet: bool) -> dict[str, object]:
    """Write the properties of one network, and say so; what JSON output says of them."""
    from netproof.making.generate import generate as generate_properties
    from netproof.making.generate import write_selected

    name, recipe, positions = task.name, task.recipe, task.listed
    if positions is None:
        positions = _filtered(task, images, choice, folder.path)
        write_selected(folder.path / "selected_list" / f"{name}_list.txt", positions)
    made = list(
        generate_properties(
            name,
            images,
            positions,
            recipe,
            radius=choice.radius,
            seed=choice.seed,
            outputs=task.network.outputs,
            folder=folder.path,
        )
    )
    folder.add_network(name, task.network.content)
    folder.replace(name, made)
    if not quiet:
        short = "" if len(made) == recipe.count else f" (fewer than the {recipe.count} asked for)"
        typer.echo(
            f"{name}: {len(made)} properties{short} of {len(positions)} selected images, {recipe.timeout:g} s each; "
            f"{i.normalization_text(recipe.normalization)}"
        )
    return {
        "network": name,
        "selected": len(positions),
        "properties": [each.property_file for each in made],
        "timeout": recipe.timeout,
        "mean": list(recipe.normalization.mean),
        "std": list(recipe.normalization.std),
    }


def _filtered(task: _Task, images: Shuffled, choice: _Choice, folder: Path) -> list[int]:
    """The positions that no filter takes, from the record as far as they are on it."""
    from netproof.cli.terminal.progress import counted
    from netproof.cli.terminal.stop import stoppable
    from netproof.making.filters import filters_of
    from netproof.making.selection import SelectionRecord, conditions, select

    normalization, limit = task.recipe.normalization, choice.limit
    chain = filters_of(choice.filters, task.network, choice.seed)
    stated = conditions(images, choice.radius, normalization, chain, task.network.sha256)
    record = SelectionRecord(folder / "selected_list" / f"{task.name}_record.csv", stated)
    total = len(images.images) if limit is None else min(limit, len(images.images))
    before = sum(position < total for position in record.judgements)

    def standing() -> str:
        return f": {len(record.judgements)} images are on record; run the same command again to go on"

    with stoppable(standing), counted(f"{task.name}: images", total, before) as count:
        for _, judgement in select(images, choice.radius, normalization, chain, record, limit=limit):
            count(judgement.value)
    return record.selected(limit)


def _recipe(name: str, channels: int, mean: str | None, std: str | None, title: str | None) -> Recipe:
    from netproof.making.recipes import RECIPES, Recipe

    normalization = i.normalization_of(name, channels, mean, std)
    known = RECIPES.get(name)
    recipe = Recipe(24, 200, normalization, "robustness") if known is None else known
    recipe = replace(recipe, normalization=normalization)
    if title is not None:
        if not title.isascii() or not title.isprintable() or not title:
            raise InputError("--title", "is no line of text", "give a word")
        recipe = replace(recipe, title=title)
    return recipe


def _nth(given: list[_Number] | None, place: int, default: _Number) -> _Number:
    if not given:
        return default
    return given[0] if len(given) == 1 else given[place]
