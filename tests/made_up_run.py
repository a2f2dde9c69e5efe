"""The folder of a run that never was, to see what reports make of many instances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def make_up(folder: Path, count: int) -> None:
    """Write a run of so many instances into a new folder: 5 of 14 have a witness of 28x28 pixels, one was not decided."""
    (folder / "witnesses").mkdir(parents=True)
    random = np.random.default_rng(1)
    lines = ["instance,verdict,seconds,method,evidence"]
    for n in range(count):
        verdict = "vulnerable" if n % 14 < 5 else "timeout" if n % 14 == 13 else "robust"
        evidence = (
            f"witnesses/i-{n}-eps-{n % 4 + 1}.json"
            if verdict == "vulnerable"
            else "limit=2; bound=3.5; reason=time"
            if verdict == "timeout"
            else ""
        )
        lines.append(f"i-{n}-eps-{n % 4 + 1},{verdict},{random.exponential():.6f},search,{evidence}")
        if verdict == "vulnerable":
            image = (random.integers(0, 256, 784) * (random.random(784) < 0.3)).tolist()
            moved = np.clip(np.array(image) + random.integers(-4, 5, 784), 0, 255).tolist()
            document = {"arithmetic": "integer", "shape": [784], "label": 1, "class": 2, "image": image, "input": moved}
            (folder / evidence).write_text(json.dumps(document))
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    invocation = {"netproof": "0.1.0", "settings": {"timeout": 2.0}, "machine": {"cores": 2}, "wall_seconds": 9.0}
    (folder / "run.json").write_text(json.dumps({"benchmark": "large", "files": {}, "invocations": [invocation]}))
