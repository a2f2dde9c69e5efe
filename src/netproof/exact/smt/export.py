"""A query as an SMT-LIB script that says in comments what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from netproof.exact.smt.encode import encode
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.smtlib import legend, script
from netproof.query import Query


def exported(
    query: Query, options: EncodingOptions | None = None, *, status: str | None = None, writer: str = "netproof"
) -> Iterator[str]:
    """The lines of a script in logic QF_BV that is satisfiable exactly where the query is ``sat``.

    Parameters
    ----------
    options : improvements of the encoding; all of them by default
    status : ``sat`` or ``unsat`` where known, for ``(set-info :status ...)``
    writer : program and version, for the first comment

    Raises
    ------
    QueryError : a network with an activation that is no staircase, or an affine map too large to be written out
    """
    options = options or EncodingOptions()
    formula = encode(query, options)
    comments = [*_header(query, options, writer), *legend(formula), ""]
    return script(formula, comments=comments, status=status)


def _header(query: Query, options: EncodingOptions, writer: str) -> Iterator[str]:
    network = query.network
    yield f"Written by {writer}."
    yield "Is there an input in the box whose output meets the property? sat: yes, unsat: no."
    yield f"network   {network.path}"
    yield f"sha256    {network.sha256}"
    yield f"scheme    {', '.join(f'{name} {value}' for name, value in network.scheme.items()) or 'none'}"
    if network.runtime:
        yield f"runtime   {network.runtime}"
    yield f"query     {query.name}"
    sample = query.sample
    if sample is not None and sample.radius is not None:
        yield f"sample    label {sample.label}; the inputs' box is the sample's, at most {sample.radius} away from it"
        yield f"radius    {sample.radius}"
        label = sample.label
        yield (
            f"property  another class than {label} (first largest of the outputs y): "
            f"y[k] >= y[{label}] for some k < {label}, or y[k] >= y[{label}] + 1 for some k > {label}"
        )
    else:
        yield from _property(query)
    off = [f.name for f in fields(options) if not getattr(options, f.name)]
    yield f"encoding  {'without ' + ', '.join(off) if off else 'all improvements'}"
    yield (
        "names     x0_j is input j, less its offset; ni_j is feature j of node i of the graph, signed, less its "
        "offset; what the property cannot depend on is left out"
    )
    yield f"nodes     {', '.join(f'{i} {node.name}' for i, node in enumerate(network.graph.nodes))}"


def _property(query: Query) -> Iterator[str]:
    for number, conjunction in enumerate(query.condition):
        for row, threshold in zip(conjunction.coefficients.tolist(), conjunction.threshold.tolist(), strict=True):
            terms = " ".join(f"{int(c):+d} y[{j}]" for j, c in enumerate(row) if c) or "0"
            yield f"property  disjunct {number}: {terms} >= {int(threshold)}"
    if not query.condition:
        yield "property  none: no output meets it"
