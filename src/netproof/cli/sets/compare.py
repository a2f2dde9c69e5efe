"""``netproof compare``: do two networks of integers agree, or one as two runtimes compute it, or one and its float twin?"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netproof.cli.arguments import options as o
from netproof.cli.sets import options as sets
from netproof.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netproof.agreement.decide import Agreed, Pair
    from netproof.agreement.twins import AgreedTwins, Twins
    from netproof.network import Network

Other = Annotated[
    Path | None, typer.Argument(metavar="[OTHER]", help="Another network of the same task, or the float twin.")
]
Inputs = Annotated[
    Path | None,
    typer.Option("--images", metavar="FILE", help="Inputs [batch, ...]: .npy, .npz, .csv, an image or IDX images."),
]
Against = Annotated[
    str | None, typer.Option("--against", metavar="RULE", help="The runtime of OTHER, or the second one of NETWORK.")
]
Within = Annotated[
    int | None, typer.Option("--within", metavar="N", help="All outputs within N, instead of the same class.")
]
Index = Annotated[
    int | None, typer.Option("--index", metavar="I", help="Around which input, from 0 (default: all of them).")
]
Eps = Annotated[int | None, typer.Option("--eps", metavar="E", help="All values move by at most E levels: a box.")]
Save = Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the witness as .npy.")]
#: inputs that the text names one by one
_SHOWN = 20


def compare(
    network: o.NetworkPath,
    other: Other = None,
    *,
    images: Inputs = None,
    runtime: o.Runtime = None,
    against: Against = None,
    within: Within = None,
    index: Index = None,
    eps: Eps = None,
    brightness: sets.Brightness = None,
    contrast: sets.Contrast = None,
    shift: sets.Shift = None,
    pixels: sets.Pixels = None,
    stuck: sets.Stuck = False,
    patch: sets.Patch = None,
    cover: sets.Cover = None,
    at: sets.At = None,
    inputs: sets.Inputs = None,
    box: sets.Box = None,
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    memory: o.Memory = None,
    threads: o.Threads = None,
    save: Save = None,
    as_json: o.Json = False,
) -> None:
    """Do two networks of integers agree, or one as two runtimes compute it, or one and its float twin?

    Over a list of inputs, differences are counted. Around one of them, in a box or a set, they are proved to be none, or an
    input is found at which there is one. A float twin is given what the codes stand for, and computes over the real numbers.
    """
    from netproof.agreement.joined import Agreement
    from netproof.cli.arguments.networks import read_network
    from netproof.cli.terminal.output import check_writable, print_json

    settings = o.settings_of(timeout, seed, memory=memory)
    o.check_threads(threads)
    named = sets.SetOptions(brightness, contrast, shift, pixels, stuck, patch, cover, at, inputs)
    named.check_place()
    around = bool(named.given) or eps is not None
    if other is None and against is None:
        raise InputError("compare", "names one network and one runtime", "give OTHER, or --against")
    if box is not None and (around or index is not None):
        raise InputError("--box", "is all that may happen", "leave the other options out")
    if (images is None) == (box is None):
        raise InputError("--images, --box", "one of them is needed", "say which inputs")
    if around != (index is not None):
        raise InputError("--index", "goes with a set or a radius", "give both, or neither")
    if eps is not None and eps < 0:
        raise InputError("--eps", f"the radius is {eps}", "give a whole number, 0 or more")
    if save is not None:
        check_writable(save, "--save")
    o.use_threads(threads)
    first = read_network(network, None, runtime)
    second = _second(other or network, runtime, against)
    pair = _pair(first, second, Agreement(within))
    first = pair.first
    if box is not None:
        ends = _ends(box, first)
        document = _decided(pair, pair.on_box(ends, (ends[0] + ends[1]) // 2, settings))
    else:
        assert images is not None
        given = _inputs(images, first)
        if index is None:
            document = _counted(pair, given)
        else:
            if not 0 <= index < len(given):
                raise InputError("--index", f"there is no input {index}: {images} holds {len(given)}", "give another")
            document = _decided(pair, _around(pair, given[index], named, eps, settings))
    if save is not None and document.get("witness"):
        _write(save, document["witness"], first)
    if as_json:
        print_json(document)
    else:
        typer.echo(_text(document))


def _second(path: Path, runtime: str | None, against: str | None) -> Network:
    """The second network: as the first one's runtime computes it, where it is one of integers and no other is named."""
    from netproof.cli.arguments.networks import read_network
    from netproof.graph.graph import Arithmetic

    if against is not None or runtime is None:
        return read_network(path, None, against)
    try:
        return read_network(path, None, runtime)
    except InputError as refusal:
        # A file of floats is no runtime's.
        with contextlib.suppress(InputError):
            if (plain := read_network(path, None)).graph.arithmetic is Arithmetic.REAL:
                return plain
        raise refusal from None


def _pair(first: Network, second: Network, agreement: Any) -> Pair | Twins:
    from netproof.agreement.decide import Pair
    from netproof.agreement.twins import Twins
    from netproof.graph.graph import Arithmetic

    kinds = [network.graph.arithmetic for network in (first, second)]
    if len(set(kinds)) == 1:
        return Pair(first, second, agreement)
    return Twins(*((first, second) if kinds[0] is Arithmetic.INTEGER else (second, first)), agreement)


