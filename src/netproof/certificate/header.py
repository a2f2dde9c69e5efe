"""The header of a certificate file: one JSON object, in its canonical form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from netproof.certificate.contents import (
    NAMES,
    PRICES,
    BoxProperty,
    Certificate,
    ClassProperty,
    Integers,
    RobustnessProperty,
)
from netproof.errors import CertificateError

#: the most bytes a header takes
LONGEST = 1 << 20
#: the arrays that files of each version have
_ARRAYS = {1: NAMES[: -len(PRICES)], 2: NAMES}
#: numbers in a header are below this in magnitude
_LARGEST = 1 << 53
_DIGITS = 16


@dataclass(frozen=True)
class Header:
    """A certificate without its arrays, and the sizes of these in the order of :data:`NAMES`."""

    network_sha256: str
    scheme: Mapping[str, int]
    inputs: int
    outputs: int
    claim: Literal["unsat", "sat"]
    property: RobustnessProperty | ClassProperty | BoxProperty
    sizes: tuple[int, ...]
    name: str
    producer: str
    runtime: str = ""

    @classmethod
    def of(cls, certificate: Certificate) -> Header:
        return cls(
            certificate.network_sha256,
            certificate.scheme,
            certificate.inputs,
            certificate.outputs,
            certificate.claim,
            certificate.property,
            tuple(len(certificate.arrays[name]) for name in NAMES),
            certificate.name,
            certificate.producer,
            certificate.runtime,
        )

    def certificate(self, arrays: Mapping[str, Integers]) -> Certificate:
        return Certificate(
            self.network_sha256,
            self.scheme,
            self.inputs,
            self.outputs,
            self.claim,
            self.property,
            arrays,
            self.name,
            self.producer,
            self.runtime,
        )


def version_of(header: Header) -> int:
    """The version of the format that a certificate needs: 2 where rows of multipliers carry prices."""
    return 2 if any(header.sizes[NAMES.index(name)] for name in PRICES) else 1


def encode_header(header: Header) -> bytes:
    """The header's bytes; raises ``ValueError`` where they are more than 1 MiB."""
    if isinstance(header.property, RobustnessProperty):
        asked: dict[str, object] = {
            "kind": "robustness",
            "label": header.property.label,
            "radius": header.property.radius,
        }
    elif isinstance(header.property, ClassProperty):
        asked = {"kind": "class", "label": header.property.label}
    else:
        asked = {"kind": "box", "constraints": list(header.property.constraints)}
    document = {
        "arithmetic": "integer",
        "arrays": [[name, header.sizes[NAMES.index(name)]] for name in _ARRAYS[version_of(header)]],
        "claim": header.claim,
        "name": header.name,
        "network": {
            "inputs": header.inputs,
            "outputs": header.outputs,
            "scheme": dict(header.scheme),
            "sha256": header.network_sha256,
        }
        | ({"runtime": header.runtime} if header.runtime else {}),
        "producer": header.producer,
        "property": asked,
    }
    data = _canonical(document)
    if len(data) > LONGEST:
        raise ValueError("a certificate's header is at most 1 MiB")
    return data


def _canonical(document: object) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


class _MismatchError(Exception):
    """Says which item of a header is not what it must be."""


def decode_header(data: bytes, source: str, version: int = 1) -> Header:
    """The header in ``data`` (at most 1 MiB) of a file of a version of the format; raises :class:`CertificateError`.

    Only the canonical form is taken, which leaves no room for duplicate keys, other spellings or numbers that are
    no integers.
    """
    try:
        document = json.loads(data.decode("utf-8"), parse_int=_integer, parse_float=_refuse, parse_constant=_refuse)
        header = _header(document, _ARRAYS[version])
        canonical = _canonical(document)
    except _MismatchError as error:
        raise CertificateError(source, f"has a header in which {error}", _hint(error)) from None
    except (ValueError, RecursionError, UnicodeError):
        raise CertificateError(source, "has a header that is not JSON", "make it anew") from None
    if canonical != data:
        raise CertificateError(source, "has a header that is not in canonical form", "make it anew")
    return header


