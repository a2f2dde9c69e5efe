"""What every worker needs, imported once: by a server of processes, of which workers are forked."""

import gc
from contextlib import suppress

from netproof.processes.inside import start_pytorch

# What cannot be imported here a worker cannot import either, and that one says so.
with suppress(Exception):
    start_pytorch(1)
    gc.disable()
    import netproof.certificate.make
    import netproof.runs.solve
    import netproof.search.integer.decide
    import netproof.search.real.decide
    import netproof.search.verify  # noqa: F401
gc.freeze()
gc.enable()
