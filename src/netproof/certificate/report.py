"""What a person files of a checked certificate: the claim in words, what was checked and how, and what has to be trusted."""

from __future__ import annotations

import html
import json
import math
import platform
from collections.abc import Mapping
from importlib import metadata

from netproof.certificate.checker.real.check import RealChecked
from netproof.certificate.real.contents import RULES
from netproof.version import netproof_version

#: what has to be trusted, as reports say it
_TRUSTED = (
    "the checker's own reading of the network's file (certificate/checker/real/network.py, values.py and constants.py) and the package onnx, by which its bytes become a model",
    "the checker's own reading of the property (certificate/checker/real/property.py)",
    "the checker's evaluation and its argument (operators.py, bound.py, tree.py, numbers.py and check.py of the same folder, curved/ for smooth functions and products, and joint/ for planes and pairs; docs/certificates.md)",
    "the arithmetic chosen: float64 by NumPy with rounding to nearest, or the balls of Arb, or the fractions of Python",
    "how the file is unpacked (certificate/real/contents.py and format.py, container.py, varint.py)",
    "SHA-256, by which certificate, network and property name each other",
)
#: what an arithmetic is, for who reads a report
_ARITHMETICS = {
    "float64": "float64; an error term that covers every rounding was added to each bound before it was compared with 0",
    "arb": "balls of 128 bits (Arb, by python-flint), which hold every rounding",
    "rational": "rational numbers; nothing was rounded but ends of ranges, outward",
}


def document_of(checked: RealChecked, files: Mapping[str, str], requirement: str = "") -> dict[str, object]:
    """The report as a JSON document.

    Parameters
    ----------
    files : names of ``certificate``, ``network`` and ``property``, as they were given
    requirement : the identifier of what this is evidence for
    """
    certificate, counts, asked = checked.certificate, checked.counts, checked.asked
    return {
        "format": "netproof-check-1",
        "proved": True,
        "claim": certificate.claim,
        "claim_in_words": claim_of(checked),
        "requirement": requirement or None,
        "certificate": files["certificate"],
        "name": certificate.name,
        "producer": certificate.producer,
        "network": {
            "file": files["network"],
            "sha256": certificate.network_sha256,
            "inputs": checked.inputs,
            "outputs": checked.outputs,
            "neurons": checked.neurons,
        },
        "property": {
            "file": files["property"],
            "sha256": certificate.property_sha256,
            "boxes": len(asked.parts),
            "cases": sum(len(part.cases) for part in asked.parts),
        },
        "arithmetic": "real",
        "evaluation": checked.arithmetic,
        "evaluation_in_words": _ARITHMETICS[checked.arithmetic],
        "rules": {RULES[rule]: times for rule, times in sorted(counts.rules.items())},
        "leaves": counts.leaves,
        "leaves_with_multipliers": counts.given,
        "splits": counts.splits,
        "empty": counts.empty,
        "lemmas": counts.lemmas,
        "planes": counts.planes,
        "pairs": counts.pairs,
        "closest_bound": counts.closest if counts.leaves and math.isfinite(counts.closest) else None,
        "trusted": list(_TRUSTED),
        "seconds": round(checked.seconds, 6),
        "netproof": netproof_version(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("numpy", "onnx", "protobuf", "python-flint")},
        },
    }


def claim_of(checked: RealChecked) -> str:
    """What was proved, in a sentence."""
    asked = checked.asked
    if checked.certificate.claim == "sat":
        return (
            f"over the real numbers there is an input that the property describes: the witness of the certificate, in box "
            f"{checked.part + 1} of {len(asked.parts)}"
        )
    boxes = "the input box" if len(asked.parts) == 1 else f"any of the {len(asked.parts)} input boxes"
    cases = sum(len(part.cases) for part in asked.parts)
    meets = "the condition" if cases == 1 else f"any of the {cases} conditions"
    return (
        f"over the real numbers, with the weights that the file holds, no input of {boxes} of the property has an output "
        f"that meets {meets} stated with it"
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def text_of(document: Mapping[str, object]) -> str:
    """The report for a terminal."""
    network, property_ = document["network"], document["property"]
    assert isinstance(network, dict)
    assert isinstance(property_, dict)
    proof = "the witness, evaluated again"
    if document["claim"] == "unsat":
        rules = document["rules"]
        assert isinstance(rules, dict)
        ranges = ", ".join(f"{name} on {times} cells" for name, times in rules.items()) or "intervals"
        proof = (
            f"{document['leaves']} leaves ({document['leaves_with_multipliers']} with multipliers of their own), "
            f"{document['splits']} splits, {document['empty']} empty cells, {document['lemmas']} lemmas, {document['planes']} planes, {document['pairs']} pairs; ranges by {ranges}"
        )
        closest = document["closest_bound"]
        proof += "" if closest is None else f"; the bound closest to 0 is {closest:.6g}"
    lines = [
        f"PROVED: {document['claim']}",
        f"certificate  {document['certificate']} ({document['name'] or 'unnamed'}; by {document['producer'] or 'an unnamed program'})",
        f"network      {network['file']}, SHA-256 {network['sha256']}",
        f"             {network['inputs']} inputs, {network['neurons']} neurons, {network['outputs']} outputs",
        f"property     {property_['file']}, SHA-256 {property_['sha256']}",
        f"claim        {document['claim_in_words']}",
        f"arithmetic   real; evaluated in {document['evaluation_in_words']}",
        f"proof        {proof}",
        f"checked by   netproof {document['netproof']}, {document['seconds']:.3g} s",
    ]
    if document["requirement"]:
        lines.insert(1, f"requirement  {document['requirement']}")
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def json_of(document: Mapping[str, object]) -> bytes:
    """The report as a file of JSON."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }}
.claim {{ border-left: 4px solid #2a7; padding: .5rem 1rem; font-size: 1.1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }}
th {{ width: 12rem; font-weight: 600; }}
@media print {{ body {{ margin: 0; }} }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="claim"><strong>Proved ({verdict}):</strong> {claim}.</p>
<table>
<tbody>
{rows}
</tbody>
</table>
<h2>What has to be trusted</h2>
<ul>
{trusted}
</ul>
</main>
</body>
</html>
"""


def html_of(document: Mapping[str, object]) -> bytes:
    """The report as one page that needs no other file."""
    rows: list[tuple[str, object]] = []
    for key, value in document.items():
        if key in ("trusted", "claim_in_words", "claim", "proved", "format") or value in (None, ""):
            continue
        name = key.replace("_", " ")
        if isinstance(value, dict):
            rows.extend((f"{name}: {inner}", one) for inner, one in value.items() if one is not None)
        else:
            rows.append((name, value))
    trusted = document["trusted"]
    assert isinstance(trusted, list)
    title = f"Evidence: {document['requirement']}" if document["requirement"] else "Evidence of a verdict"

    def safe(value: object) -> str:
        return html.escape(str(value))

    page = _PAGE.format(
        title=safe(title),
        verdict=safe(document["claim"]),
        claim=safe(document["claim_in_words"]),
        rows="\n".join(f'<tr><th scope="row">{safe(name)}</th><td>{safe(value)}</td></tr>' for name, value in rows),
        trusted="\n".join(f"<li>{safe(item)}</li>" for item in trusted),
    )
    return page.encode()
