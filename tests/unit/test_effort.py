"""The numbers that the search and attacks were tuned to, pinned: who changes one says so here."""

from __future__ import annotations

import dataclasses
import inspect
import math

import pytest

from netproof.effort import bounding, envelope, integer, questions, real
from netproof.graph.budget import Budget

MIB = 1 << 20

PINNED = {
    "BOX": {
        "bounded": Budget(24 * MIB),
        "refined": Budget(24 * MIB, least=4, most=2048),
        "refined_features": 64,
        "few_inputs": 8,
        "most_features": 400,
        "look_ahead": 5,
        "worth": 0.25,
        "narrow": 1e-11,
        "touches": 1e-09,
        "touched": 16,
        "negligible": 1e-08,
    },
    "BOXES": {
        "few_inputs": 16,
        "depth": 16,
        "parts": 32,
        "batch": Budget(64 * MIB, most=512),
        "tensors": 128,
    },
    "CHAINS": {
        "least": 2,
        "widest": 128,
        "boxes": 160,
        "at_once": 256,
        "seconds": 0.1,
        "worth": 0.25,
        "narrow": 1e-11,
        "near": 1e-7,
        "compiling": 20.0,
    },
    "BRANCHING": {
        "move": 0.5,
        "larger": 0.1,
    },
    "CELL": {
        "search_share": 0.5,
        "longest_search": 4.0,
        "closing": 0.01,
    },
    "HALVES": {"inputs": 64, "features": 4096, "rows": 32, "look": 0.1, "replayed": 4, "width": 1e-09},
    "DIVE": {
        "beam": 8,
        "most_cuts": 20,
        "paces": (32.0, 64.0, 128.0),
        "most": 0.3,
        "least": 0.05,
        "descent_every": 4,
    },
    "INTEGER": {
        "root_rows": 1024,
        "goal": -0.01,
        "ahead": 20,
        "ahead_with_envelopes": 44,
        "behind": 150,
        "steps": 4,
        "steps_with_envelopes": 12,
        "level": 16,
        "level_with_envelopes": 4,
        "long": 128,
        "dive_from": 4,
        "restart": 256,
        "first_dive": 48,
        "enveloped": 3,
        "parts": 8,
        "bounded": Budget(256 * MIB, whole=True),
        "tensors": 24,
    },
    "INTEGER_ATTACK": {
        "starts_per_case": 32,
        "most_starts": 512,
        "sign_widths": (20.0, 60.0, 6.0),
        "sign_narrow": 0.7,
        "sign_first": 0.5,
        "sign_last": 0.05,
        "settled": 200,
        "settle_rounds": 12,
        "settle_floor": 0.3,
        "settle_slack": 600.0,
        "settle_margin": 0.33,
        "corners": Budget(384 * MIB, whole=True, size=4),
        "corner_tensors": 3,
        "replayed": Budget(256 * MIB, whole=True),
        "align_starts": 8,
        "align_chains": 32,
        "align_steps": 1000,
        "align_doublings": 2,
        "align_soft": 0.3,
        "roundings": 4,
        "descents": 4,
        "descent_steps": 40,
        "temperatures": (0.005, 0.02, 0.1, 0.3),
        "proposals": 48,
        "whole": 0.02,
        "tenure": 10,
    },
    "LEAF": {
        "largest_program": 4194304,
        "rows": 256,
        "tolerance": 1e-09,
        "within": 1e-08,
        "seconds": 10.0,
        "memory": 1073741824,
        "failures": 2,
    },
    "ENUMERATION": {
        "inputs": 1024,
        "numbers": 1 << 23,
        "compared": 64,
        "one_in": 32,
        "least": 1,
    },
    "ENVELOPE": {
        "root": (envelope.Schedule(60, 0.5, 0.95, -0.01),),
        "below": (envelope.Schedule(60, 0.3, 0.95, -0.01), envelope.Schedule(60, 0.06, 0.96, -0.01)),
        "range_ends": envelope.Schedule(40, 0.5, 0.93, -math.inf),
        "most_prices": 1 << 24,
        "promising": 0.3,
        "step": 0.5,
        "momentum": 0.7,
        "every": 10,
        "improved": 8,
        "improved_compiled": 32,
        "evaluated": 32,
        "long": 32,
        "least_unit": 0.01,
        "softness": 0.125,
        "length": 0.05,
        "rates": bounding.Rates(first=0.9, second=0.99, shrink=0.95, tiny=1e-12, compact=0.2),
        "most_weights": 1 << 20,
        "most_levels": 256,
    },
    "ORDER": {
        "price": 8.0,
        "directions": (*((1.0, 1.0),) * 4, (1.0, 0.5), (0.5, 1.0), (1.0, 0.0), (0.0, 1.0)),
    },
    "PROGRAM": {
        "most_features": 160,
        "most_goals": 64,
        "largest_program": 32768,
        "look_ahead": 10,
        "at_once": 8,
        "tolerance": 1e-08,
        "seconds": 10.0,
    },
    "PARTS": {
        "least_share": 0.1,
        "again": 2.0,
    },
    "RADIUS": {
        "first": 0.7,
        "again": 1.5,
        "first_share": 256,
        "steps": 4,
        "half": 0.5,
        "brief": 0.03,
        "longer": 4.0,
        "apart": 0.1,
        "ahead": 8,
        "bounds": 2.0,
        "soon": 3.0,
    },
    "RANGE": {
        "root_steps": 60,
        "steps": 25,
        "lines_share": 0.7,
        "weight_steps": 12,
        "look_ahead": 4,
        "batch": Budget(128 * MIB, least=2, most=128, whole=True),
        "tensors": 40,
    },
    "REAL": {
        "quick": (4, 20),
        "long": (20, 60),
        "nearest": 2,
        "few_inputs": 8,
        "boxes_first": 4096,
        "some_inputs": 64,
        "many_features": 400,
        "share_of_boxes": 0.5,
        "least_memory": 1048576,
    },
    "REAL_ATTACK": {
        "near": 1e-05,
        "batch": Budget(128 * MIB, whole=True, size=4),
        "kept": 3,
        "replays": 8,
        "first_step": 0.5,
        "last_step": 0.01,
        "sparse": 8,
        "inside": 2e-5,
    },
    "BALL": {
        "steps": 60,
        "goal": -1e-4,
        "leaf_steps": 400,
    },
    "ROUND": {
        "easy": 100,
        "alpha_steps": 12,
        "alpha_share": 0.05,
        "first_round": 6.0,
        "round_growth": 3.0,
        "begin_share": 0.25,
        "round_share": 0.12,
        "falling_share": 0.4,
        "falling": 0.5,
        "worthwhile": 0.85,
        "search_share": 0.5,
        "grace_share": 0.05,
        "long_share": 0.65,
        "long_layer_share": 0.25,
        "cell_share": 0.03,
    },
    "SIGN": {
        "root_steps": 40,
        "steps": 4,
        "look_ahead": 6,
        "batch": Budget(256 * MIB, least=4, most=256),
        "tensors": 12,
        "judged": 64,
        "patience": 4.0,
        "leaf_rounds": 2,
    },
    "TABLES": {
        "places": 16384,
        "least_share": 1.0,
    },
    "TOUCH": {
        "seconds": 5.0,
        "share": 0.05,
        "bends": 6,
    },
    "Effort": {
        "root_steps": 20,
        "steps": 20,
        "iterations": 20,
        "batch": 64,
        "look_ahead": 8,
        "attacked": False,
    },
    "END": {
        "root_steps": 20,
        "steps": 1,
        "leaf_steps": 60,
        "look_ahead": 4,
        "judged": 8,
        "hope": 2,
        "first": 8,
        "last": 16384,
        "batch": Budget(256 * MIB, least=8, most=512),
        "tensors": 12,
        "near": 0.02,
        "margin": 1e-05,
    },
    "INTERIOR": {
        "start": 0.01,
        "step_fraction": 0.98,
        "close": 0.25,
        "largest": 256,
    },
    "MIXTURE": {
        "steps": 30,
        "crown_steps": 11,
        "length": 0.5,
        "rates": bounding.Rates(first=0.8, second=0.95, shrink=0.9, tiny=1e-12, compact=0.2),
    },
    "CONDENSED": {
        "share": 4,
    },
    "LINE_STEPS": {
        "length": 0.1,
        "steps": 12,
        "range_steps": 8,
        "layer_share": 0.4,
        "rates": bounding.Rates(first=0.9, second=0.999, shrink=0.97, tiny=1e-12, compact=0.2),
        "batch": Budget(96 * MIB, most=64, whole=True),
        "tensors": 10,
    },
    "NARROW": {
        "share": 8,
        "terms": 4,
        "batch": Budget(32 * MIB, least=8),
        "tensors": 6,
        "bytes": 32 * MIB,
        "most_bytes": 64 * MIB,
    },
    "QUOTIENT": {
        "most": 16,
        "numbers": 12,
        "rounds": 2,
    },
    "RANGE_STEPS": {
        "length": 0.02,
        "rates": bounding.Rates(first=0.9, second=0.99, shrink=0.95, tiny=1e-12, compact=0.25),
    },
    "ANNEAL": {
        "stages": 50,
        "hottest": 1.0,
        "coldest": 0.003,
        "near": 3.0,
        "lengths": ((200_000, math.inf), (1_000_000, 40.0), (4_000_000, 16.0)),
        "cases": 2,
        "of_a_step": 3000,
        "most_neurons": 256,
        "most_layers": 4,
        "most_weight": 2.0**15,
        "largest": 1 << 22,
    },
    "APPROACH": {
        "cases": 9,
        "first_steps": 12,
        "starts": 8,
        "steps": 40,
        "kept": 24,
        "shrunk": 8,
        "radii": 256,
    },
    "PLANE": {
        "steps": 60,
        "prices": 0.03,
        "rates": bounding.Rates(first=0.9, second=0.999, shrink=0.98, tiny=1e-08),
        "worth": 0.002,
        "parts": 32,
        "first": 1024,
        "growth": 2.0,
        "largest": 1 << 23,
        "entries": 1 << 20,
        "rows": 256,
    },
    "PLANED": {
        "cases": 12,
        "easy": 60,
        "long_share": 0.15,
    },
    "RATIONAL": {
        "numbers": 4000,
        "entries": 1 << 20,
        "products": 200_000,
        "pivots": 400,
    },
    "REFINE": {
        "batch": Budget(32 * MIB, least=8),
        "alpha_batch": Budget(64 * MIB, least=8),
        "tensors": 6,
        "far": 64.0,
        "layer_share": 0.4,
        "tile_rows": 64,
        "tile_work": 1_000_000,
        "few_inputs": 64,
    },
    "SCORE": {
        "between": 0.001,
    },
    "SIGN_STEPS": {
        "lengths": (0.1, 0.05, 0.1),
        "rates": bounding.Rates(first=0.9, second=0.999, shrink=0.98, tiny=1e-08, compact=0.2),
    },
    "TOGETHER": {
        "least": 4,
        "share": 0.5,
    },
    "TIGHTEN": {
        "batch": Budget(1024 * MIB, most=4096, whole=True),
        "tensors": 40,
        "program_rows": 64,
        "program_iterations": 20,
        "program_close": 0.002,
    },
}


def values() -> dict[str, object]:
    modules = (questions, integer, envelope, real, bounding)
    named = {name: value for module in modules for name, value in vars(module).items() if name.isupper()}
    return {**named, "Effort": integer.Effort()}


@pytest.mark.parametrize("name", PINNED)
def test_values_are_what_they_were_chosen_to_be(name):
    value = values()[name]
    assert {field.name: getattr(value, field.name) for field in dataclasses.fields(value)} == PINNED[name]


def test_every_number_is_pinned_and_said_what_it_is():
    assert values().keys() == PINNED.keys()
    for value in values().values():
        kind = type(value)
        assert kind.__dataclass_params__.frozen
        fields = inspect.getdoc(kind).split("Attributes\n----------\n")[1]
        said = {name.strip() for line in fields.splitlines() for name in line.partition(" : ")[0].split(",")}
        assert {field.name for field in dataclasses.fields(kind)} <= said
