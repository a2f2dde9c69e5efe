"""The machine that a result was obtained on."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def machine() -> dict[str, object]:
    """The machine in words, for ``run.json``."""
    import platform

    return {
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