def _around(
    pair: Pair | Twins, image: NDArray[np.int64], named: sets.SetOptions, eps: int | None, settings: Any
) -> Agreed | AgreedTwins:
    import numpy as np

    from netproof.perturbations.asked import MOST_POINTS, POINTS, image_of

    around = image_of(pair.first, image)
    if not named.given:
        assert eps is not None
        reach = min(eps, int((around.high - around.low).max()))
        ends = np.maximum(around.low, image - reach), np.minimum(around.high, image + reach)
        return pair.on_box(ends, image, settings)
    perturbation = named.perturbation(eps)
    perturbation.check(around)
    count, boxes = perturbation.count(around), perturbation.boxes(around)
    if boxes is not None and count > POINTS and len(boxes) == 1:
        return pair.on_box(boxes[0], image, settings)
    if count > (POINTS if boxes is not None else MOST_POINTS):
        raise InputError("the set", f"has {count} inputs", "let fewer values move, or by less")
    return pair.on_set(image, perturbation, settings)


def _inputs(path: Path, network: Network) -> NDArray[np.int64]:
    import numpy as np

    from netproof.cli.arguments.evaluations import codes_of

    codes = codes_of(path, network.input_shape, network)
    return codes.reshape(len(codes), -1).astype(np.int64)


def _ends(box: tuple[Path, Path], network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = [_inputs(path, network) for path in box]
    for path, end in zip(box, found, strict=True):
        if len(end) != 1:
            raise InputError(path, f"holds {len(end)} inputs", "give one end of the box")
    return found[0][0], found[1][0]


def _write(path: Path, witness: list[int], network: Network) -> None:
    import numpy as np

    from netproof.files.opened import whole_file

    shape = network.input_shape if network.input_shape[:1] == (1,) else (1, *network.input_shape)
    values = np.array(witness).reshape(shape)
    with whole_file(path) as stream:
        np.save(stream, values.astype(np.int8) if values.min() >= -128 and values.max() <= 127 else values)


def _about(pair: Pair | Twins) -> dict[str, Any]:
    from netproof.cli.arguments.networks import network_document

    twins = _is_twins(pair) and pair.agreement.within is not None
    return {
        "networks": [network_document(one) for one in (pair.first, pair.second)],
        "agreement": pair.agreement.words + (" codes" if twins else ""),
        "within": pair.agreement.within,
    }


def _is_twins(pair: Pair | Twins) -> bool:
    from netproof.agreement.twins import Twins

    return isinstance(pair, Twins)


def _counted(pair: Pair | Twins, inputs: NDArray[np.int64]) -> dict[str, Any]:
    import numpy as np

    found = pair.compared(inputs)
    doubtful = getattr(found, "doubtful", None)
    other = np.flatnonzero(found.classes[:, 0] != found.classes[:, 1])
    return (
        _about(pair)
        | {
            "inputs": len(inputs),
            "outputs_differ": int((found.largest > 0).sum()),
            "largest_difference": found.largest.max().item() if len(inputs) else 0,
            "disagree": np.flatnonzero(found.broken).tolist(),
            "other_class": other.tolist(),
            "classes": found.classes[other].tolist(),
        }
        | ({"doubtful": np.flatnonzero(doubtful).tolist()} if doubtful is not None else {})
    )


def _decided(pair: Pair | Twins, found: Agreed | AgreedTwins) -> dict[str, Any]:
    words = {"unsat": "agree", "sat": "differ"}
    return _about(pair) | {
        "verdict": words.get(found.verdict.value, found.verdict.value),
        "method": found.method,
        "evaluated": found.evaluated,
        "seconds": round(found.seconds, 6),
        "reason": found.reason,
        "witness": None if found.witness is None else found.witness.tolist(),
        "outputs": None if found.outputs is None else [part.tolist() for part in found.outputs],
        "classes": None if found.outputs is None else [int(part.argmax()) for part in found.outputs],
    }


def _named(document: dict[str, Any]) -> list[str]:
    first, second = document["networks"]
    if "real" in (first["arithmetic"], second["arithmetic"]):
        return [f"{first['file']} by '{first['runtime']}'", f"its float twin {second['file']} over the real numbers"]
    if first["file"] == second["file"]:
        return [f"'{one['runtime'] or one['file']}'" for one in (first, second)]
    return [one["file"] + (f" by '{one['runtime']}'" if one["runtime"] else "") for one in (first, second)]


def _text(document: dict[str, Any]) -> str:
    from netproof.report.text import seconds_text

    one, other = _named(document)
    if "verdict" not in document:
        lines = [
            f"{document['inputs']} inputs, {one} against {other}: outputs of {document['outputs_differ']} differ, by at most "
            f"{document['largest_difference']:.6g}{' codes' if 'doubtful' in document else ''}; "
            f"{len(document['other_class'])} have another class"
        ]
        if document.get("doubtful"):
            lines.append(
                f"  of {len(document['doubtful'])} rounding does not say whether they agree: {document['doubtful'][:_SHOWN]}"
            )
        if document["within"] is not None:
            lines.append(f"  {len(document['disagree'])} have outputs further apart than {document['within']}")
        pairs = list(zip(document["other_class"], document["classes"], strict=True))
        lines += [f"  input {i}: class {a} and {b}" for i, (a, b) in pairs[:_SHOWN]]
        if len(pairs) > _SHOWN:
            lines.append(f"  and {len(pairs) - _SHOWN} more (--json has all)")
        return "\n".join(lines)
    verdict = document["verdict"]
    told = {
        "agree": f"agree: {one} and {other} have {document['agreement']} everywhere, proved",
        "differ": f"differ: {one} and {other} do not have {document['agreement']} at an input that was found",
    }.get(verdict, f"{verdict}: {document['reason']}")
    lines = [told]
    if document["outputs"] is not None:
        lines.append(f"  classes {document['classes'][0]} and {document['classes'][1]}")
        lines += [f"  outputs {outputs}" for outputs in document["outputs"]]
    lines.append(
        f"  method {document['method'] or 'none'}, {document['evaluated']} inputs evaluated, {seconds_text(document['seconds'])}"
    )
    return "\n".join(lines)
