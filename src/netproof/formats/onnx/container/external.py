"""Numbers of an ONNX network that lie in files beside it (external data), and the hash of a network that has some."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from netproof.errors import FormatError
from netproof.files.opened import read_raw
from netproof.formats.ledger import Ledger
from netproof.formats.onnx.container.inner import every_node, inner_graphs
from netproof.formats.onnx.container.text import printable

if TYPE_CHECKING:
    import onnx

#: what a tensor says whose data lie elsewhere
EXTERNAL = 1
_KEYS = ("location", "offset", "length", "checksum")
#: begins what is hashed of a network with files beside it; no ONNX file begins like this
_SEVERAL = b"netproof: an ONNX network and the files beside it\n"
_WHAT = "external data of the network"
#: protobuf has no larger messages
_LARGEST_MODEL = (1 << 31) - 1


class Surroundings:
    """The folder of a network, each file of which is read once.

    Parameters
    ----------
    path : of the network
    ledger : of the network, whose size grows by that of the files
    """

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self.ledger = ledger
        self._path = path
        self._read: dict[str, bytes] = {}

    def content(self, tensor: onnx.TensorProto, what: str) -> memoryview:
        """The bytes of a tensor that lie in another file, as they are there.

        Raises
        ------
        FormatError : entries that are not known, a file that is missing, outside the network's folder or no file,
            bytes beyond its end, another checksum than stated
        """
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            if entry.key not in _KEYS or entry.key in entries or not isinstance(entry.value, str):
                key = printable(entry.key)
                raise FormatError(
                    self._path, f"{what} has external data with the entry '{key}' twice or unknown", "save it again"
                )
            entries[entry.key] = entry.value
        location = entries.get("location", "")
        data = self._file(location, what)
        places = [entries.get("offset", "") or "0", entries.get("length", "") or str(len(data))]
        if not all(re.fullmatch(r"[0-9]{1,18}", place) for place in places):
            if all(re.fullmatch(r"-?[0-9]{1,18}", place) for place in places):
                raise self._beyond(what, location)
            raise FormatError(self._path, f"{what} has external data at no place", "save the network again")
        offset = int(places[0])
        length = int(places[1]) if entries.get("length") else max(len(data) - offset, 0)
        if offset > len(data) or length > len(data) - offset:
            raise self._beyond(what, location)
        stated = entries.get("checksum", "")
        if stated and stated.lower() != hashlib.sha1(data, usedforsecurity=False).hexdigest():
            raise FormatError(
                self._path,
                f"{what} states another SHA-1 than '{printable(location)}' has",
                "download or copy that file again",
            )
        return memoryview(data)[offset : offset + length]

    def sha256(self, data: bytes, tensors: Iterable[onnx.TensorProto]) -> str:
        """The hash by which evidence names a network of this content with these tensors.

        That of the file itself where all numbers are in it. Otherwise it is of the file and of each file beside it, in
        the order of their names, every part with its length: two networks that differ never have the same.
        """
        names = sorted(locations(tensors))
        if not names:
            return hashlib.sha256(data).hexdigest()
        digest = hashlib.sha256(_SEVERAL)
        parts = [data]
        for name in names:
            parts += [name.encode("utf-8", "surrogatepass"), self._file(name, "its external data")]
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def _beyond(self, what: str, location: str) -> FormatError:
        return FormatError(
            self._path, f"{what} lies beyond the end of '{printable(location)}'", "download or copy that file again"
        )

    def _file(self, location: str, what: str) -> bytes:
        if location not in self._read:
            data = self._open(location, what)
            self.ledger.grow(len(data))
            self._read[location] = data
        return self._read[location]

    def _open(self, location: str, what: str) -> bytes:
        place = PurePosixPath(location)
        folder = Path(os.path.realpath(self._path.parent))  # unlike resolve, of links in a circle as well
        odd = not location or place.is_absolute() or ".." in place.parts or "\\" in location or "\0" in location
        target = folder if odd else Path(os.path.realpath(folder / location))  # a link may lead anywhere
        if odd or not target.is_relative_to(folder):
            raise FormatError(
                self._path,
                f"{what} lies in '{printable(location)}', outside the network's folder",
                "keep external data beside the network",
            )
        try:
            # A pipe would be waited for, and a device never ends.
            if target.exists() and not target.is_file() and not target.is_dir():
                raise FormatError(target, "is no file", "name one")
            return read_raw(target, _WHAT)
        except FormatError as error:
            because = "is not there" if error.problem.startswith("no such") else error.problem
        except OSError as error:
            because = f"cannot be read ({error.strerror})"
        raise FormatError(
            self._path, f"{what} lies in '{printable(location)}', which {because}", "put that file beside the network"
        )


def locations(tensors: Iterable[onnx.TensorProto]) -> set[str]:
    """The names of the files beside a network that hold tensors of it."""
    return {
        str(entry.value)
        for tensor in tensors
        if tensor.data_location == EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def sha256_of(path: Path, data: bytes) -> str:
    """The hash by which records name an ONNX file of this content: :meth:`Surroundings.sha256` of all tensors that it has anywhere.

    Of what is no ONNX it is that of the content. Raises :class:`FormatError` where a file beside it cannot be read.
    """
    if b"location" not in data:  # which every tensor says whose data lie elsewhere
        return hashlib.sha256(data).hexdigest()
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError, MemoryError):
        return hashlib.sha256(data).hexdigest()
    inside = itertools.chain.from_iterable(function.node for function in model.functions)
    return Surroundings(path, Ledger(len(data))).sha256(
        data, itertools.chain(_tensors(model.graph), *map(_held, every_node(inside)))
    )


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The tensors of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in every_node(graph.node):
        yield from _held(node)


def _held(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
    for graph in inner_graphs(node):
        yield from graph.initializer


def embedded(path: Path, data: bytes, around: Surroundings) -> bytes:
    """The bytes of a model with the data beside it taken in, so that a runtime needs no folder to evaluate it.

    Raises :class:`FormatError` as reading the tensors does.
    """
    import onnx
    from google.protobuf.message import EncodeError

    model = onnx.ModelProto()
    model.ParseFromString(data)
    held = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    total = 0
    for tensor in (*model.graph.initializer, *held):
        if tensor.data_location == EXTERNAL:
            content = around.content(tensor, f"tensor '{printable(tensor.name)}'")
            total += len(content)
            if total >= _LARGEST_MODEL:
                raise FormatError(
                    path, f"has more than {_LARGEST_MODEL} bytes of external data", "use a smaller network"
                )
            around.ledger.allocate(2 * len(content))
            tensor.raw_data = bytes(content)
            tensor.data_location = 0
            del tensor.external_data[:]
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise FormatError(
            path, f"is too large for one file ({printable(str(error))})", "use a smaller network"
        ) from None
