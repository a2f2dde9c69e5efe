"""Damaged and hostile TensorFlow Lite files: every one is read, or refused in one line, in little time and memory.

    python -m differential.tflite_damage --count 100000     (in tests/)

Each file is one of random networks with bytes changed: single ones, offsets and lengths pointed elsewhere, parts cut out,
doubled, or moved. What else than an :class:`InputError` comes up is printed, and counted.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from differential.tflite_maker import RandomNetwork
from netproof.certificate.second_reading.compare import _read
from netproof.errors import CertificateError, InputError
from netproof.formats.load import load
from netproof.formats.tflite.rules.runtime import RUNTIMES

#: seconds and bytes that one file may take
_MOST_SECONDS, _MOST_MEMORY = 20.0, 4 << 30
_SEEDS = 40
_ENDS = (0, 1, 2, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file that is wrong in one to four ways."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, way = int(rng.integers(0, len(found))), rng.random()
        if way < 0.35:
            found[at] = int(rng.integers(0, 256))
        elif way < 0.7:
            # A number of four bytes, aligned as offsets and lengths are.
            at &= ~3
            number = int(rng.choice(_ENDS)) if rng.random() < 0.5 else int(rng.integers(0, len(found) + 8))
            found[at : at + 4] = number.to_bytes(4, "little")
        elif way < 0.8:
            del found[at : at + int(rng.integers(1, 40))]
        elif way < 0.9:
            found[at:at] = found[at : at + int(rng.integers(1, 200))]
        else:
            end = int(rng.integers(0, len(found)))
            found[at : at + 16] = found[end : end + 16]
        if len(found) < 12:
            break
    return bytes(found)


def outcome(path: Path, runtime: str) -> str:
    """What becomes of a file: ``read``, ``refused``, or what is wrong."""
    try:
        network = load(path, runtime=runtime)
    except InputError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error!r}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {error}"
    try:
        _read(network)
    except CertificateError as error:
        return "read once" if "\n" not in str(error) else f"several lines: {error!r}"
    except Exception as error:  # noqa: BLE001
        return f"second reader: {type(error).__name__}: {error}"
    return "read"


def campaign(count: int, seed: int, folder: Path) -> Counter[str]:
    """Read so many damaged files, and count what became of them."""
    found: Counter[str] = Counter()
    whole = [RandomNetwork(one).bytes() for one in range(_SEEDS)]
    path, names = folder / "network.tflite", list(RUNTIMES)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path.write_bytes(damaged(whole[int(rng.integers(_SEEDS))], rng))
        begun = time.process_time()
        told = outcome(path, names[int(rng.integers(len(names)))])
        if time.process_time() - begun > _MOST_SECONDS:
            told = "takes long"
        found[told if told in ("read", "read once", "refused") else "wrong"] += 1
        if told not in ("read", "read once", "refused"):
            sys.stdout.write(f"seed {seed}, file {number}: {told[:300]}\n")
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _MOST_MEMORY:
        found["wrong"] += 1
        sys.stdout.write("the process has come to take more than 4 GiB\n")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = campaign(given.count, given.seed, Path(folder))
    sys.stdout.write(f"{dict(sorted(found.items()))}, {time.process_time():.0f} s of processor time\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
