"""A question in pieces: they cover its box, and their answers together are the answer, whatever is cut."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

import netproof
from conftest import random_layers, write_keras_h5
from netproof.query import Question
from netproof.result import Result, Verdict
from netproof.runs.scheduler.pieces import Piece, Pieces


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return netproof.load(write_keras_h5(tmp_path_factory.mktemp("pieces") / "n.h5", random_layers((3, 6, 3), seed=11)))


def points(lower, upper):
    """Every whole-numbered point of a box, ``[N, n]``."""
    ranges = [range(int(low), int(high) + 1) for low, high in zip(lower.tolist(), upper.tolist(), strict=True)]
    return torch.tensor(list(itertools.product(*ranges)), dtype=torch.float64)


def answered(question: Question, chance: random.Random) -> tuple[Pieces, list[Piece]]:
    """Decide a question by trying every input of a piece, or giving up at random; the pieces that were refuted, too."""
    pieces = Pieces(question)
    waiting, refuted = pieces.first(chance.choice([1, 4, 7])), []
    while waiting and pieces.answer is None:
        piece = waiting.pop(chance.randrange(len(waiting)))
        query = piece.of(question)
        inside = points(query.lower, query.upper)
        if chance.random() < 0.5 and len(inside) > 1:
            result = Result(Verdict.TIMEOUT, 0.0, "search", 1)
        elif bool(query.refuted_by(inside).any()):
            result = Result(Verdict.SAT, 0.0, "search", 1)
        else:
            result = Result(Verdict.UNSAT, 0.0, "search", 1)
            refuted.append(piece)
        waiting += pieces.decided(piece, result)
        assert pieces.open == len(waiting)
    return pieces, refuted


def test_pieces_are_the_question(network):
    chance, seen = random.Random(3), set()
    for _ in range(40):
        image = torch.tensor([chance.randrange(256) for _ in range(3)], dtype=torch.float64)
        label = int(network.classify(image))
        question = Question.of(netproof.robustness(network, image, label, chance.choice([1, 4, 6])))
        (query,) = question.parts
        everywhere = points(query.lower, query.upper)
        truth = Verdict.SAT if bool(query.refuted_by(everywhere).any()) else Verdict.UNSAT
        pieces, refuted = answered(question, chance)
        assert pieces.answer is not None and pieces.answer.verdict is truth
        seen.add(truth)
        if truth is Verdict.UNSAT:
            # Each input in one piece, and in no other.
            covered = torch.cat([points(piece.lower, piece.upper) for piece in refuted])
            assert len(covered) == len(everywhere) == len(torch.unique(covered, dim=0))
    assert seen == {Verdict.SAT, Verdict.UNSAT}


def test_what_cannot_be_cut_stays_open(network):
    image = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    question = Question.of(netproof.robustness(network, image, int(network.classify(image)), 0))
    pieces = Pieces(question)
    (piece,) = pieces.first(4)
    assert piece.halves(question.parts[0]) is None
    assert not pieces.decided(piece, Result(Verdict.TIMEOUT, 0.0, "search"))
    assert pieces.answer is not None and pieces.answer.verdict is Verdict.TIMEOUT
    # An answer that is no answer is never one of the whole, however many others are refuted.
    question = Question.of(netproof.robustness(network, image, int(network.classify(image)), 3))
    pieces = Pieces(question)
    one, *others = pieces.first(2)
    pieces.decided(one, Result(Verdict.UNKNOWN, 0.0, "search", reason="memory"))
    for other in others:
        pieces.decided(other, Result(Verdict.UNSAT, 0.0, "search"))
    assert pieces.answer.verdict is Verdict.UNKNOWN and pieces.answer.reason == "memory"


def test_halves_of_real_boxes_leave_no_gap():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    query = netproof.robustness(netproof.from_torch(module, (1, 3)), torch.tensor([0.1, 0.2, 0.3]), 0, "1/7")
    found = [Piece(0, query.lower, query.upper)]
    for _ in range(5):
        found = [half for piece in found for half in piece.halves(query)]
    assert len(found) == 32 and all(piece.cuts == 5 for piece in found)
    generator = torch.Generator().manual_seed(1)
    inside = query.lower + (query.upper - query.lower) * torch.rand(500, 3, generator=generator, dtype=torch.float64)
    # Corners and cuts as well: what lies on a cut lies in both halves.
    inside = torch.cat([inside, *(torch.stack([piece.lower, piece.upper]) for piece in found)])
    held = torch.stack([((inside >= piece.lower) & (inside <= piece.upper)).all(1) for piece in found])
    assert bool(held.any(0).all())
    assert torch.equal(torch.stack([p.lower for p in found]).amin(0), query.lower)
    assert torch.equal(torch.stack([p.upper for p in found]).amax(0), query.upper)
    narrow = Piece(0, query.lower, torch.nextafter(query.lower, query.upper))
    assert narrow.halves(query) is None
