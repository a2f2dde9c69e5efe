"""The networks that a VNN-LIB 2.0 query declares."""

from __future__ import annotations

from netproof.formats.vnnlib.second.declarations import ELEMENT_TYPES, Declaration, Kind, Variable
from netproof.formats.vnnlib.second.words import NAME, Words
from netproof.formats.vnnlib.tokens import printable

_KINDS = {"declare-input": Kind.INPUT, "declare-hidden": Kind.HIDDEN, "declare-output": Kind.OUTPUT}
_ORDER = list(Kind)
_RELATIONS = ("equal-to", "isomorphic-to")
#: elements of one variable, and of all together; axes
_LARGEST_VARIABLE = 1 << 24
_MOST_ELEMENTS = 1 << 25
_MOST_AXES = 32
_MOST_NETWORKS = 256


class NetworkReader:
    """Reads declarations.

    Parameters
    ----------
    words : of the file
    variables : filled with what is declared, by name
    """

    def __init__(self, words: Words, variables: dict[str, Variable]) -> None:
        self._words, self._variables = words, variables
        self._networks: dict[str, Declaration] = {}
        self._elements = 0

    def read(self, at: int) -> tuple[tuple[Declaration, ...], int]:
        """All networks from a word on, and the number of the word behind them."""
        words = self._words.words
        while words[at : at + 2] == ["(", "declare-network"]:
            at = self._network(at)
        if not self._networks:
            self._words.fail(at, "where (declare-network ...) should begin")
        return tuple(self._networks.values()), at

    def _network(self, at: int) -> int:
        words = self._words.words
        name_at = at + 2
        name = self._name(name_at, "a network")
        if name in self._networks:
            self._words.fail(name_at, f"{name} is declared twice", "give every network a name of its own")
        if len(self._networks) == _MOST_NETWORKS:
            self._words.fail(name_at, f"there are more than {_MOST_NETWORKS} networks")
        at += 3
        relations: dict[str, str] = {}
        while words[at : at + 1] == ["("] and words[at + 1] in _RELATIONS:
            relation = words[at + 1]
            if relations:
                self._words.fail(at + 1, f"{name} has two relations to other networks", "leave one of them")
            relations[relation] = self._name(at + 2, "a network")
            self._other(name, relations[relation], at + 2)
            at = self._close(at + 3)
        variables: list[Variable] = []
        while words[at : at + 1] == ["("] and words[at + 1 : at + 2] and words[at + 1] in _KINDS:
            variable, at = self._variable(at)
            if variables and _ORDER.index(variables[-1].kind) > _ORDER.index(variable.kind):
                self._words.fail(
                    variable.at, f"{variable.kind.value} {variable.name} stands behind a {variables[-1].kind.value}",
                    "declare inputs, then hidden values, then outputs",
                )  # fmt: skip
            variables.append(variable)
        declared = Declaration(
            name, relations.get("equal-to"), relations.get("isomorphic-to"), tuple(variables), name_at
        )
        if words[at : at + 1] != [")"]:
            known = ", ".join((*_RELATIONS, *_KINDS))
            self._words.fail(at, f"in the declaration of {name}, where one of {known}, or ')', should stand")
        self._check(declared)
        self._networks[name] = declared
        return at + 1

    def _other(self, name: str, other: str, at: int) -> None:
        if other == name:
            self._words.fail(at, f"{name} refers to itself", "name another network")
        if other not in self._networks:
            self._words.fail(at, f"no network {printable(other)} is declared before {name}", "declare it first")
        known = self._networks[other]
        further = known.equal_to or known.isomorphic_to
        if further:
            self._words.fail(at, f"{other} refers to {further} itself", f"name {further}: networks refer in one step")

    def _check(self, declared: Declaration) -> None:
        """Refuse a network without inputs or outputs, or other ones than that of the network it refers to."""
        fail = self._words.fail
        for kind in (Kind.INPUT, Kind.OUTPUT):
            if not declared.of(kind):
                fail(
                    declared.at, f"{declared.name} has no {kind.value}", f"give at least one (declare-{kind.value} ...)"
                )
            named = {variable.onnx_name is not None for variable in declared.of(kind)}
            if len(named) > 1:
                fail(declared.at, f"some {kind.value}s of {declared.name} have ONNX names", "name all of them, or none")
        other = declared.equal_to or declared.isomorphic_to
        if other is None:
            return
        for kind in (Kind.INPUT, Kind.OUTPUT):
            mine, theirs = declared.of(kind), self._networks[other].of(kind)
            if len(mine) != len(theirs):
                fail(declared.at, f"{declared.name} has {len(mine)} {kind.value}s, {other} has {len(theirs)}")
            for one, two in zip(mine, theirs, strict=True):
                if one.shape != two.shape:
                    fail(one.at, f"{one.name} has shape {list(one.shape)}, {two.name} of {other} has {list(two.shape)}")
                if one.type != two.type:
                    fail(one.at, f"{one.name} is of type {one.type}, {two.name} of {other} is of type {two.type}")

    def _variable(self, at: int) -> tuple[Variable, int]:
        words = self._words.words
        kind = _KINDS[words[at + 1]]
        name_at = at + 2
        name = self._name(name_at, "a variable")
        if name in ("and", "or"):
            self._words.fail(name_at, f"'{name}' is no name of a variable")
        if name in self._variables:
            self._words.fail(name_at, f"{name} is declared twice", "give every variable a name of its own")
        type_ = words[at + 3] if at + 3 < len(words) else ""
        if type_ == "Real":
            type_ = "real"
        if type_ not in ELEMENT_TYPES:
            self._words.fail(at + 3, f"{printable(type_)} is no element type", f"known are {', '.join(ELEMENT_TYPES)}")
        shape, at = self._shape(at + 4)
        onnx_name = None
        if words[at : at + 1] and words[at][0] == '"':
            onnx_name = _unescaped(words[at])
            at += 1
        elif kind is Kind.HIDDEN:
            self._words.fail(at, f"hidden {name} has no ONNX name", 'name the value: "name" behind the shape')
        variable = Variable(name, kind, type_, shape, onnx_name, self._elements, name_at)
        self._elements += variable.size
        if self._elements > _MOST_ELEMENTS:
            self._words.fail(name_at, f"all variables have more than {_MOST_ELEMENTS} elements")
        self._variables[name] = variable
        return variable, self._close(at)

    def _shape(self, at: int) -> tuple[tuple[int, ...], int]:
        words = self._words.words
        begun = at
        if words[at : at + 1] != ["["]:
            self._words.fail(at, "where a shape such as [1,5] should stand")
        at += 1
        shape: list[int] = []
        if words[at : at + 1] == ["]"]:
            return (), at + 1
        while True:
            extent = words[at] if at < len(words) else ""
            if not extent.isascii() or not extent.isdigit() or len(extent) > 9 or int(extent) < 1:
                self._words.fail(at, f"{printable(extent)} is no extent of an axis", "give whole numbers from 1 on")
            shape.append(int(extent))
            size = 1
            for axis in shape:
                size *= axis
            if size > _LARGEST_VARIABLE or len(shape) > _MOST_AXES:
                self._words.fail(begun, "this shape is more than can be handled")
            at += 1
            if words[at : at + 1] == ["]"]:
                return tuple(shape), at + 1
            if words[at : at + 1] != [","]:
                self._words.fail(at, "where ',' or ']' of a shape should stand")
            at += 1

    def _name(self, at: int, what: str) -> str:
        word = self._words.words[at] if at < len(self._words.words) else ""
        if not NAME.fullmatch(word):
            self._words.fail(at, f"{printable(word)} where the name of {what} should stand")
        return word

    def _close(self, at: int) -> int:
        if self._words.words[at : at + 1] != [")"]:
            self._words.fail(at, "where a ')' should stand")
        return at + 1


def _unescaped(word: str) -> str:
    text, out, escaped = word[1:-1], [], False
    for character in text:
        if escaped:
            out.append({"n": "\n", "t": "\t"}.get(character, character))
        elif character != "\\":
            out.append(character)
        escaped = character == "\\" and not escaped
    return "".join(out)