def _hint(error: _MismatchError) -> str:
    real = "arithmetic" in str(error)
    return "use the version of netproof that wrote it" if real else "make it anew"


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS + 1:
        raise _MismatchError("a number is too large")
    return int(digits)


def _refuse(text: str) -> int:
    raise _MismatchError(f"'{text[:20]}' is no integer")


def _header(document: object, names: Sequence[str]) -> Header:
    fields = _object(document, "it", {"arithmetic", "arrays", "claim", "name", "network", "producer", "property"})
    if fields["arithmetic"] != "integer":
        raise _MismatchError("the arithmetic is not 'integer'")
    claim = fields["claim"]
    if claim not in ("unsat", "sat"):
        raise _MismatchError("the claim is neither 'unsat' nor 'sat'")
    named = {"inputs", "outputs", "scheme", "sha256"}
    # Only where there are several, so that files are what they were before.
    stated = isinstance(fields["network"], dict) and "runtime" in fields["network"]
    network = _object(fields["network"], "'network'", named | ({"runtime"} if stated else set()))
    runtime = _text(network["runtime"], "'runtime'") if stated else ""
    if stated and not runtime:
        raise _MismatchError("'runtime' is empty")
    scheme = network["scheme"]
    if not isinstance(scheme, dict):
        raise _MismatchError("'scheme' is no object")
    sha256 = _text(network["sha256"], "'sha256'")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise _MismatchError("'sha256' is no SHA-256")
    arrays = fields["arrays"]
    if not isinstance(arrays, list) or [item[:1] if isinstance(item, list) else item for item in arrays] != [
        [name] for name in names
    ]:
        raise _MismatchError("the arrays are not those of a certificate")
    if any(len(item) != 2 for item in arrays):
        raise _MismatchError("the arrays are not pairs of name and size")
    return Header(
        network_sha256=sha256,
        scheme={_text(key, "a bit width"): _count(value, f"'{key[:40]}'") for key, value in scheme.items()},
        inputs=_count(network["inputs"], "'inputs'", least=1),
        outputs=_count(network["outputs"], "'outputs'", least=1),
        claim="unsat" if claim == "unsat" else "sat",
        property=_property(fields["property"]),
        sizes=(*(_count(size, f"the size of '{name}'") for name, size in arrays), *[0] * (len(NAMES) - len(names))),
        name=_text(fields["name"], "'name'"),
        producer=_text(fields["producer"], "'producer'"),
        runtime=runtime,
    )


def _property(document: object) -> RobustnessProperty | ClassProperty | BoxProperty:
    if isinstance(document, dict) and document.get("kind") == "box":
        counts = _object(document, "'property'", {"kind", "constraints"})["constraints"]
        if not isinstance(counts, list):
            raise _MismatchError("'constraints' is no list")
        return BoxProperty(tuple(_count(count, "a number of constraints", least=1) for count in counts))
    if isinstance(document, dict) and document.get("kind") == "class":
        return ClassProperty(_count(_object(document, "'property'", {"kind", "label"})["label"], "'label'"))
    fields = _object(document, "'property'", {"kind", "label", "radius"})
    if fields["kind"] != "robustness":
        raise _MismatchError("the kind of property is none of 'robustness', 'class' and 'box'")
    return RobustnessProperty(_count(fields["label"], "'label'"), _count(fields["radius"], "'radius'"))


def _object(value: object, what: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        raise _MismatchError(f"{what} has not the fields {', '.join(sorted(keys))}")
    return value


def _count(value: object, what: str, *, least: int = 0) -> int:
    # bool is a kind of int in Python, and no number in JSON.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < _LARGEST:
        raise _MismatchError(f"{what} is no integer of at least {least}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _MismatchError(f"{what} is no text")
    return value
