"""Text from an ONNX file in messages."""

from __future__ import annotations


def printable(text: str | bytes) -> str:
    """Text from a file, fit for a message of one line; protobuf hands over as bytes what is no text."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text[:80])
