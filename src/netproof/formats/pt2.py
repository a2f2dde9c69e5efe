"""Reader for programs that ``torch.export.save`` wrote (``.pt2``).

Such an archive can hold pickles, shared libraries, expressions that are evaluated as Python, and names of any function in PyTorch
to be called: loading one that somebody else wrote is running what they wrote. So PyTorch is not given the file, but an archive
made anew of those parts that are nothing but numbers and calls of ``aten`` operators. What else there is, is refused where
it would change the program, and left out where it would not (example inputs, stack traces).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netproof.errors import FormatError
from netproof.files.opened import read_bytes
from netproof.formats.clock import Clock

if TYPE_CHECKING:
    from netproof.network import Network

#: calls that a program may make: operators of PyTorch's core, and taking a result out of several
_TARGET = re.compile(r"torch\.ops\.aten\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+|_operator\.getitem")
#: operators of the core that read files or talk to the world
_NEVER = ("from_file", "_print", "warn")
#: keys of a program's JSON that stand for objects, other graphs, functions, or expressions that are evaluated
_REFUSED = {
    "as_custom_obj": "objects of its own",
    "as_graph": "graphs inside of it",
    "as_operator": "functions as values",
    "expr_str": "dynamic shapes",
    "as_expr": "dynamic shapes",
}
_MODEL = re.compile(r"models/([^/]+)\.json")
_DATA = re.compile(r"data/(weights/weight|constants/tensor)_[0-9]+")
_MOST_MEMBERS, _LARGEST_JSON, _DEEPEST = 1 << 15, 1 << 27, 64
_TIME = (1980, 1, 1, 0, 0, 0)


def read_pt2(path: Path, clock: Clock | None = None) -> Network:
    """The network that an exported program computes.

    Raises
    ------
    FormatError : no such archive, or one with more in it than numbers and calls of ``aten`` operators; dynamic shapes; what
        PyTorch does not load or export; an operator that netproof does not know
    InputError : the package ``onnxscript``, which exports programs to ONNX, is not installed
    """
    import torch

    from netproof.formats.onnx.read import network_of
    from netproof.formats.torch_module import onnx_of_program

    archive = _anew(path, read_bytes(path, "network file"))
    try:
        program = torch.export.load(io.BytesIO(archive))
    except Exception as error:  # noqa: BLE001 - whatever PyTorch runs into
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FormatError(
            path, f"PyTorch does not load it ({lines[0][:200]})", "save it again, with this version"
        ) from None
    return network_of(path, onnx_of_program(program, str(path)), clock=clock)


def _anew(path: Path, data: bytes) -> bytes:
    """An archive of what is harmless in another one."""
    members = _members(path, data)
    models = [match.group(1) for name in members if (match := _MODEL.fullmatch(name))]
    if members.get("archive_format") != b"pt2" or len(models) != 1:
        raise FormatError(
            path, f"is no archive of one exported program: it has {len(models)}", "write it with torch.export.save"
        )
    (model,) = models
    program = _json(path, f"models/{model}.json", members)
    _check_program(path, program)
    kept: dict[str, bytes] = {
        "archive_format": b"pt2",
        "archive_version": members.get("archive_version", b""),
        "byteorder": b"little",
        ".data/version": members.get(".data/version", b""),
        f"models/{model}.json": json.dumps(program).encode(),
        f"data/sample_inputs/{model}.pt": b"",
    }
    if members.get("byteorder", b"little") != b"little":
        raise FormatError(path, "holds numbers in another byte order", "save it on a machine like this one")
    for folder, kind in (("weights", "weight"), ("constants", "tensor")):
        name = f"data/{folder}/{model}_{folder}_config.json"
        config = _json(path, name, members)
        for one in _entries(path, name, config):
            place = one.get("path_name")
            if one.get("use_pickle") is not False or not isinstance(place, str):
                raise FormatError(path, f"{folder} in it are pickled, which can run any code", "save it without")
            full = f"data/{folder}/{place}"
            if not _DATA.fullmatch(full) or not place.startswith(kind) or full not in members:
                raise FormatError(path, f"{folder} in it are no numbers ('{place[:80]}')", "save it again")
            kept[full] = members[full]
        kept[name] = json.dumps(config).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept.items():
            archive.writestr(zipfile.ZipInfo(f"program/{name}", _TIME), content)
    return stream.getvalue()


def _members(path: Path, data: bytes) -> dict[str, bytes]:
    """The files of an archive by their names in its one folder."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_MEMBERS or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise FormatError(path, "is no archive as PyTorch writes them", "write it with torch.export.save")
            for entry in entries:
                _, _, name = entry.filename.partition("/")
                if name in found:
                    raise FormatError(path, f"holds '{name[:80]}' twice", "write it with torch.export.save")
                found[name] = archive.read(entry)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        raise FormatError(path, "is a damaged archive", "download, copy or save it again") from None
    return found


def _json(path: Path, name: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    content = members.get(name)
    if content is None or len(content) > _LARGEST_JSON:
        raise FormatError(path, f"has no '{name[:80]}', or too large a one", "write it with torch.export.save")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise FormatError(path, f"'{name[:80]}' in it is no JSON", "write it with torch.export.save") from None
    if not isinstance(document, dict):
        raise FormatError(path, f"'{name[:80]}' in it is no JSON object", "write it with torch.export.save")
    return document


def _entries(path: Path, name: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = config.get("config")
    if (
        set(config) != {"config"}
        or not isinstance(listed, dict)
        or not all(isinstance(e, dict) for e in listed.values())
    ):
        raise FormatError(path, f"'{name[:80]}' in it lists no tensors", "write it with torch.export.save")
    return list(listed.values())


def _check_program(path: Path, program: dict[str, Any]) -> None:
    """Refuse a program that does anything but call operators on tensors; what is said about its nodes is taken out."""
    waiting: list[tuple[Any, int]] = [(program, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _DEEPEST:
            raise FormatError(path, "its program is nested too deeply", "write it with torch.export.save")
        if isinstance(part, list):
            waiting += [(one, depth + 1) for one in part]
        if not isinstance(part, dict):
            continue
        for key, value in part.items():
            if key in _REFUSED and value is not None:
                raise FormatError(path, f"its program has {_REFUSED[key]}", "export it for fixed shapes, without them")
            if key == "target" and isinstance(value, str) and "inputs" in part:
                _check_target(path, value)
        if isinstance(part.get("metadata"), dict):
            part["metadata"] = {}
        waiting += [(one, depth + 1) for one in part.values()]


def _check_target(path: Path, target: str) -> None:
    operator = target.split(".")[3] if target.count(".") >= 4 else ""
    if not _TARGET.fullmatch(target) or operator in _NEVER:
        raise FormatError(
            path, f"its program calls '{target[:80]}'", "export it with operators of PyTorch's core alone"
        )
