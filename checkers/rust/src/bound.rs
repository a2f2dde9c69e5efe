//! Cells, rules for ranges, and the bound, in exact arithmetic; ends of ranges are floats, rounded outward.

use crate::network::{Network, Node};
use crate::number::{Big, Dyadic};
use crate::pairs::Pairs;
use std::collections::BTreeMap;

/// A box with a range for the operand of every ReLU.
#[derive(Clone)]
pub struct Cell {
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub low: Vec<Vec<f64>>,
    pub high: Vec<Vec<f64>>,
}

impl Cell {
    pub fn is_empty(&self) -> bool {
        let crossed = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(x, y)| x > y);
        crossed(&self.lower, &self.upper) || self.low.iter().zip(&self.high).any(|(a, b)| crossed(a, b))
    }
}

/// What a row says of features: by ReLU and feature, the slope and what is added; and the numbers of its sets of planes and of pairs,
/// 0 for none.
#[derive(Default)]
pub struct Row {
    pub flat: bool,
    pub planes: usize,
    pub pairs: usize,
    pub features: BTreeMap<(usize, usize), (f64, f64)>,
}

/// `sum of coefficients . values + constant`, by node; all of it is `scale` times what rows are about.
pub struct Objective {
    pub coefficients: BTreeMap<usize, Vec<Dyadic>>,
    pub constant: Dyadic,
    pub scale: f64,
}

/// `relu(a) <= sum of columns . values + offset`; a column is a node, a feature of it, and what that is multiplied with, times
/// `2^exponent`.
pub struct Plane {
    pub columns: Vec<(usize, usize, i64)>,
    pub exponent: i64,
    pub offset: Dyadic,
}

impl Plane {
    /// The columns with the numbers themselves.
    fn each(&self) -> impl Iterator<Item = (usize, usize, Dyadic)> + '_ {
        self.columns.iter().map(|(node, feature, m)| (*node, *feature, Dyadic::whole(Big::from(*m)).times_power(-self.exponent)))
    }
}

/// A set of planes, by ReLU and feature.
pub type Planes = BTreeMap<(usize, usize), Plane>;

/// What a bound has besides single features: the sets that a row names.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    pub planes: Option<&'a Planes>,
    pub pairs: Option<&'a Pairs>,
}

type Interval = (Dyadic, Dyadic);

fn nearby(value: &Dyadic) -> f64 {
    value.above()
}

/// Whether a range reaches farther above 0 than below, by more than rounding makes of a tie.
fn leans(low: f64, high: f64) -> bool {
    low * (1.0 + 2f64.powi(-30)) + high * (1.0 - 2f64.powi(-30)) > 0.0
}

fn plus_relu(value: f64) -> f64 {
    if value > 0.0 { value } else { 0.0 }
}

/// An affine node's value from intervals of its operands.
fn affine(node: &Node, values: &[Vec<Interval>]) -> Vec<Interval> {
    let scaled = |c: &Dyadic, x: &Interval| -> Interval {
        let (a, b) = (c.mul(&x.0), c.mul(&x.1));
        if c.is_negative() { (b, a) } else { (a, b) }
    };
    let sum = |x: Interval, y: Interval| (x.0.add(&y.0), x.1.add(&y.1));
    match node {
        Node::Dense { of, weight, bias } => {
            let mut out: Vec<Interval> = bias.iter().map(|b| (b.clone(), b.clone())).collect();
            for (x, row) in values[*of].iter().zip(weight) {
                for (c, to) in row.iter().zip(out.iter_mut()) {
                    if !c.is_zero() {
                        *to = sum(std::mem::take(to), scaled(c, x));
                    }
                }
            }
            out
        }
        Node::Shift { of, scale, bias } => {
            values[*of].iter().zip(bias).map(|(x, b)| sum(scaled(scale, x), (b.clone(), b.clone()))).collect()
        }
        Node::Sum { of, sign } => values[of[0]].iter().zip(&values[of[1]]).map(|(x, y)| sum(x.clone(), scaled(sign, y))).collect(),
        Node::Input | Node::Relu { .. } => Vec::new(),
    }
}

/// What a ReLU hands on of a feature with the coefficient `v`. What is added is a multiplier of the constraints as rows know them, and
/// so larger with the objective; but of an open feature of a pair with `v >= 0` it is a part of the slope, which is multiplied with `v`.
fn multiplier(row: &Row, at: (usize, usize), (low, high): (f64, f64), v: f64, scale: f64, is_paired: bool) -> f64 {
    let given = row.features.get(&at);
    let added = given.map_or(0.0, |(_, added)| *added);
    if row.flat {
        return added * scale;
    }
    let is_open = low < 0.0 && high > 0.0;
    let slope = if low >= 0.0 {
        1.0
    } else if high <= 0.0 {
        0.0
    } else if v >= 0.0 {
        high / (high - low)
    } else {
        given.map_or(if leans(low, high) { 1.0 } else { 0.0 }, |(slope, _)| *slope)
    };
    match (is_paired && is_open, v >= 0.0) {
        (true, true) => (slope + added) * v,
        (true, false) => slope * v,
        (false, _) => slope * v + added * scale,
    }
}

