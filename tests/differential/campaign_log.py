"""What campaigns have in common: named cases, judged once each and written to a log, which is summed up."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: what is wrong, and figures
Outcome = tuple[list[str], dict[str, float]]


@dataclass(frozen=True)
class Case:
    """A name that is always the same, and how to judge it."""

    name: str
    judge: Callable[[], Outcome]


def run(todo: Iterator[Case], log: Path, stop_after: float, say: Callable[[str], None], *, again: bool = False) -> None:
    """Judge what the log does not have yet (with ``again``: everything, and the log begins anew), and write it there."""
    if again:
        log.unlink(missing_ok=True)
    done = {line["case"] for line in read_log(log)}
    begun = last = time.monotonic()
    if log.is_file() and not log.read_text().endswith("\n"):
        log.write_text("".join(json.dumps(line) + "\n" for line in read_log(log)))
    log.parent.mkdir(parents=True, exist_ok=True)
    for case in todo:
        if case.name in done:
            continue
        if time.monotonic() - begun > stop_after:
            say("stopped by --stop-after; the same command goes on")
            return
        started, used = time.monotonic(), time.process_time()
        wrong, figures = case.judge()
        line = {
            "case": case.name,
            "wrong": wrong,
            "figures": figures,
            "seconds": round(time.monotonic() - started, 3),
            "processor": round(time.process_time() - used, 3),
        }
        with log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        for text in wrong:
            say(f"DISAGREEMENT {case.name}: {text}")
        if time.monotonic() - last > 30:
            last = time.monotonic()
            say(f"at {case.name}")


def read_log(log: Path) -> list[dict[str, Any]]:
    """The lines of a log; a torn last one is left out."""
    whole = [text for text in log.read_text().splitlines(True) if text.endswith("\n")] if log.is_file() else []
    return [json.loads(text) for text in whole]


def summary(lines: Sequence[dict[str, Any]], parts: Sequence[str]) -> list[str]:
    """Per part: cases, figures, time; then what disagrees."""
    said = []
    for part in parts:
        own = [line for line in lines if line["case"].startswith(f"{part}:")]
        if not own:
            continue
        figures: Counter[str] = Counter()
        for line in own:
            figures.update(line["figures"])
        texts = ", ".join(f"{name} {value:.0f}" for name, value in sorted(figures.items()))
        spent, used = (sum(line.get(key, 0.0) for line in own) for key in ("seconds", "processor"))
        said.append(f"{part}: {len(own)} cases; {texts}; {spent:.0f} s, {used:.0f} s of processor time")
    wrong = [f"{line['case']}: {text}" for line in lines for text in line["wrong"]]
    return [*said, f"disagreements: {len(wrong)}", *wrong]
