"""``netproof train``: networks that can be verified."""

from __future__ import annotations

from netproof.cli.groups import command_group
from netproof.cli.train_certified import certified
from netproof.cli.train_quantized import quantized

app = command_group("Train networks that can be verified.")
app.command()(certified)
app.command()(quantized)
