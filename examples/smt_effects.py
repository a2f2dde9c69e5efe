"""What each improvement of the bit-vector encoding is worth, and Bitwuzla beside Boolector.

    python examples/smt_effects.py                       ten queries on the digits network, each improvement off in turn
    python examples/smt_effects.py --solvers             the same ten queries, Bitwuzla and Boolector on the same scripts
    python examples/smt_effects.py --benchmark qnn-mnist --only 'mnist-?-eps-1' --without simplify_neurons drop_cases --solvers

Every script is solved by a process of its own, which is ended at the time limit; times are processor
seconds of parsing and solving inside it, so that other work on the machine matters little. A query that ranges alone decide is left out of the comparison of solvers. Boolector is
the package ``pyboolector``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from multiprocessing.connection import Connection

import torch

import netproof
from netproof.exact.smt.encode import Formula, encode
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.smtlib import declarations
from netproof.formats.images.idx import read_images, read_labels

#: sample and radius: queries that ranges leave open and solvers decide in seconds, five robust and five vulnerable
DIGITS = ((41, 8), (213, 9), (247, 10), (237, 11), (62, 14), (257, 7), (11, 8), (222, 9), (124, 11), (38, 14))
SWITCHES = tuple(f.name for f in fields(EncodingOptions))


def digits_queries() -> list[netproof.Query]:
    folder = files("netproof.demo")
    network = netproof.load(str(folder / "digits.h5"))
    images = read_images(str(folder / "digits-images-idx3-ubyte.gz"))
    labels = read_labels(str(folder / "digits-labels-idx1-ubyte.gz"))
    return [
        netproof.robustness(network, torch.tensor(images[i]), int(labels[i]), r, name=f"digit-{i}-eps-{r}")
        for i, r in DIGITS
    ]


def benchmark_queries(name: str, only: str | None) -> list[netproof.Query]:
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmark
    from netproof.runs.plan import select

    found, data = benchmark(name), DataFolders.locate(None)
    opened = found.open(data)
    queries = [opened.query(instance) for instance in select(found.instances(data), only)]
    return [query for query in queries if not query.misclassified]


def decided_by_ranges(formula: Formula) -> bool:
    return formula.assertions in ((), (formula.terms.false,))


def bitwuzla(pipe: Connection, script: str, seed: int) -> None:
    from bitwuzla import Option, Options, Parser, Result, TermManager

    options = Options()
    options.set(Option.PRODUCE_MODELS, True)
    options.set(Option.PP_NORMALIZE, False)  # as the engine does
    options.set(Option.SEED, seed)
    begun = time.process_time()
    parser = Parser(TermManager(), options)
    parser.parse(script, False, False)
    result = parser.bitwuzla().check_sat()
    pipe.send(({Result.SAT: "sat", Result.UNSAT: "unsat"}.get(result, "unknown"), time.process_time() - begun))


def boolector(pipe: Connection, script: str, seed: int) -> None:
    import tempfile

    import pyboolector

    with tempfile.NamedTemporaryFile("w", suffix=".smt2") as file:
        file.write(f"(set-logic QF_BV)\n{script}")
        file.flush()
        solver = pyboolector.Boolector()
        solver.Set_opt(pyboolector.BtorOption.BTOR_OPT_MODEL_GEN, 1)
        solver.Set_opt(pyboolector.BtorOption.BTOR_OPT_SEED, seed)
        begun = time.process_time()
        solver.Parse(file.name)
        result = solver.Sat()
        seconds = time.process_time() - begun
    pipe.send(({solver.SAT: "sat", solver.UNSAT: "unsat"}.get(result, "unknown"), seconds))


SOLVERS = {"bitwuzla": bitwuzla, "boolector": boolector}


def timed(solver: str, script: str, limit: float, seed: int) -> tuple[str, float]:
    """Status and seconds; ``timeout`` and the limit where it was reached. A solver that fails ends the measurement."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=SOLVERS[solver], args=(theirs, script, seed))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(limit + 2) else ("timeout", limit)
    except EOFError:
        raise SystemExit(f"{solver} failed: its reason is above") from None
    finally:
        process.kill()
        process.join()


def show_effects(queries: Sequence[netproof.Query], base: EncodingOptions, limit: float, seeds: int) -> None:
    print(f"{len(queries)} queries, median of {seeds} runs, limit {limit:g} s; processor seconds, summed up")
    print("slower: geometric mean over queries of the time beside that with everything on")
    print(f"{'off':<20} {'decided':>8} {'seconds':>8} {'slower':>7} {'terms':>8} {'kB':>7}  each query")
    reference: list[float] = []
    for off in ("", *(name for name in SWITCHES if getattr(base, name))):
        options = EncodingOptions(**{n: getattr(base, n) and n != off for n in SWITCHES})
        decided = terms = size = 0
        seconds = []
        for query in queries:
            formula = encode(query, options)
            script = "".join(declarations(formula))
            terms += len(formula.terms)
            size += len(script)
            runs = [("by ranges", 0.0)]
            if not decided_by_ranges(formula):
                runs = [timed("bitwuzla", script, limit, seed) for seed in range(seeds)]
            decided += any(status != "timeout" for status, _ in runs)
            seconds.append(statistics.median(s for _, s in runs))
        reference = reference or seconds
        slower = statistics.geometric_mean(max(s, 0.01) / max(r, 0.01) for s, r in zip(seconds, reference, strict=True))
        print(
            f"{off or '(none)':<20} {decided:>8} {sum(seconds):>8.1f} {slower:>7.2f} {terms:>8} {size // 1000:>7}  "
            + " ".join(f"{s:.1f}" for s in seconds),
            flush=True,
        )


def show_solvers(queries: Sequence[netproof.Query], base: EncodingOptions, limit: float, seeds: int) -> None:
    print(f"processor seconds, median of {seeds} runs, limit {limit:g} s")
    print(f"{'query':<22} {'status':<8} {'bitwuzla':>9} {'boolector':>9} {'ratio':>6}")
    ratios = []
    for query in queries:
        formula = encode(query, base)
        if decided_by_ranges(formula):
            continue
        script = "".join(declarations(formula))
        status, median = {}, {}
        for solver in SOLVERS:
            runs = [timed(solver, script, limit, seed) for seed in range(seeds)]
            status[solver] = min(runs, key=lambda run: run[1])[0]
            median[solver] = statistics.median(s for _, s in runs)
        ratios.append(median["bitwuzla"] / median["boolector"])
        shown = " / ".join(dict.fromkeys(status.values()))
        print(
            f"{query.name:<22} {shown:<8} {median['bitwuzla']:>9.2f} {median['boolector']:>9.2f} {ratios[-1]:>6.2f}",
            flush=True,
        )
    if ratios:
        print(f"{len(ratios)} queries; ratio: median {statistics.median(ratios):.2f}, largest {max(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", help="queries of a benchmark instead of the digits'")
    parser.add_argument("--only", help="which of its instances, as for 'netproof bench run'")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=SWITCHES, help="improvements to leave off throughout"
    )
    parser.add_argument("--solvers", action="store_true", help="compare solvers instead of encodings")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per script")
    parser.add_argument("--seeds", type=int, default=1, help="runs per script")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = EncodingOptions(**dict.fromkeys(options.without, False))
    queries = benchmark_queries(options.benchmark, options.only) if options.benchmark else digits_queries()
    show = show_solvers if options.solvers else show_effects
    show(queries, base, options.limit, options.seeds)


if __name__ == "__main__":
    main()
