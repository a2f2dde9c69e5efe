"""Multipliers of the linear program itself: a batched primal-dual interior point method.

The best bound any multipliers can give is the optimum of the linear program in which every
activation ranges over its hull: ``x`` in the box, ``(a_j, h_j)`` a convex combination ``lam_j`` of the
hull's corners, ``a = affine(x, h)``. Its dual is the bound of :mod:`netproof.bounds.dual` minimized over
``s``. First-order steps stall where ranges have been split often; Mehrotra's predictor-corrector
method (SIAM J. Optim. 2(4), 1992) needs 5 to 15 steps there, each one Cholesky factorization of the
size of the activations. Rows are solved side by side. Whatever comes out is only a proposal:
the caller evaluates the bound at the returned multipliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netproof.bounds.objective import Objective
from netproof.bounds.relaxation import Relaxation
from netproof.effort.bounding import INTERIOR
from netproof.graph.graph import Graph
from netproof.operators.affine.linear import Linear
from netproof.operators.base import Activation
from netproof.operators.hulls.hull import PolygonHull
from netproof.rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class InteriorResult(Rows):
    """Outcome per row of the batch.

    Attributes
    ----------
    s : best multipliers found, one ``[B, n_k]`` per activation
    value : ``[B]``, the bound there (float64, not exact)
    a, h : the linear program's own point at the activations, ``[B, n_k]`` each
    x : its input, ``[B, n_input]``
    """

    s: tuple[Float[Tensor, "B _"], ...]
    value: Float[Tensor, " B"]
    a: tuple[Float[Tensor, "B _"], ...]
    h: tuple[Float[Tensor, "B _"], ...]
    x: Float[Tensor, "B n"]


def has_interior_solver(graph: Graph) -> bool:
    """Whether the graph is an alternating chain of linear layers and activations, at least one of each, of moderate size."""
    kinds = [type(node.operator) for node in graph.nodes[1:]]
    alternating = (
        len(kinds) > 0
        and len(kinds) % 2 == 0
        and all(issubclass(kind, Linear if i % 2 == 0 else Activation) for i, kind in enumerate(kinds))
    )
    chained = all(node.operands == (i,) for i, node in enumerate(graph.nodes[1:]))
    return alternating and chained and sum(graph.nodes[i].size for i in graph.activations) <= INTERIOR.largest


@dataclass(eq=False)
class _State(Rows):
    """Iterates of the rows still running; every tensor has the row axis first."""

    row: Tensor
    s: list[Tensor]
    x: Tensor
    zl: Tensor
    zu: Tensor
    z: list[Tensor]
    lam: list[Tensor]
    width: Tensor
    offset: Tensor
    argument: list[Tensor]
    image: list[Tensor]
    direct: list[Tensor]
    received: list[Tensor]
    constant: Tensor


class InteriorSolver:
    """Solves batches on one graph (see :func:`has_interior_solver`); float64.

    ``close`` is the relative gap at which a program whose optimum is above 0 counts as solved.
    """

    def __init__(self, graph: Graph, close: float = INTERIOR.close) -> None:
        self.graph, self._close = graph, close
        linears = [graph.nodes[i - 1].operator for i in graph.activations]
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        # Accumulators are measured in steps of their activation, which puts all layers on one scale.
        self._units: list[float] = []
        for k, index in enumerate(graph.activations):
            linear = linears[k]
            assert isinstance(linear, Linear)
            unit = _unit(graph.activation(index), graph.nodes[index].size)
            self._units.append(unit)
            self._weights.append(linear.weight * unit)
            self._biases.append(linear.bias * unit)
        first = self._weights[0]
        size = first.shape[0]
        upper = torch.triu_indices(size, size)
        #: products of all pairs of rows, so that W D W' for a batch of diagonals D is one product;
        #: float32 is ample, for the normal matrix only aims the next step
        self._pairs = (first[upper[0]] * first[upper[1]]).T.float().contiguous()
        #: where those products stand in the lower triangle of the normal matrix
        total = sum(weight.shape[0] for weight in self._weights)
        self._place = upper[1] * total + upper[0]

    def solve(
        self,
        relaxation: Relaxation,
        objective: Objective,
        start: Sequence[Float[Tensor, "#B _"]],
        iterations: int,
        goal: float,
    ) -> InteriorResult:
        """Lower the bounds of a batch, starting from multipliers ``start``.

        A row is done once its bound is below ``goal``, or once its linear program is solved to a
        relative gap of the solver's ``close`` and the optimum is above 0.
        """
        state = self._begin(relaxation, objective, start)
        best_value, _ = self._bound(state, state.s)
        best_s = [m.clone() for m in state.s]
        points = [(state.lam[k], state.argument[k], state.image[k]) for k in range(len(state.s))]
        a = [(lam * argument).sum(-1) for lam, argument, _ in points]
        h = [(lam * image).sum(-1) for lam, _, image in points]
        x = state.x.clone()
        for _ in range(iterations):
            running = best_value[state.row] >= goal
            if not bool(running.all()):
                state = state.take(running.nonzero()[:, 0])
            if not len(state.row):
                break
            primal_residual = self._advance(state)
            value, _ = self._bound(state, state.s)
            gained = (value < best_value[state.row]).nonzero()[:, 0]
            row = state.row[gained]
            best_value[row] = value[gained]
            primal = state.constant.clone()
            for k, m in enumerate(state.s):
                best_s[k][row] = m[gained]
                mean_a, mean_h = (state.lam[k] * state.argument[k]).sum(-1), (state.lam[k] * state.image[k]).sum(-1)
                a[k][state.row], h[k][state.row] = mean_a, mean_h
                primal = primal + (state.received[k] * mean_h).sum(-1) + (state.direct[k] * mean_a).sum(-1)
            x[state.row] = state.x
            solved = (primal > 0) & (primal_residual < 1e-2) & (value - primal < self._close * primal.clamp(min=1.0))
            if bool(solved.any()):
                state = state.take((~solved).nonzero()[:, 0])
                if not len(state.row):
                    break
        return InteriorResult(
            tuple(m * unit for m, unit in zip(best_s, self._units, strict=True)),
            best_value,
            tuple(part / unit for part, unit in zip(a, self._units, strict=True)),
            tuple(h),
            x + relaxation.region.lower,
        )

    def _begin(self, relaxation: Relaxation, objective: Objective, start: Sequence[Tensor]) -> _State:
        region, hulls = relaxation.region, relaxation.hulls
        rows = len(objective)
        width = (region.upper - region.lower).clamp(min=1e-3).expand(rows, -1)
        offset = (region.lower @ self._weights[0].T + self._biases[0]).expand(rows, -1)
        argument, image, direct, received, s = [], [], [], [], []
        for k, index in enumerate(self.graph.activations):
            hull = hulls[k]
            assert isinstance(hull, PolygonHull)
            unit = self._units[k]
            argument.append(torch.cat([hull.upper_argument, hull.lower_argument[1:-1]]).movedim(0, -1) * unit)
            image.append(torch.cat([hull.upper_image, hull.lower_image[1:-1]]).movedim(0, -1).contiguous())
            zero = torch.zeros_like(start[k])
            # A coefficient on the pre-activation acts like a shift of s.
            direct.append(objective.coefficients.get(index - 1, zero) / unit)
            received.append(objective.coefficients.get(index, zero))
            s.append(start[k] / unit)
        state = _State(
            torch.arange(rows),
            s,
            width,
            width,
            width,
            [],
            [],
            width,
            offset,
            argument,
            image,
            direct,
            received,
            objective.constant,
        )
        _, (w, _v, psi) = self._bound(state, s)
        slack = 2 * INTERIOR.start / width
        state.zu = w.clamp(min=0) + slack
        state.zl = state.zu - w
        state.x = width * (0.5 + 0.4 * w / (w.abs() + slack))
        for part in psi:
            state.z.append(part.amax(-1, keepdim=True) + 6 * INTERIOR.start - part)
            state.lam.append(torch.full_like(part, 1 / part.shape[-1]))
        return state

    def _bound(self, state: _State, s: list[Tensor]) -> tuple[Tensor, tuple[Tensor, list[Tensor], list[Tensor]]]:
        """The dual bound in the solver's units, with the input coefficients, ``v`` and ``psi = v f - s a``."""
        total = [m + d for m, d in zip(s, state.direct, strict=True)]
        value = state.constant + (total[0] * state.offset).sum(-1)
        vs, psi = [], []
        for k in range(len(s)):
            v = state.received[k]
            if k + 1 < len(s):
                v = v + total[k + 1] @ self._weights[k + 1]
                value = value + total[k + 1] @ self._biases[k + 1]
            part = v[..., None] * state.image[k] - s[k][..., None] * state.argument[k]
            value = value + part.amax(-1).sum(-1)
            vs.append(v)
            psi.append(part)
        w = total[0] @ self._weights[0]
        return value + (w.clamp(min=0) * state.width).sum(-1), (w, vs, psi)

    def _advance(self, state: _State) -> Tensor:
        """One predictor-corrector step in place; returns the remaining primal residual per row."""
        layers = len(state.s)
        x, y, zl, zu = state.x, state.width - state.x, state.zl, state.zu
        h = [(f * lam).sum(-1) for f, lam in zip(state.image, state.lam, strict=True)]
        a = [(f * lam).sum(-1) for f, lam in zip(state.argument, state.lam, strict=True)]
        rho = [x @ self._weights[0].T + state.offset - a[0]]
        rho += [h[k - 1] @ self._weights[k].T + self._biases[k] - a[k] for k in range(1, layers)]
        pairs = 2 * x.shape[1] + sum(lam.shape[1] * lam.shape[2] for lam in state.lam)
        gap = _gap([x, y, *state.lam], [zl, zu, *state.z]) / pairs
        theta_x = 1 / (zl / x + zu / y)
        theta = [lam / z for lam, z in zip(state.lam, state.z, strict=True)]
        weight = [t.sum(-1, keepdim=True) for t in theta]
        d_image = [f - (t * f).sum(-1, keepdim=True) / w for f, t, w in zip(state.image, theta, weight, strict=True)]
        d_arg = [f - (t * f).sum(-1, keepdim=True) / w for f, t, w in zip(state.argument, theta, weight, strict=True)]
        factor = self._factor(theta_x, theta, d_image, d_arg)

        def direction(
            rl: Tensor, ru: Tensor, rz: list[Tensor]
        ) -> tuple[list[Tensor], Tensor, Tensor, Tensor, list[Tensor], list[Tensor], Tensor, Tensor]:
            q = [r / z for r, z in zip(rz, state.z, strict=True)]
            mean = [p.sum(-1, keepdim=True) / w for p, w in zip(q, weight, strict=True)]
            e = [p - t * m for p, t, m in zip(q, theta, mean, strict=True)]
            xr = theta_x * (rl / x - ru / y)
            right = [-rho[0] - xr @ self._weights[0].T + (state.argument[0] * e[0]).sum(-1)]
            for k in range(1, layers):
                carried = (state.image[k - 1] * e[k - 1]).sum(-1) @ self._weights[k].T
                right.append(-rho[k] - carried + (state.argument[k] * e[k]).sum(-1))
            step = torch.cholesky_solve(torch.cat(right, 1)[..., None], factor)[..., 0]
            ds = list(torch.split(step, [m.shape[1] for m in state.s], 1))
            dx = theta_x * (ds[0] @ self._weights[0]) + xr
            dzl, dzu = (rl - zl * dx) / x, (ru + zu * dx) / y
            dz, dlam = [], []
            for k in range(layers):
                part = mean[k] + d_arg[k] * ds[k][..., None]
                if k + 1 < layers:
                    part = part - d_image[k] * (ds[k + 1] @ self._weights[k + 1])[..., None]
                dz.append(part)
                dlam.append(q[k] - theta[k] * part)
            primal = _longest(x, dx).minimum(_longest(y, -dx))
            dual = _longest(zl, dzl).minimum(_longest(zu, dzu))
            for k in range(layers):
                primal = primal.minimum(_longest(state.lam[k], dlam[k]))
                dual = dual.minimum(_longest(state.z[k], dz[k]))
            return ds, dx, dzl, dzu, dz, dlam, primal, dual

        _, dx, dzl, dzu, dz, dlam, primal, dual = direction(
            -x * zl, -y * zu, [-lam * z for lam, z in zip(state.lam, state.z, strict=True)]
        )
        p, d = primal.clamp(max=1.0)[:, None], dual.clamp(max=1.0)[:, None]
        after = _gap(
            [x + p * dx, y - p * dx, *(lam + p[..., None] * m for lam, m in zip(state.lam, dlam, strict=True))],
            [zl + d * dzl, zu + d * dzu, *(z + d[..., None] * m for z, m in zip(state.z, dz, strict=True))],
        )
        centre = ((after / pairs / gap).clamp(0, 1) ** 3 * gap)[:, None]
        ds, dx, dzl, dzu, dz, dlam, primal, dual = direction(
            centre - x * zl - dx * dzl,
            centre - y * zu + dx * dzu,
            [centre[..., None] - lam * z - dl * m for lam, z, dl, m in zip(state.lam, state.z, dlam, dz, strict=True)],
        )
        p, d = ((INTERIOR.step_fraction * t).clamp(max=1.0)[:, None] for t in (primal, dual))
        state.x, state.zl, state.zu = x + p * dx, zl + d * dzl, zu + d * dzu
        state.lam = [lam + p[..., None] * m for lam, m in zip(state.lam, dlam, strict=True)]
        state.z = [z + d[..., None] * m for z, m in zip(state.z, dz, strict=True)]
        state.s = [m + d * step for m, step in zip(state.s, ds, strict=True)]
        worst = torch.stack([r.abs().amax(1) for r in rho]).amax(0)
        return (1 - p[:, 0]) * worst

    def _factor(self, theta_x: Tensor, theta: list[Tensor], d_image: list[Tensor], d_arg: list[Tensor]) -> Tensor:
        """Cholesky factor of the normal matrix: block tridiagonal in the layers; only the lower half is filled."""
        sizes = [part.shape[1] for part in d_arg]
        starts = [sum(sizes[:k]) for k in range(len(sizes))]
        rows, total = theta_x.shape[0], sum(sizes)
        matrix = theta_x.new_zeros(rows, total, total)
        matrix.view(rows, -1)[:, self._place] = (theta_x.float() @ self._pairs).to(matrix.dtype)
        for k in range(1, len(sizes)):
            weight = self._weights[k]
            here = slice(starts[k], starts[k] + sizes[k])
            before = slice(starts[k - 1], starts[k - 1] + sizes[k - 1])
            spread = (theta[k - 1] * d_image[k - 1] ** 2).sum(-1)
            cross = -(theta[k - 1] * d_image[k - 1] * d_arg[k - 1]).sum(-1)
            matrix[:, here, here] = (spread[:, None] * weight) @ weight.T
            matrix[:, here, before] = cross[:, None] * weight
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        diagonal += torch.cat([(t * m**2).sum(-1) for t, m in zip(theta, d_arg, strict=True)], 1) + 1e-12
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if bool((failed > 0).any()):
            diagonal += 1e-8 * diagonal.amax(1, keepdim=True)
            factor, failed = torch.linalg.cholesky_ex(matrix)
            # A row that still fails gets the identity: its step is useless, and harmless.
            factor[failed > 0] = torch.eye(total, dtype=factor.dtype)
        return factor


def _gap(primal: Sequence[Tensor], slack: Sequence[Tensor]) -> Tensor:
    """Complementarity, summed per row."""
    total = (primal[0] * slack[0]).sum(1)
    for one, other in zip(primal[1:], slack[1:], strict=True):
        total = total + (one * other).flatten(1).sum(1)
    return total


def _longest(value: Tensor, step: Tensor) -> Tensor:
    """The longest step per row that keeps the positive ``value`` nonnegative."""
    fastest = (step / value).flatten(1).amin(1)
    return torch.where(fastest < 0, -1 / fastest, 1e10)


def _unit(activation: Activation, size: int) -> float:
    """Levels per unit of the accumulator, about: the slope of the activation where it rises."""
    wide = torch.full((1, size), 2.0**40, dtype=torch.float64)
    first, last = activation.split_point(-wide, -wide, wide), activation.split_point(wide, -wide, wide)
    rise = activation.evaluate(last) - activation.evaluate(first)
    slope = rise / (last - first).clamp(min=1)
    usable = slope[torch.isfinite(slope) & (slope > 0)]
    return float(usable.median()) if usable.numel() else 1.0
