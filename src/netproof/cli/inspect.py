"""``netproof inspect``: what netproof makes of a network file."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.network import Network


Widths = Annotated[
    bool, typer.Option("--widths", help="Widths of sums, dead channels, unreachable codes of every layer.")
]


def inspect(
    network: o.NetworkPath,
    *,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    runtime: o.Runtime = None,
    shapes: o.Shapes = None,
    by_layer: Widths = False,
    as_json: o.Json = False,
) -> None:
    """Show a network as netproof reads it.

    With --widths, what is true of its layers whatever the input: how wide sums are, which channels are dead, which codes never come.
    """
    from netproof.cli.arguments.networks import read_network
    from netproof.cli.terminal.output import print_json

    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    model = read_network(network, widths, runtime, o.shapes_of(shapes))
    document = _to_json(model)
    if by_layer:
        document["layers"] = _layers(model)
    if as_json:
        print_json(document)
    else:
        typer.echo(_widths_text(document) if by_layer else _render_text(document))


def _to_json(network: Network) -> dict[str, object]:
    from netproof.cli.arguments.networks import network_document

    accumulators = _accumulators(network)
    nodes: list[dict[str, object]] = []
    for index, node in enumerate(network.graph.nodes):
        nodes.append(
            {
                "name": node.name,
                "operator": node.operator.name,
                "shape": list(node.shape),
                "parameters": _parameters(node.operator),
                "operands": [network.graph.nodes[i].name for i in node.operands],
                "description": node.operator.describe(),
                "accumulator": accumulators.get(index),
            }
        )
    return {
        **network_document(network),
        "inputs": network.inputs,
        "outputs": network.outputs,
        "input_range": _input_range(network),
        "notes": list(network.notes),
        "processors": None if network.processors is None else list(network.processors),
        "parameters": sum(_parameters(node.operator) for node in network.graph.nodes),
        "nodes": nodes,
    }


def _layers(network: Network) -> list[dict[str, Any]]:
    from netproof.graph.graph import Arithmetic
    from netproof.inference.facts import layer_facts

    if network.graph.arithmetic is not Arithmetic.INTEGER:
        raise InputError("--widths", f"{network.path} computes with floats", "give a network of integers")
    return [asdict(layer) for layer in layer_facts(network.graph, network.lower, network.upper)]


def _widths_text(document: dict[str, Any]) -> str:
    layers = document["layers"]
    sums = [layer for layer in layers if layer["any_order"] is not None]
    rule = f", as '{document['runtime']}' computes it" if document["runtime"] else ""
    lines = [f"{document['file']}{rule}: of all inputs, by intervals"]
    if sums:
        widest = max(layer["any_order"] for layer in sums)
        fits = "no sum of products can leave 32 bits" if widest <= 32 else "a sum of products may leave 32 bits"
        lines.append(f"  {fits}, in whatever order it is added up: {widest} bits hold them all")
        pairs = [layer["name"] for layer in sums if layer["pairs"]]
        told = f"of {len(pairs)} layers can leave 16 bits" if pairs else "can never leave 16 bits"
        lines.append(f"  two products of an unsigned byte and a weight, added, {told}")
    dead, channels = (sum(layer[name] for layer in layers) for name in ("dead", "channels"))
    unreachable = sum(layer["unreachable"] for layer in layers)
    lines += [f"  {dead} of {channels} channels are dead; {unreachable} codes never come", ""]
    table = [["layer", "operator", "result", "bits", "any order", "pairs", "dead", "unreachable"]]
    table += [
        [
            layer["name"][-40:],
            layer["operator"],
            f"{layer['least']} to {layer['largest']}",
            str(layer["width"]),
            "-" if layer["any_order"] is None else str(layer["any_order"]),
            "-" if layer["pairs"] is None else "leave" if layer["pairs"] else "fit",
            f"{layer['dead']} of {layer['channels']}",
            f"{layer['unreachable']} of {layer['codes']}",
        ]
        for layer in layers
    ]
    sizes = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines += ["  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def _processors(differences: object) -> list[str]:
    """Whether the file computes the same on every processor that its runtime is on."""
    if not isinstance(differences, list):
        return []
    return [
        f"processors  {one}"
        for one in differences
        or ["the same on every processor: x86 with FMA, and 64-bit ARM as far as its sources tell"]
    ]


def _parameters(operator: object) -> int:
    """Learned numbers of an operator: the tensors an affine map is made of."""
    from netproof.operators.base import Affine

    return sum(value.numel() for _, value in operator.parameters()) if isinstance(operator, Affine) else 0


def _input_range(network: Network) -> list[int] | None:
    """The least and the largest value an input can take; None where there is no limit."""
    low, high = float(network.lower.min()), float(network.upper.max())
    return [int(low), int(high)] if math.isfinite(low) and math.isfinite(high) else None


def _accumulators(network: Network) -> dict[int, list[int]]:
    """The least and the largest value that can reach each activation, over all inputs (by interval propagation)."""
    if _input_range(network) is None:
        return {}
    from netproof.bounds.region import box_region

    region = box_region(network.graph, network.lower[None], network.upper[None])
    ranges = zip(network.graph.activations, region.range_lower, region.range_upper, strict=True)
    return {index: [int(low.min()), int(high.max())] for index, low, high in ranges}


def _render_text(document: dict[str, object]) -> str:
    nodes = document["nodes"]
    scheme = document["scheme"]
    low_high, notes = document["input_range"], document["notes"]
    assert isinstance(nodes, list) and isinstance(scheme, dict) and isinstance(notes, list)
    limits = f", each from {low_high[0]} to {low_high[1]}" if isinstance(low_high, list) else ""
    lines = [
        f"file        {document['file']}",
        f"sha256      {document['sha256']}",
        f"arithmetic  {document['arithmetic']}",
    ]
    if document["runtime"]:
        lines.append(f"runtime     {document['runtime']}")
    if scheme:
        lines.append("scheme      " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in scheme.items()))
    lines += [
        f"inputs      {document['inputs']}{limits}",
        f"outputs     {document['outputs']}",
        f"parameters  {document['parameters']}",
        *(f"note        {note}" for note in notes),
        *_processors(document["processors"]),
        "",
    ]
    table = [["node", "operator", "shape", "parameters", "description"]]
    for node in nodes:
        described = [node["description"]] if node["description"] else []
        if node["accumulator"]:
            least, largest = node["accumulator"]
            described.append(f"accumulator from {least} to {largest}")
        shape = "x".join(map(str, node["shape"]))
        table.append([node["name"], node["operator"], shape, str(node["parameters"]), "; ".join(described)])
    sizes = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines += ["  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip() for row in table]
    return "\n".join(lines)
