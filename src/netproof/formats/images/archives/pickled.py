"""Reader for the pickles inside the CIFAR archives, which runs nothing.

A pickle is a program; ``pickle.load`` of a hostile one calls any function. Here :mod:`pickletools` splits the file
into opcodes (it only decodes), and a handful of them are carried out on plain values. The names a pickle may ask for
are those of NumPy's arrays, and they become records of this module, never NumPy's own functions. Everything else is
refused by name.

A ``pickle.Unpickler`` whose ``find_class`` refuses all other names would not do: what it builds before it asks for any
name is out of reach. On Python 3.11, seven bytes (a memo index of 2^28) take 4 GiB of it, and a megabyte (a dictionary's
key of a million nested tuples) is the end of the interpreter by SIGSEGV, in C and in Python's own version alike.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError

#: what a pickle may name
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_NDARRAY, _DTYPE, _ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
_NAMES = (*_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE)
#: those of CIFAR have a fifth of a million; a value is made by one, so this bounds memory too
_MOST_OPCODES = 1 << 21
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
)


@dataclass
class _Array:
    """What NumPy's arrays are pickled as."""

    shape: object = None
    kind: object = None
    data: object = None

    def array(self) -> NDArray[np.uint8] | None:
        """The array, or None where it is none of bytes or its size is another."""
        if not (isinstance(self.kind, _Kind) and self.kind.name in ("u1", "|u1") and isinstance(self.shape, tuple)):
            return None
        data = self.data.encode("latin-1", "replace") if isinstance(self.data, str) else self.data
        if not isinstance(data, bytes) or not all(type(n) is int and n >= 0 for n in self.shape):
            return None
        if len(self.shape) > 4 or math.prod(self.shape) != len(data):
            return None
        return np.frombuffer(data, np.uint8).reshape(self.shape)


@dataclass
class _Kind:
    """What NumPy's dtypes are pickled as."""

    name: str


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names."""

    name: str


class _PickleError(Exception):
    """What is wrong with a pickle, in words."""


def read_cifar_pickle(source: str | Path, data: bytes) -> dict[str, object]:
    """The dictionary in a pickle: text keys; values are integers, text, bytes, lists, or ``[...]`` uint8 arrays.

    Raises
    ------
    FormatError : truncated or damaged pickles; opcodes or names other than those of the CIFAR archives
    """
    try:
        with warnings.catch_warnings():
            # Escapes in the text of damaged pickles are no concern of the user's.
            warnings.simplefilter("ignore")
            found = _Machine().run(data)
        if not isinstance(found, dict):
            raise _PickleError("holds no dictionary")
        return {_text(key): _plain(value) for key, value in found.items()}
    except _PickleError as refusal:
        problem = str(refusal)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError):
        # What pickletools and an empty stack make of bytes that are no pickle.
        problem = "is no pickle, or a truncated or damaged one"
    raise FormatError(source, problem, "give the archive as published")


class _Machine:
    """The stack, the marks and the memo of a pickle being read."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, data: bytes) -> object:
        stack = self._stack
        for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            name = opcode.name
            if number == _MOST_OPCODES:
                raise _PickleError("holds a pickle of too many values")
            if name in _LITERALS:
                stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self._memo[len(self._memo) if argument is None else int(argument)] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                assert argument is not None
                stack.append(self._memo[int(argument)])
            elif name == "STOP":
                return stack.pop()
            elif name not in ("PROTO", "FRAME"):
                self._step(name, argument)
        raise ValueError

    def _step(self, name: str, argument: object) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._pop(int(name[-1]))))
        elif name == "TUPLE":
            stack.append(tuple(self._pop_mark()))
        elif name in ("APPEND", "APPENDS"):
            values = self._pop(1) if name == "APPEND" else self._pop_mark()
            target = stack[-1]
            if not isinstance(target, list):
                raise ValueError
            target.extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._pop(2) if name == "SETITEM" else self._pop_mark()
            target = stack[-1]
            if not isinstance(target, dict) or len(values) % 2:
                raise ValueError
            for key, value in zip(values[::2], values[1::2], strict=True):
                target[_text(key)] = value
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            wanted = str(argument) if name == "GLOBAL" else " ".join(_text(part) for part in self._pop(2))
            if wanted not in _NAMES:
                raise _PickleError(f"holds a pickle that asks for '{wanted[:60]}', which no CIFAR file does")
            stack.append(_Name(wanted))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            (state,) = self._pop(1)
            _build(stack[-1], state)
        else:
            raise _PickleError(f"holds a pickle with the opcode {name}, which no CIFAR file has")

    def _pop(self, count: int) -> list[object]:
        if len(self._stack) < count:
            raise ValueError
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _pop_mark(self) -> list[object]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values


def _call(function: object, arguments: object) -> object:
    """The value that a call in a pickle stands for."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise ValueError
    if function.name in _RECONSTRUCT:
        return _Array()
    if function.name == _DTYPE and arguments:
        return _Kind(_text(arguments[0]))
    if function.name == _ENCODE and len(arguments) == 2 and arguments[1] == "latin1" and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    raise ValueError


def _build(target: object, state: object) -> None:
    """Give an array its state; that of a dtype says nothing about bytes."""
    if isinstance(target, _Kind):
        return
    # (version, shape, dtype, whether in Fortran order, data)
    if not isinstance(target, _Array) or not isinstance(state, tuple) or len(state) != 5:
        raise ValueError
    _, target.shape, target.kind, fortran, target.data = state
    if fortran:
        raise _PickleError("holds an array in Fortran order, which no CIFAR file does")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise ValueError
    return value


def _plain(value: object) -> object:
    if isinstance(value, _Array):
        array = value.array()
        if array is None:
            raise _PickleError("holds an array that is not one of bytes, or whose size is another than it says")
        return array
    return value
