"""netproof: a verifier for neural networks as they are deployed.

    import netproof

    network = netproof.load("network.h5", bits=6)
    query = netproof.robustness(network, image, label, radius)
    result = netproof.verify(query, netproof.Settings(timeout=60))
    if result.verdict is netproof.Verdict.SAT:
        print(result.witness.input)

What is listed in ``__all__`` is the public interface; ``docs/python.md`` describes it. Importing
the package costs nothing: a name brings its module, and PyTorch with it, when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netproof.agreement.decide import Agreed, Compared, Pair
    from netproof.agreement.joined import Agreement
    from netproof.agreement.twins import AgreedTwins, ComparedTwins, Twins
    from netproof.certificate.bundle import Bundle
    from netproof.certificate.bundle import write as write_certificate
    from netproof.certificate.checker.check import Checked, check
    from netproof.certificate.checker.sets import CheckedSet, check_set
    from netproof.certificate.contents import Certificate
    from netproof.certificate.make import certificate_of
    from netproof.certificate.sets import SetCertificate, set_certificate_of
    from netproof.errors import CertificateError, NetproofError, ProofError
    from netproof.formats.fixed_point import FixedPoint
    from netproof.formats.load import load
    from netproof.formats.torch_module import from_torch
    from netproof.formats.vnnlib.read import read_vnnlib
    from netproof.formats.vnnlib.second.ask import AskedQuery, read_query
    from netproof.local_robustness import robustness
    from netproof.network import Network
    from netproof.perturbations.asked import SetQuery, robustness_to
    from netproof.perturbations.base import Perturbation
    from netproof.perturbations.blocks import Cover, Patch
    from netproof.perturbations.box import Inputs
    from netproof.perturbations.few import few_values
    from netproof.perturbations.levels import Brightness, Contrast
    from netproof.perturbations.shift import Shift
    from netproof.perturbations.single import Pixels
    from netproof.property import Property
    from netproof.query import Conjunction, Query, Question
    from netproof.result import Result, Verdict, Witness
    from netproof.search.answers import Answers
    from netproof.search.radius import RadiusResult, largest_radius
    from netproof.search.verify import verify
    from netproof.settings import Settings

    __version__: str

__all__ = [
    "Agreed",
    "AgreedTwins",
    "Agreement",
    "Answers",
    "AskedQuery",
    "Brightness",
    "Bundle",
    "Certificate",
    "CertificateError",
    "Checked",
    "CheckedSet",
    "Compared",
    "ComparedTwins",
    "Conjunction",
    "Contrast",
    "Cover",
    "FixedPoint",
    "Inputs",
    "NetproofError",
    "Network",
    "Pair",
    "Patch",
    "Perturbation",
    "Pixels",
    "ProofError",
    "Property",
    "Query",
    "Question",
    "RadiusResult",
    "Result",
    "SetCertificate",
    "SetQuery",
    "Settings",
    "Shift",
    "Twins",
    "Verdict",
    "Witness",
    "__version__",
    "certificate_of",
    "check",
    "check_set",
    "few_values",
    "from_torch",
    "largest_radius",
    "load",
    "read_query",
    "read_vnnlib",
    "robustness",
    "robustness_to",
    "set_certificate_of",
    "verify",
    "write_certificate",
]

#: where each public name is defined
_HOME = {
    "Agreed": "netproof.agreement.decide",
    "AgreedTwins": "netproof.agreement.twins",
    "Agreement": "netproof.agreement.joined",
    "Answers": "netproof.search.answers",
    "AskedQuery": "netproof.formats.vnnlib.second.ask",
    "Brightness": "netproof.perturbations.levels",
    "Bundle": "netproof.certificate.bundle",
    "Certificate": "netproof.certificate.contents",
    "CertificateError": "netproof.errors",
    "Checked": "netproof.certificate.checker.check",
    "CheckedSet": "netproof.certificate.checker.sets",
    "Compared": "netproof.agreement.decide",
    "ComparedTwins": "netproof.agreement.twins",
    "Conjunction": "netproof.query",
    "Contrast": "netproof.perturbations.levels",
    "Cover": "netproof.perturbations.blocks",
    "FixedPoint": "netproof.formats.fixed_point",
    "Inputs": "netproof.perturbations.box",
    "NetproofError": "netproof.errors",
    "Network": "netproof.network",
    "Pair": "netproof.agreement.decide",
    "Patch": "netproof.perturbations.blocks",
    "Perturbation": "netproof.perturbations.base",
    "Pixels": "netproof.perturbations.single",
    "ProofError": "netproof.errors",
    "Property": "netproof.property",
    "Query": "netproof.query",
    "Question": "netproof.query",
    "RadiusResult": "netproof.search.radius",
    "Result": "netproof.result",
    "SetCertificate": "netproof.certificate.sets",
    "SetQuery": "netproof.perturbations.asked",
    "Settings": "netproof.settings",
    "Shift": "netproof.perturbations.shift",
    "Twins": "netproof.agreement.twins",
    "Verdict": "netproof.result",
    "Witness": "netproof.result",
    "certificate_of": "netproof.certificate.make",
    "check": "netproof.certificate.checker.check",
    "check_set": "netproof.certificate.checker.sets",
    "few_values": "netproof.perturbations.few",
    "from_torch": "netproof.formats.torch_module",
    "largest_radius": "netproof.search.radius",
    "load": "netproof.formats.load",
    "read_query": "netproof.formats.vnnlib.second.ask",
    "read_vnnlib": "netproof.formats.vnnlib.read",
    "robustness": "netproof.local_robustness",
    "robustness_to": "netproof.perturbations.asked",
    "set_certificate_of": "netproof.certificate.sets",
    "verify": "netproof.search.verify",
    "write_certificate": "netproof.certificate.bundle:write",
}

#: names of earlier versions, which still work
_DEPRECATED = ("image_robustness", "verify_many", "verify_property")

if TYPE_CHECKING:
    from netproof.search.deprecated import image_robustness as image_robustness
    from netproof.search.deprecated import verify_many as verify_many
    from netproof.search.deprecated import verify_property as verify_property

if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from netproof.version import netproof_version

            value = netproof_version()
        elif name in _HOME:
            home, _, its_name = _HOME[name].partition(":")
            value = getattr(import_module(home), its_name or name)
        elif name in _DEPRECATED:
            value = getattr(import_module("netproof.search.deprecated"), name)
        else:
            # with what Python needs to say which name was probably meant
            raise AttributeError(f"module 'netproof' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
        globals()[name] = value  # found without this function from now on
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
