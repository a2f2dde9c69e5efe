"""A run as JUnit XML, as continuous integration servers read it: one test case per instance.

Elements and attributes, and their order, are those that Jenkins' schema for JUnit 10 allows; what an instance is required for
stands in the output of its case and in the properties of its suite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

#: what XML 1.0 has no letter for
_FOREIGN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: verdicts that fail a case, unless it is said otherwise
FAILING = frozenset({"vulnerable", "misclassified", "sat"})
_OPEN = ("timeout", "unknown", "")
#: what a gate names that lets nothing pass without an answer
NO_ANSWER = frozenset({"timeout", "unknown", "error"})


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes
    ----------
    suite, name : where it is shown
    verdict : of the instance; empty where it was not run
    said : why it is so
    requirements : what it is there for
    contradicts : whether the verdict contradicts a published one, which fails whatever it is
    missing : whether an answer was asked for that is not there, which is an error where an open verdict would fail
    """

    suite: str
    name: str
    verdict: str
    seconds: float
    said: str
    requirements: tuple[str, ...] = ()
    contradicts: bool = False
    missing: bool = False


def junit(name: str, cases: Sequence[Case], failing: Iterable[str] = FAILING) -> bytes:
    """The document, UTF-8.

    Parameters
    ----------
    name : of all suites
    cases : in their order
    failing : verdicts that are failures; an instance that is not decided is skipped else, and one that ended in an error is
        an error in any case
    """
    fails = frozenset(failing)
    suites: dict[str, list[Case]] = {}
    for case in cases:
        suites.setdefault(case.suite or name, []).append(case)
    root = ET.Element("testsuites", _totals(name, cases, fails))
    for suite, members in suites.items():
        element = ET.SubElement(
            root, "testsuite", _totals(suite, members, fails) | {"skipped": _count(members, fails, "skipped")}
        )
        required = [(case, word) for case in members for word in case.requirements]
        if required:
            properties = ET.SubElement(element, "properties")
            for case, word in required:
                ET.SubElement(
                    properties, "property", {"name": _text(f"requirement of {case.name}"), "value": _text(word)}
                )
        for case in members:
            _case(element, suite, case, _outcome(case, fails))
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _outcome(case: Case, fails: frozenset[str]) -> str:
    if case.verdict == "error" or (case.missing and fails & NO_ANSWER):
        return "error"
    if case.verdict in fails or case.contradicts:
        return "failure"
    return "skipped" if case.verdict in _OPEN else ""


def _count(cases: Iterable[Case], fails: frozenset[str], outcome: str) -> str:
    return str(sum(_outcome(case, fails) == outcome for case in cases))


def _totals(name: str, cases: Sequence[Case], fails: frozenset[str]) -> dict[str, str]:
    return {
        "name": _text(name),
        "tests": str(len(cases)),
        "failures": _count(cases, fails, "failure"),
        "errors": _count(cases, fails, "error"),
        "time": f"{sum(case.seconds for case in cases):.6f}",
    }


def _case(suite: ET.Element, classname: str, case: Case, outcome: str) -> None:
    attributes = {"name": _text(case.name), "classname": _text(classname), "time": f"{case.seconds:.6f}"}
    element = ET.SubElement(suite, "testcase", attributes)
    message = _text(f"{case.verdict or 'not run'}: {case.said}" if case.said else case.verdict or "not run")
    if outcome == "skipped":
        ET.SubElement(element, "skipped", {"message": message})
    elif outcome:
        ET.SubElement(element, outcome, {"message": message, "type": case.verdict or "not run"}).text = message
    lines = [f"verdict: {case.verdict or 'not run'}", *(f"requirement: {word}" for word in case.requirements)]
    ET.SubElement(element, "system-out").text = _text("\n".join(lines))


def _text(text: str) -> str:
    return _FOREIGN.sub("?", text)