pub struct Evaluation {
    pub network: Network,
}

/// `center + slopes . t +- radius`
struct Form {
    center: Dyadic,
    slopes: Vec<Dyadic>,
    radius: Dyadic,
}

impl Form {
    fn scaled(&self, c: &Dyadic) -> Form {
        let slopes = self.slopes.iter().map(|s| s.mul(c)).collect();
        Form { center: self.center.mul(c), slopes, radius: self.radius.mul(&c.abs()) }
    }

    fn add(&mut self, other: &Form) {
        self.center = self.center.add(&other.center);
        for (mine, more) in self.slopes.iter_mut().zip(&other.slopes) {
            *mine = mine.add(more);
        }
        self.radius = self.radius.add(&other.radius);
    }

    fn reach(&self) -> Dyadic {
        self.slopes.iter().fold(self.radius.clone(), |sum, s| sum.add(&s.abs()))
    }
}

impl Evaluation {
    pub fn root(&self, lower: Vec<f64>, upper: Vec<f64>) -> Result<Cell, String> {
        let ends = |x: f64| self.network.relus.iter().map(|at| vec![x; self.network.sizes[*at]]).collect::<Vec<_>>();
        let cell = Cell { lower, upper, low: ends(f64::NEG_INFINITY), high: ends(f64::INFINITY) };
        self.derive(&cell, 1)
    }

    /// The cell with the ranges that a rule leaves.
    pub fn derive(&self, cell: &Cell, rule: i64) -> Result<Cell, String> {
        let mut cell = if rule == 2 || rule == 4 { self.forms(cell)? } else { cell.clone() };
        let crown = rule == 3 || rule == 4;
        let mut values: Vec<Vec<Interval>> = Vec::new();
        let mut curved = Vec::new();
        let exact = |a: f64, b: f64| -> Result<Interval, String> { Ok((Dyadic::of(a)?, Dyadic::of(b)?)) };
        for (at, node) in self.network.nodes.iter().enumerate() {
            curved.push(crate::network::operands(node).iter().any(|of| curved[*of] || matches!(self.network.nodes[*of], Node::Relu { .. })));
            match node {
                Node::Input => {
                    let pairs = cell.lower.iter().zip(&cell.upper);
                    values.push(pairs.map(|(a, b)| exact(*a, *b)).collect::<Result<_, _>>()?);
                }
                Node::Relu { of } => {
                    let k = self.network.relus.iter().position(|mine| *mine == at).ok_or("a ReLU without a number")?;
                    for (j, (low, high)) in values[*of].iter().enumerate() {
                        cell.low[k][j] = cell.low[k][j].max(low.below());
                        cell.high[k][j] = cell.high[k][j].min(high.above());
                    }
                    if crown && curved[*of] {
                        self.crown(&mut cell, k, *of)?;
                    }
                    let pairs = cell.low[k].iter().zip(&cell.high[k]);
                    values.push(pairs.map(|(a, b)| exact(plus_relu(*a), plus_relu(*b))).collect::<Result<_, _>>()?);
                }
                _ => values.push(affine(node, &values)),
            }
        }
        Ok(cell)
    }

    fn crown(&self, cell: &mut Cell, k: usize, of: usize) -> Result<(), String> {
        let before = cell.clone();
        for j in 0..cell.low[k].len() {
            let (low, high) = (before.low[k][j], before.high[k][j]);
            for turn in 0..2 {
                if !(cell.low[k][j] < 0.0 && cell.high[k][j] > 0.0) {
                    continue;
                }
                let up = !leans(low, high) == (turn == 0);
                let mut c = vec![Dyadic::zero(); self.network.sizes[of]];
                c[j] = Dyadic::of(if up { 1.0 } else { -1.0 })?;
                let objective = Objective { coefficients: [(of, c)].into(), constant: Dyadic::zero(), scale: 1.0 };
                let value = self.bound(&before, &objective, &Row::default(), Beside::default())?.above();
                if up {
                    cell.high[k][j] = cell.high[k][j].min(value);
                } else {
                    cell.low[k][j] = cell.low[k][j].max(-value);
                }
            }
        }
        Ok(())
    }

