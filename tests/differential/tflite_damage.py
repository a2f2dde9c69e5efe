"""Damaged and hostile TensorFlow Lite files: every one is read, or refused in one line, in little time and memory.

    python -m differential.tflite_damage --count 100000     (in tests/)

Each file is one of random networks with bytes changed: single ones, offsets and lengths pointed elsewhere, parts cut out,
doubled, or moved. Every fourth is hostile: what is an offset in the file leads to what another one leads to, tables have tables above
them for their own, lists are as long as the file allows or longer, and thousands of entries are one and the same. What else than an
:class:`InputError` comes up is printed, and counted.
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


def offsets_of(data: bytes) -> tuple[list[int], list[int]]:
    """Where numbers stand that lead to a place in the file, and which of them lead back from a table to its list of fields."""
    words = np.frombuffer(data[: len(data) & ~3], "<i4").astype(np.int64)
    at = np.arange(len(words)) * 4
    forwards = (words > 3) & (at + words < len(data) - 3) & (words % 4 == 0)
    back = at - words
    # A list of fields begins with its own size, which is even, and that of the table.
    size = np.frombuffer(data + b"\0" * 4, np.uint8).astype(np.int64)
    inside = (back >= 0) & (back < len(data) - 4) & (back % 2 == 0)
    first = np.where(inside, size[np.clip(back, 0, len(data))] + 256 * size[np.clip(back + 1, 0, len(data))], 1)
    tables = inside & (first >= 4) & (first % 2 == 0) & (first < 64)
    return at[forwards].tolist(), at[tables].tolist()


def hostile(data: bytes, rng: np.random.Generator) -> bytes:
    """A file whose parts are where they should not be, or whose lists have no end."""
    found = bytearray(data)
    forwards, tables = offsets_of(data)

    def put(at: int, number: int) -> None:
        found[at : at + 4] = (number % (1 << 32)).to_bytes(4, "little")

    for _ in range(int(rng.integers(1, 4))):
        at, other = (int(rng.choice(forwards)) for _ in range(2))
        target = other + int.from_bytes(found[other : other + 4], "little")
        way = int(rng.integers(0, 6))
        if way == 0 and target > at:
            put(at, target - at)  # a part in the place of another
        elif way == 1:
            # A list ends where the file does, or far behind it.
            length = at + int.from_bytes(found[at : at + 4], "little")
            if length + 4 <= len(found):
                most = (len(found) - length - 4) // int(rng.choice([1, 4, 8]))
                put(length, int(rng.choice([most, most + 1, 1 << 20, (1 << 32) - 1])))
        elif way == 2 and tables:
            # A table has the fields of another, or itself for the list of them.
            table, list_ = int(rng.choice(tables)), int(rng.choice(tables))
            put(table, int(rng.choice([0, table - list_ + int.from_bytes(found[list_ : list_ + 4], "little"), table])))
        elif way == 3:
            put(at, 0)  # what an offset leads to is the offset
        elif way == 4:
            put(at, (1 << 32) - int(rng.choice([1, 4, at, max(1, at - other)])))  # backwards, were it signed
        else:
            # A list of thousands, all of them what the offset led to, at the end of the file.
            count, end = int(rng.choice([100, 5000, 70000])), len(found) + (-len(found) % 4)
            found.extend(bytes(end - len(found)))
            target = at + int.from_bytes(found[at : at + 4], "little")
            behind = end + 4 + 4 * count
            # Offsets lead forwards only: a copy of the target's first bytes stands behind the list.
            entry = behind - (end + 4 + 4 * np.arange(count, dtype=np.int64))
            found += count.to_bytes(4, "little") + entry.astype("<u4").tobytes() + bytes(found[target : target + 64])
            put(at, end - at)
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
        harm = hostile if number % 4 == 3 else damaged
        path.write_bytes(harm(whole[int(rng.integers(_SEEDS))], rng))
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
