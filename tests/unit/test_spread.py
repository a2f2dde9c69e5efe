"""Items answered by several processes, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from functools import partial

import pytest

from netproof.errors import InputError
from netproof.processes.spread import spread


def squares(folder):
    """The later an item, the sooner its answer; leaves a note that this process has begun."""
    (folder / str(os.getpid())).touch()

    def answer(item):
        time.sleep(0.02 * (5 - item))
        return item * item, os.getpid()

    return answer


def odd_ones():
    def answer(item):
        if item % 2 == 0:
            raise InputError("item", f"{item} is even", "give odd ones")
        return item

    return answer


def killed_by_the_third():
    def answer(item):
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    return answer


def nothing_to_begin_with():
    raise InputError("file", "is gone", "put it back")


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_answers_are_in_the_order_of_the_items(tmp_path, processes):
    found = list(spread(partial(squares, tmp_path), range(5), processes))
    assert [(item, answer[0]) for item, answer in found] == [(i, i * i) for i in range(5)]
    begun = {int(file.name) for file in tmp_path.iterdir()}
    assert {answer[1] for _, answer in found} <= begun and len(begun) <= min(processes, 5)
    assert os.getpid() not in begun
    assert not multiprocessing.active_children()


def test_nothing_asked():
    assert list(spread(odd_ones, [], 3)) == []


def test_a_refusal_ends_all_with_its_words():
    answers = spread(odd_ones, [1, 3, 4, 5], 2)
    with pytest.raises(InputError, match="item: 4 is even; give odd ones"):
        list(answers)
    assert not multiprocessing.active_children()


def test_a_beginning_that_is_refused():
    with pytest.raises(InputError, match="file: is gone; put it back"):
        list(spread(nothing_to_begin_with, [1], 2))


def test_a_process_that_dies_is_told():
    with pytest.raises(InputError, match=r"--jobs: a worker process died \(.*SIGKILL.*\)"):
        list(spread(killed_by_the_third, range(4), 2))
    assert not multiprocessing.active_children()


def test_whoever_has_seen_enough_leaves_no_process():
    answers = spread(odd_ones, [1, 3, 5], 2)
    assert next(answers) == (1, 1)
    answers.close()
    assert not multiprocessing.active_children()
