"""``netproof evaluate``: what a network computes of inputs, in the integers of a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netproof.cli.arguments import options as o

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netproof.cli.arguments.evaluations import Evaluated

InputPath = Annotated[
    Path,
    typer.Argument(metavar="INPUT", help="Inputs [batch, ...]: .npy, .npz, .csv, an image (PNG, BMP, JPEG) or IDX."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the outputs, [batch, ...], as .npy.")]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Write test vectors as .npz: inputs, outputs, classes, --layers too."),
]
Layers = Annotated[bool, typer.Option("--layers", help="Show (and save) the output of every operator.")]
Compare = Annotated[
    str | None,
    typer.Option(
        "--compare", metavar="RULE", help="Compare with another rule, or with the runtime itself ('installed')."
    ),
]
#: what --compare calls the runtime itself
_INSTALLED = "installed"
#: inputs that the text names one by one
_SHOWN = 20


def evaluate(
    network: o.NetworkPath,
    inputs: InputPath,
    *,
    runtime: o.Runtime = None,
    out: Out = None,
    save: Save = None,
    layers: Layers = False,
    compare: Compare = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Compute a network of integers, bit for bit as a device does.

    Prints the class of every input (the first largest output). Inputs are in the network's own integers and layout; the
    bytes of images become its codes in order, the least code for black.
    """
    from netproof.cli.arguments.evaluations import evaluated
    from netproof.cli.terminal.output import check_writable, print_json

    o.check_threads(threads)
    for path, option in ((out, "--out"), (save, "--save")):
        if path is not None:
            check_writable(path, option)
    o.use_threads(threads)
    found = evaluated(network, inputs, runtime)
    other: Evaluated | None = None
    if compare is not None:
        other = found.by_installed() if compare == _INSTALLED else evaluated(network, inputs, compare)
    if out is not None:
        _write_array(out, found.outputs)
    if save is not None:
        _write_vectors(save, found, layers)
    document = _document(found, layers) | ({} if other is None else {"compared": _compared(found, other, compare)})
    if as_json:
        print_json(document)
    else:
        typer.echo(_text(document))
        for path in (out, save):
            if path is not None:
                typer.echo(f"written to {path}")


def _write_array(path: Path, array: NDArray[np.integer[Any]]) -> None:
    import numpy as np

    from netproof.files.opened import whole_file

    with whole_file(path) as stream:
        np.save(stream, array)


def _write_vectors(path: Path, found: Evaluated, layers: bool) -> None:
    import numpy as np

    from netproof.files.opened import whole_file

    arrays: dict[str, Any] = {"inputs": found.inputs, "outputs": found.outputs, "classes": found.classes}
    if layers:
        arrays |= {f"layer{i:03d}": layer.values for i, layer in enumerate(found.layers)}
        arrays["layer_names"] = np.array([layer.name for layer in found.layers])
    with whole_file(path) as stream:
        np.savez_compressed(stream, **arrays)


def _document(found: Evaluated, layers: bool) -> dict[str, Any]:
    from netproof.cli.arguments.networks import network_document

    document: dict[str, Any] = {
        "network": network_document(found.network),
        "inputs": len(found.inputs),
        "output_shape": list(found.outputs.shape[1:]),
        "output_type": str(found.outputs.dtype),
        "classes": found.classes.tolist(),
        "notes": list(found.network.notes),
    }
    if layers:
        document["layers"] = [
            {
                "name": layer.name,
                "operator": layer.operator,
                "shape": list(layer.values.shape[1:]),
                "least": int(layer.values.min()),
                "largest": int(layer.values.max()),
            }
            for layer in found.layers
        ]
    return document


def _compared(found: Evaluated, other: Evaluated, name: str | None) -> dict[str, Any]:
    """How the outputs of two evaluations differ."""
    import numpy as np

    rows = len(found.inputs)
    distance = np.abs(found.outputs.astype(np.int64) - other.outputs.astype(np.int64)).reshape(rows, -1)
    turned = found.classes != other.classes
    return {
        "with": name,
        "inputs_that_differ": int((distance > 0).any(1).sum()),
        "largest_difference": int(distance.max()),
        "classes_that_differ": np.flatnonzero(turned).tolist(),
        "classes": [[int(a), int(b)] for a, b in zip(found.classes[turned], other.classes[turned], strict=True)],
        "layers": _first_difference(found, other),
    }


def _first_difference(found: Evaluated, other: Evaluated) -> str | None:
    """The first operator whose outputs differ; None where there is none, or only outputs are known."""
    for mine, theirs in zip(found.layers, other.layers, strict=False):
        if (mine.values != theirs.values).any():
            return f"{mine.name} ({mine.operator})"
    return None


def _text(document: dict[str, Any]) -> str:
    network, classes = document["network"], document["classes"]
    rule = f", integers as '{network['runtime']}' computes them" if network["runtime"] else ""
    shape = " x ".join(map(str, document["output_shape"])) or "1"
    count = document["inputs"]
    lines = [f"{count} input{'' if count == 1 else 's'}{rule}; outputs {shape} of {document['output_type']}"]
    lines += [f"  note: {note}" for note in document["notes"]]
    lines += [f"  input {i}: class {label}" for i, label in enumerate(classes[:_SHOWN])]
    if len(classes) > _SHOWN:
        lines.append(f"  and {len(classes) - _SHOWN} more (--json has all)")
    for layer in document.get("layers", []):
        size = "x".join(map(str, layer["shape"]))
        lines.append(f"  {layer['operator']} {layer['name']}: {size}, from {layer['least']} to {layer['largest']}")
    if "compared" in document:
        lines += _comparison_text(document["compared"], count)
    return "\n".join(lines)


def _comparison_text(compared: dict[str, Any], count: int) -> list[str]:
    if not compared["inputs_that_differ"]:
        return [f"compared with '{compared['with']}': all outputs are equal"]
    lines = [
        f"compared with '{compared['with']}': outputs of {compared['inputs_that_differ']} of {count} inputs differ, by "
        f"at most {compared['largest_difference']}; {len(compared['classes_that_differ'])} classes differ"
    ]
    if compared["layers"]:
        lines.append(f"  first operator that differs: {compared['layers']}")
    pairs = list(zip(compared["classes_that_differ"], compared["classes"], strict=True))
    lines += [f"  input {i}: class {mine} here, {theirs} there" for i, (mine, theirs) in pairs[:_SHOWN]]
    if len(pairs) > _SHOWN:
        lines.append(f"  and {len(pairs) - _SHOWN} more (--json has all)")
    return lines
