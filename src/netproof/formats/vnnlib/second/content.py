"""A model that gives values inside it as outputs, for a runtime that is to evaluate them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netproof.formats.onnx.container.file import model_of


def with_outputs(path: Path, content: bytes, names: Sequence[str]) -> bytes:
    """The bytes of a model to whose outputs values were added, if it has them not all; nothing else in it is changed."""
    import onnx

    model = model_of(path, content)
    given = {value.name for value in model.graph.output}
    missing = [name for name in dict.fromkeys(names) if name not in given]
    if not missing:
        return content
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.input)}
    for name in missing:
        # Without a type, which runtimes infer; a wrong one would be refused.
        model.graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
    return bytes(model.SerializeToString())
