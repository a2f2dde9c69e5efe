"""One function for every question: a query, a question, a property, several of these; and what it was called before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import netproof
from netproof.demo.digits import load_digits
from netproof.errors import InputError, QueryError
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from netproof.query import Query, Question
from netproof.result import Result, Verdict
from netproof.search.answers import Answers
from netproof.search.integer import decide


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def asked(digits, count: int, radius: int = 4) -> list[Query]:
    return [
        netproof.robustness(digits.network, digits.image(i), int(digits.labels[i]), radius, name=f"digit {i}")
        for i in range(count)
    ]


def whole(digits) -> Property:
    """Can output 0 reach 1000 somewhere? It cannot."""
    from fractions import Fraction

    box = Box((Fraction(0),) * digits.network.inputs, (Fraction(255),) * digits.network.inputs)
    constraint = LinearConstraint((), ((0, Fraction(1)),), Fraction(1000))
    return Property("p.vnnlib", digits.network.inputs, digits.network.outputs, (PropertyPart(box, ((constraint,),)),))


def results(count: int) -> list[Result]:
    return [Result(Verdict.UNSAT, float(i), "bound") for i in range(count)]


def decided(order: list[int], log: list[int]) -> Iterator[tuple[int, Result]]:
    for position in order:
        log.append(position)
        yield position, results(len(order))[position]


def seconds(answers: Answers) -> list[float]:
    return [result.seconds for result in answers]


def test_answers_come_in_the_order_of_the_questions_as_soon_as_they_can():
    log: list[int] = []
    answers = Answers(decided([2, 0, 1, 3], log))
    assert not log and iter(answers) is answers
    assert next(answers).seconds == 0 and log == [2, 0]
    assert next(answers).seconds == 1 and next(answers).seconds == 2 and log == [2, 0, 1]
    assert next(answers).seconds == 3
    with pytest.raises(StopIteration):
        next(answers)


def test_answers_as_they_are_decided():
    answers = Answers(decided([2, 0, 1, 3], []))
    assert [(p, r.seconds) for p, r in answers.as_decided()] == [(2, 2), (0, 0), (1, 1), (3, 3)]
    assert not list(answers) and not list(answers.as_decided())


def test_each_answer_comes_once_however_it_is_asked_for():
    answers = Answers(decided([3, 0, 2, 1, 4], []))
    assert next(answers).seconds == 0
    steps = answers.as_decided()
    assert [next(steps)[0], next(steps)[0]] == [3, 2]
    assert seconds(answers) == [1, 4]
    assert not list(steps)
    answers = Answers(decided([0, 1, 2], []))
    assert next(answers.as_decided())[0] == 0 and seconds(answers) == [1, 2]


def test_several_are_decided_together_and_come_in_order(digits, monkeypatch):
    queries, batches = asked(digits, 12), []
    real = decide.verify_integer

    def counted(batch, settings):
        batches.append(len(batch))
        return real(batch, settings)

    monkeypatch.setattr(decide, "verify_integer", counted)
    answers = netproof.verify(iter(queries))
    assert not batches  # nothing is computed before an answer is asked for
    together = list(answers)
    assert batches == [sum(not query.misclassified for query in queries)]
    alone = [netproof.verify(query) for query in queries]
    assert [r.verdict for r in together] == [r.verdict for r in alone]
    assert [r.subproblems for r in together] == [r.subproblems for r in alone]
    early = dict(netproof.verify(queries).as_decided())
    assert [early[i].verdict for i in range(12)] == [r.verdict for r in alone]


def test_kinds_may_be_mixed(digits):
    query, property_ = asked(digits, 1)[0], whole(digits)
    question = Question((query, query), "twice")
    found = list(netproof.verify([query, property_, question], network=digits.network))
    assert [result.verdict for result in found] == [Verdict.UNSAT] * 3
    assert netproof.verify(property_, network=digits.network).verdict is Verdict.UNSAT
    assert netproof.verify(question).verdict is Verdict.UNSAT
    assert netproof.verify(query, network=digits.network).verdict is Verdict.UNSAT
    assert list(netproof.verify([])) == []
    assert [r.verdict for r in netproof.verify(property_.queries(digits.network))] == [Verdict.UNSAT]


@pytest.mark.parametrize("thing", [3, "query", b"query", {"a": 1}, None, torch.zeros(2), [None], ["query"]])
def test_what_is_no_question(thing):
    with pytest.raises(
        InputError, match=r"verify: cannot decide .+; give (a Query, a Question, a Property|the property in it)"
    ):
        netproof.verify(thing)


def test_a_property_is_asked_of_a_network(digits):
    for given in (whole(digits), [whole(digits)]):
        with pytest.raises(InputError, match=r"p.vnnlib: is asked of no network; give one with network="):
            netproof.verify(given)
    other = load_digits().network
    with pytest.raises(QueryError, match="digit 0: is about another network"):
        netproof.verify(asked(digits, 1)[0], network=other)


def test_former_names_say_what_to_call_instead(digits):
    queries = asked(digits, 3)
    with pytest.warns(DeprecationWarning, match=r"call netproof.verify\(questions, settings\).as_decided\(\)") as seen:
        steps = netproof.verify_many(queries)
    assert seen[0].filename == __file__
    assert {position: result.verdict for position, result in steps} == dict.fromkeys(range(3), Verdict.UNSAT)
    with pytest.warns(DeprecationWarning, match=r"call netproof.verify\(property, settings, network=network\)") as seen:
        result = netproof.verify_property(digits.network, whole(digits), netproof.Settings(timeout=60))
    assert result.verdict is Verdict.UNSAT and seen[0].filename == __file__


def test_the_former_robustness_of_floats_says_what_to_call_instead():
    network = netproof.from_torch(torch.nn.Linear(2, 2), (1, 2))
    point = torch.tensor([0.5, 0.25], dtype=torch.float64)
    with pytest.warns(DeprecationWarning, match=r"call netproof.robustness\(network, image, label, box=") as seen:
        query = netproof.image_robustness(network, point, point - 0.5, point + 0.5, 1, name="mine")
    assert seen[0].filename == __file__
    now = netproof.robustness(network, point, 1, box=(point - 0.5, point + 0.5), name="mine")
    for name in ("lower", "upper"):
        assert torch.equal(getattr(query, name), getattr(now, name))
    assert query.name == now.name and np.allclose(query.sample.image, now.sample.image) and query.sample.label == 1


def test_a_result_s_former_name_says_what_it_is_called():
    result = Result(Verdict.UNKNOWN, 0.0, "smt", retryable=True)
    with pytest.warns(DeprecationWarning, match="Result.retryable"):
        assert result.accident
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert result.retryable