    fn forms(&self, cell: &Cell) -> Result<Cell, String> {
        let mut cell = cell.clone();
        let inputs = self.network.sizes[0];
        let mut forms: Vec<Vec<Form>> = Vec::new();
        let mut k = 0;
        let constant = |c: &Dyadic| Form { center: c.clone(), slopes: vec![Dyadic::zero(); inputs], radius: Dyadic::zero() };
        for node in &self.network.nodes {
            let made = match node {
                Node::Input => {
                    let mut made = Vec::new();
                    for i in 0..inputs {
                        let (low, high) = (Dyadic::of(cell.lower[i])?, Dyadic::of(cell.upper[i])?);
                        let mut form = constant(&low.add(&high).half());
                        form.slopes[i] = high.sub(&low).half();
                        made.push(form);
                    }
                    made
                }
                Node::Dense { of, weight, bias } => {
                    let mut out: Vec<Form> = bias.iter().map(&constant).collect();
                    for (x, row) in forms[*of].iter().zip(weight) {
                        for (c, to) in row.iter().zip(out.iter_mut()) {
                            if !c.is_zero() {
                                to.add(&x.scaled(c));
                            }
                        }
                    }
                    out
                }
                Node::Shift { of, scale, bias } => {
                    let mut out: Vec<Form> = forms[*of].iter().map(|x| x.scaled(scale)).collect();
                    out.iter_mut().zip(bias).for_each(|(to, b)| to.center = to.center.add(b));
                    out
                }
                Node::Sum { of, sign } => {
                    let mut out: Vec<Form> = forms[of[1]].iter().map(|x| x.scaled(sign)).collect();
                    out.iter_mut().zip(&forms[of[0]]).for_each(|(to, x)| to.add(x));
                    out
                }
                Node::Relu { of } => {
                    let mut out = Vec::new();
                    for (j, x) in forms[*of].iter().enumerate() {
                        let reach = x.reach();
                        let low = cell.low[k][j].max(x.center.sub(&reach).below());
                        let high = cell.high[k][j].min(x.center.add(&reach).above());
                        (cell.low[k][j], cell.high[k][j]) = (low, high);
                        let is_open = low < 0.0 && high > 0.0;
                        let slope = if is_open { (high / (high - low)).clamp(0.0, 1.0) } else if low >= 0.0 { 1.0 } else { 0.0 };
                        let slope = Dyadic::of(slope)?;
                        let mut form = x.scaled(&slope);
                        if is_open {
                            let left = slope.mul(&Dyadic::of(low)?).neg();
                            let right = Dyadic::of(1.0)?.sub(&slope).mul(&Dyadic::of(high)?);
                            let half = left.max(right).half();
                            form.center = form.center.add(&half);
                            form.radius = form.radius.add(&half);
                        }
                        out.push(form);
                    }
                    k += 1;
                    out
                }
            };
            forms.push(made);
        }
        Ok(cell)
    }

    /// The offset of a plane above a feature of a ReLU, by the prices of the ends of its range: the right and the left one.
    pub fn offset(&self, cell: &Cell, at: (usize, usize), plane: &Plane, prices: [Dyadic; 2]) -> Result<Dyadic, String> {
        let ((k, j), network) = (at, &self.network);
        let [right, left] = prices;
        let flat = Row { flat: true, ..Row::default() };
        let most = |c: &Dyadic, price: &Dyadic, end: f64| -> Result<Dyadic, String> {
            let mut coefficients: BTreeMap<usize, Vec<Dyadic>> = BTreeMap::new();
            let mut add = |node: usize, feature: usize, more: &Dyadic| {
                let c = coefficients.entry(node).or_insert_with(|| vec![Dyadic::zero(); network.sizes[node]]);
                c[feature] = c[feature].add(more);
            };
            add(crate::network::operands(&network.nodes[network.relus[k]])[0], j, c);
            for (node, feature, m) in plane.each() {
                add(node, feature, &m.neg());
            }
            // An end without a price may be infinite.
            let constant = if price.is_zero() { Dyadic::zero() } else { price.mul(&Dyadic::of(end)?) };
            self.bound(cell, &Objective { coefficients, constant, scale: 1.0 }, &flat, Beside::default())
        };
        let above = most(&Dyadic::of(1.0)?.sub(&right), &right, cell.high[k][j])?;
        Ok(above.max(most(&left, &left, -cell.low[k][j])?))
    }

