"""What a search says while it goes on, to whoever listens: records of the logger ``netproof.trace``.

A record's message is the event, and its attribute ``values`` a dictionary of plain values. Nobody listens unless a handler is
attached and the level is ``DEBUG``, and then nothing is computed. Events are

* ``query``: a query begins; its ``name``, its ``network``, how many ``inputs`` can change and how many ``cases`` there are;
* ``search``: bounds and attacks at the root did not settle it, and subproblems are searched;
* ``step``: subproblems were bounded; ``subproblems`` so far, ``open``, ``cases`` open in any of them, ``bound``, the largest of
  any open one (below 0 all would be refuted);
* ``result``: ``name``, ``verdict``, ``seconds``, ``method``, ``subproblems``, ``bound``, ``reason``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

#: whose records these are
LOG = logging.getLogger("netproof.trace")


def tell(event: str, values: Callable[[], dict[str, object]]) -> None:
    """Tell an event; its values are made only where somebody listens."""
    if LOG.isEnabledFor(logging.DEBUG):
        LOG.debug(event, extra={"values": values()})
