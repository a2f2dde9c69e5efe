"""Ways in which the state of a training in a checkpoint can be damaged, each with what it was read from in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

State = dict[str, Any]


def _first(state: State) -> State:
    return state["optimizer"]["state"][0]


def _weight(state: State) -> str:
    return next(name for name, value in state["network"].items() if value.ndim)


#: by name, what is done to the entries ``network`` and ``optimizer``
DAMAGES: dict[str, Callable[[State], object]] = {
    "no network": lambda state: state.pop("network"),
    "a network that is text": lambda state: state.update(network="x"),
    "a weight that is missing": lambda state: state["network"].pop(_weight(state)),
    "a weight too many": lambda state: state["network"].update(more=torch.zeros(1)),
    "a weight of another shape": lambda state: state["network"].update({_weight(state): torch.zeros(1, 2, 3)}),
    "a weight that is text": lambda state: state["network"].update({_weight(state): "x"}),
    "weights that are no numbers": lambda state: state["network"][_weight(state)].fill_(torch.nan),
    "a sparse weight": lambda state: state["network"].update(
        {_weight(state): state["network"][_weight(state)].to_sparse()}
    ),
    "no optimizer": lambda state: state.pop("optimizer"),
    "an optimizer that is a list": lambda state: state.update(optimizer=[1, 2]),
    "an optimizer without state": lambda state: state["optimizer"].pop("state"),
    "the state is text": lambda state: state["optimizer"].update(state="x"),
    "a parameter that is missing": lambda state: state["optimizer"]["state"].pop(0),
    "a parameter too many": lambda state: state["optimizer"]["state"].update({999: _first(state)}),
    "a parameter that is a number": lambda state: state["optimizer"]["state"].update({0: 5}),
    "no moment": lambda state: _first(state).pop("exp_avg"),
    "a moment of another shape": lambda state: _first(state).update(exp_avg=torch.zeros(3, 1, 4)),
    "a moment of another type": lambda state: _first(state).update(exp_avg_sq=_first(state)["exp_avg_sq"].double()),
    "a moment that is text": lambda state: _first(state).update(exp_avg="x"),
    "no number of steps": lambda state: _first(state).pop("step"),
    "steps that are text": lambda state: _first(state).update(step="x"),
    "no steps yet": lambda state: _first(state).update(step=torch.tensor(0.0)),
    "steps that are no number": lambda state: _first(state).update(step=torch.tensor(torch.nan)),
}
