"""``netproof train``: networks that can be verified."""

from __future__ import annotations

from netproof.cli.arguments.groups import command_group
from netproof.cli.train.certified import certified
from netproof.cli.train.quantized import quantized

app = command_group("Train networks that can be verified.")
app.command()(certified)
app.command()(quantized)