    /// The value of the bound, exactly.
    pub fn bound(&self, cell: &Cell, objective: &Objective, row: &Row, beside: Beside) -> Result<Dyadic, String> {
        let network = &self.network;
        // No point of the cell is in the octagon of a pair without corners, whatever is asked.
        if beside.pairs.into_iter().flatten().any(|(&(k, j), pair)| pair.kept(cell, k, j).next().is_none()) {
            return Dyadic::of(-1.0);
        }
        let mut pending: Vec<Option<Vec<Dyadic>>> = vec![None; network.nodes.len()];
        let mut value = objective.constant.clone();
        fn hand(pending: &mut [Option<Vec<Dyadic>>], to: usize, v: Vec<Dyadic>) {
            pending[to] = Some(match pending[to].take() {
                None => v,
                Some(known) => known.iter().zip(&v).map(|(a, b)| a.add(b)).collect(),
            });
        }
        let mut k = network.relus.len();
        for at in (0..network.nodes.len()).rev() {
            if let Some(c) = objective.coefficients.get(&at) {
                hand(&mut pending, at, c.clone());
            }
            match &network.nodes[at] {
                Node::Input => {
                    for (i, c) in pending[0].take().unwrap_or_default().iter().enumerate() {
                        let end = if c.is_negative() { cell.lower[i] } else { cell.upper[i] };
                        value = value.add(&c.mul(&Dyadic::of(end)?));
                    }
                }
                Node::Relu { of } => {
                    k -= 1;
                    let touched = row.features.range((k, 0)..(k + 1, 0)).any(|(_, (_, added))| *added != 0.0);
                    let mut v = match pending[at].take() {
                        Some(v) => v,
                        None if touched => vec![Dyadic::zero(); network.sizes[at]],
                        None => continue,
                    };
                    for (&(_, j), plane) in beside.planes.into_iter().flat_map(|set| set.range((k, 0)..(k + 1, 0))) {
                        let is_open = cell.low[k][j] < 0.0 && cell.high[k][j] > 0.0;
                        if !is_open || v[j].is_negative() || v[j].is_zero() {
                            continue;
                        }
                        let all = std::mem::take(&mut v[j]);
                        value = value.add(&all.mul(&plane.offset));
                        for (node, feature, m) in plane.each() {
                            let to = pending[node].get_or_insert_with(|| vec![Dyadic::zero(); network.sizes[node]]);
                            to[feature] = to[feature].add(&all.mul(&m));
                        }
                    }
                    let pairs: Vec<_> = beside.pairs.into_iter().flat_map(|set| set.range((k, 0)..(k + 1, 0))).collect();
                    let mut is_paired = vec![false; v.len()];
                    for (&(_, j), pair) in &pairs {
                        (is_paired[j], is_paired[pair.second]) = (true, true);
                    }
                    let mut s = Vec::with_capacity(v.len());
                    for (j, v) in v.iter().enumerate() {
                        let (low, high) = (cell.low[k][j], cell.high[k][j]);
                        let multiplier = Dyadic::of(multiplier(row, (k, j), (low, high), nearby(v), objective.scale, is_paired[j]))?;
                        if !is_paired[j] {
                            let at_end = |a: f64| -> Result<Dyadic, String> {
                                Ok(v.mul(&Dyadic::of(plus_relu(a))?).sub(&multiplier.mul(&Dyadic::of(a)?)))
                            };
                            let mut best = at_end(low)?.max(at_end(high)?);
                            if low < 0.0 && high > 0.0 {
                                best = best.max(Dyadic::zero());
                            }
                            value = value.add(&best);
                        }
                        s.push(multiplier);
                    }
                    for (&(_, j), pair) in pairs {
                        let share = pair.share(cell, k, j, [&v[j], &v[pair.second]], [&s[j], &s[pair.second]]);
                        value = value.add(&share.ok_or("a pair without a corner")?);
                    }
                    hand(&mut pending, *of, s);
                }
                node => {
                    let Some(v) = pending[at].take() else { continue };
                    let dot = |a: &[Dyadic], b: &[Dyadic]| {
                        a.iter().zip(b).filter(|(x, y)| !x.is_zero() && !y.is_zero()).fold(Dyadic::zero(), |sum, (x, y)| sum.add(&x.mul(y)))
                    };
                    match node {
                        Node::Dense { of, weight, bias } => {
                            value = value.add(&dot(&v, bias));
                            let back = weight.iter().map(|row| dot(row, &v)).collect();
                            hand(&mut pending, *of, back);
                        }
                        Node::Shift { of, scale, bias } => {
                            value = value.add(&dot(&v, bias));
                            let back = v.iter().map(|x| x.mul(scale)).collect();
                            hand(&mut pending, *of, back);
                        }
                        Node::Sum { of, sign } => {
                            let back = v.iter().map(|x| x.mul(sign)).collect();
                            hand(&mut pending, of[1], back);
                            hand(&mut pending, of[0], v);
                        }
                        Node::Input | Node::Relu { .. } => {}
                    }
                }
            }
        }
        Ok(value)
    }
}
