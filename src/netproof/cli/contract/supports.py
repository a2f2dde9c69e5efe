"""``netproof supports``: what queries and networks can be answered, as the VNN-LIB 2.0 standard has solvers say it.

Every answer is taken from the tables that readers and engines work with.
"""

from __future__ import annotations

from typing import Annotated

import typer

from netproof.errors import InputError


def _flag(name: str, text: str) -> object:
    return typer.Option(f"--{name}", help=text)


def supports(
    onnx_opset_versions: Annotated[bool, _flag("onnx-opset-versions", "The oldest and the newest opset.")] = False,
    onnx_element_types: Annotated[bool, _flag("onnx-element-types", "Types that answers are sound for.")] = False,
    onnx_operators: Annotated[bool, _flag("onnx-operators", "Operators of ONNX, for all of these types.")] = False,
    onnx_operators_unsat_proofs: Annotated[
        bool, _flag("onnx-operators-unsat-proofs", "Operators for which unsat comes with a proof.")
    ] = False,
    vnnlib_versions: Annotated[bool, _flag("vnnlib-versions", "The oldest and the newest VNN-LIB.")] = False,
    hidden_node_theories: Annotated[bool, _flag("hidden-node-theories", "NH, H.")] = False,
    multiple_input_output_theories: Annotated[
        bool,
        typer.Option("--multiple-input-output-theories", "--multiple-inputs-output-theories", help="SIO, MIO."),
    ] = False,
    multiple_network_theories: Annotated[bool, _flag("multiple-network-theories", "SNET, MENET, MINET, MNET.")] = False,
    multiple_node_comparison_theories: Annotated[bool, _flag("multiple-node-comparison-theories", "SNC, MNC.")] = False,
    arithmetic_complexity_theories: Annotated[
        bool, _flag("arithmetic-complexity-theories", "BND, OUTC, LIN, POLY.")
    ] = False,
    optimised_disjunctive_reasoning: Annotated[
        bool, _flag("optimised-disjunctive-reasoning", "Are disjunctions more than written out?")
    ] = False,
    serialise_assignments: Annotated[
        bool, _flag("serialise-assignments", "Are assignments written as files of ONNX?")
    ] = False,
    unsat_proofs: Annotated[bool, _flag("unsat-proofs", "Are there proofs in the standard's format?")] = False,
) -> None:
    """What can be asked? One capability of the VNN-LIB 2.0 standard at a time, one answer a line."""
    from netproof.cli.contract.capabilities import CAPABILITIES

    given = {
        "onnx-opset-versions": onnx_opset_versions,
        "onnx-element-types": onnx_element_types,
        "onnx-operators": onnx_operators,
        "onnx-operators-unsat-proofs": onnx_operators_unsat_proofs,
        "vnnlib-versions": vnnlib_versions,
        "hidden-node-theories": hidden_node_theories,
        "multiple-input-output-theories": multiple_input_output_theories,
        "multiple-network-theories": multiple_network_theories,
        "multiple-node-comparison-theories": multiple_node_comparison_theories,
        "arithmetic-complexity-theories": arithmetic_complexity_theories,
        "optimised-disjunctive-reasoning": optimised_disjunctive_reasoning,
        "serialise-assignments": serialise_assignments,
        "unsat-proofs": unsat_proofs,
    }
    chosen = [CAPABILITIES[name] for name, is_asked in given.items() if is_asked]
    if len(chosen) != 1:
        known = ", ".join(f"--{name}" for name in CAPABILITIES)
        raise InputError("supports", f"{len(chosen)} capabilities are asked for", f"give one of {known}")
    lines = chosen[0]()
    if lines:
        typer.echo("\n".join(lines))
