"""What ``netproof robust`` does where a set is named: decide it for one sample or for all, print, write evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.cli.sets.options import SetOptions
from netproof.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from netproof.asking.images import Images
    from netproof.cli.arguments.asked import Asked
    from netproof.network import Network
    from netproof.perturbations.asked import SetQuery
    from netproof.query import Query, Question
    from netproof.result import Result
    from netproof.settings import Settings


@dataclass(frozen=True)
class AskedSets:
    """What the command was given besides network and images, and the seconds that reading these took."""

    sets: SetOptions
    eps: str | None
    box: tuple[Path, Path] | None
    certificate: Path | None
    settings: Settings
    as_json: bool
    spent: float = 0.0


def answer_sets(about: Asked, asked: AskedSets) -> list[str]:
    """Decide what may happen to each of the images, and print it; the verdicts. Raises :class:`InputError`."""
    from netproof.certificate.certifiable import check_stated
    from netproof.cli.terminal.output import check_folder, check_writable, print_json
    from netproof.device import check_device
    from netproof.graph.graph import Arithmetic
    from netproof.perturbations.asked import SetQuery

    model, indices = about.network, about.indices
    check_device(asked.settings.device, model)
    if model.graph.arithmetic is not Arithmetic.INTEGER:
        problem = f"{about.path} is a float network, and sets are of what integer networks take"
        raise InputError(", ".join(asked.sets.given) or "--box", problem, "give --eps, with --norm l0 for few values")
    several = len(indices) > 1
    if asked.certificate is not None:
        about.check_certifiable("--certificate")
        (check_folder if several else check_writable)(asked.certificate, "--certificate")
    documents: list[dict[str, object]] = []
    counts: dict[str, int] = {}
    for index in indices:
        question = _question(about.images, index, asked)
        if asked.certificate is not None and not isinstance(question, SetQuery):
            check_stated(question, "--certificate")
        if not asked.as_json and not documents:
            typer.echo(_announced(question, len(indices)) + _one_row(asked.sets, model))
        result = _verified(question, about.left(asked.settings, asked.spent))
        document = _document(question, index, about.images.label(index), result)
        if asked.certificate is not None:
            path = asked.certificate / f"{index:06d}.certificate" if several else asked.certificate
            document["certificate"] = str(path) if _certified(question, result, path) else None
        counts[str(document["verdict"])] = counts.get(str(document["verdict"]), 0) + 1
        documents.append(document)
        if not asked.as_json:
            typer.echo(_line(document, asked.settings.timeout))
    if asked.as_json:
        print_json(_whole(model, documents, counts) if several else _whole(model, documents, counts) | documents[0])
    elif several:
        evaluated = sum(int(str(document["evaluated"])) for document in documents)
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        typer.echo(f"{len(documents)} samples: {told}; {evaluated} inputs evaluated")
    if not asked.as_json and model.computed_by:
        typer.echo(model.computed_by)
    return [str(document["verdict"]) for document in documents]


def _whole(model: Network, documents: list[dict[str, object]], counts: dict[str, int]) -> dict[str, object]:
    from netproof.cli.arguments.networks import network_document

    return {"network": network_document(model), "verdicts": counts} | (
        {"samples": documents} if len(documents) > 1 else {}
    )


def _question(images: Images, index: int, asked: AskedSets) -> SetQuery | Question | Query:
    from netproof.asking.reach import reach_of
    from netproof.local_robustness import robustness
    from netproof.perturbations.asked import robustness_to

    model, image, label = images.network, images.input(index), images.label(index)
    if asked.box is not None:
        if asked.sets.given or asked.eps is not None:
            raise InputError("--box", "is all that may happen", "leave the other options out")
        ends = tuple(_end(path, model) for path in asked.box)
        return robustness(model, image, label, box=(ends[0], ends[1]), name=f"sample {index}, box")
    eps = None if asked.eps is None else int(reach_of(asked.eps, images.unit).number)
    perturbation = asked.sets.perturbation(eps)
    return robustness_to(model, image, label, perturbation, name=f"sample {index}, {perturbation.words()}")


def _end(path: Path, model: Network) -> Tensor:
    import torch

    from netproof.formats.images.arrays import read_whole_numbers
    from netproof.formats.images.samples import as_codes
    from netproof.pictures.form import fits

    values = read_whole_numbers(path)
    if values.size != model.inputs or not fits(values.shape, model.input_shape):
        raise InputError(
            path,
            f"holds numbers of shape {values.shape}, the network takes {tuple(model.input_shape)}",
            "give one of its inputs",
        )
    return torch.from_numpy(as_codes(values.reshape(-1), model).astype("float64"))


def _verified(question: SetQuery | Question | Query, settings: Settings) -> Result:
    from netproof.search.verify import verify

    return verify(question, settings)


def _announced(question: SetQuery | Question | Query, samples: int) -> str:
    from netproof.perturbations.asked import SetQuery
    from netproof.query import Question

    each = " each" if samples > 1 else ""
    if isinstance(question, SetQuery):
        return f"{question.perturbation.words()}: {question.count} inputs{each}, all of which are evaluated"
    if isinstance(question, Question) and len(question.parts) > 1:
        return f"{len(question.parts)} boxes{each}, decided by bounds and search"
    return f"a box{each}, decided by bounds and search"


def _one_row(sets: SetOptions, model: Network) -> str:
    """What has to be said of rows and columns where a network takes a list, which may once have been an image."""
    placed = sets.shift is not None or sets.patch is not None or sets.cover is not None
    if not placed or sum(extent != 1 for extent in model.input_shape) > 1:
        return ""
    return f" (the network takes a list of {model.inputs} numbers: one row, whatever it was made of)"


def _document(question: SetQuery | Question | Query, index: int, label: int, result: Result) -> dict[str, object]:
    from netproof.cli.terminal.output import finite
    from netproof.perturbations.asked import SetQuery
    from netproof.perturbations.documents import set_document
    from netproof.query import Question, sample_of

    center = question.center if isinstance(question, SetQuery) else Question.of(question).parts[0]
    found: dict[str, object] = {
        "verdict": result.verdict.for_robustness,
        "index": index,
        "label": label,
        "prediction": center.prediction,
        "set": set_document(question.perturbation) if isinstance(question, SetQuery) else None,
        "count": question.count if isinstance(question, SetQuery) else None,
        "evaluated": result.subproblems if isinstance(question, SetQuery) else 0,
        "seconds": round(result.seconds, 6),
        "method": result.method,
        "subproblems": result.subproblems,
        "bound": finite(result.bound),
        "reason": result.reason,
        "witness": None,
    }
    if result.witness is not None:
        moved = (result.witness.input - sample_of(center).image.long()).abs()
        found["witness"] = {
            "class": int(center.network.classify(result.witness.input.to(center.lower.dtype))),
            "changed": int((moved > 0).sum()),
            "largest_change": int(moved.max()),
            "input": result.witness.input.tolist(),
            "output": result.witness.output.tolist(),
        }
    return found


def _certified(question: SetQuery | Question | Query, result: Result, path: Path) -> bool:
    """Write a certificate where there is evidence; whether there was."""
    from netproof.perturbations.asked import SetQuery
    from netproof.version import netproof_version

    if result.verdict.for_robustness not in ("robust", "vulnerable"):
        return False
    if not isinstance(question, SetQuery):
        from netproof.runs.certify import write_certificate

        write_certificate(path, question, result)
        return True
    from netproof.certificate.sets import set_certificate_of
    from netproof.files.opened import whole_file

    content = set_certificate_of(question, result, producer=f"netproof {netproof_version()}").encoded()
    with whole_file(path) as stream:
        stream.write(content)
    return True


def _line(document: dict[str, object], limit: float) -> str:
    from netproof.report.text import seconds_text

    verdict, reason = document["verdict"], document["reason"]
    told = f"sample {document['index']} (label {document['label']}): {verdict}"
    witness = document["witness"]
    if isinstance(witness, dict):
        told += f"; class {witness['class']} with {_values(witness['changed'])} changed, by at most {witness['largest_change']}"
    elif verdict == "misclassified":
        told += f"; the network takes the image itself for class {document['prediction']}"
    elif verdict == "timeout":
        told += f" of {limit:g} s" + (f"; {reason}" if reason else "")
    elif reason:
        told += f"; {reason}"
    spent = int(str(document["evaluated"] or document["subproblems"]))
    told += f" ({spent} {'input' if document['count'] else 'subproblem'}{'' if spent == 1 else 's'}"
    told += f", {seconds_text(float(str(document['seconds'])))})"
    if document.get("certificate"):
        told += f"\n  certificate written to {document['certificate']}"
    return told


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"
