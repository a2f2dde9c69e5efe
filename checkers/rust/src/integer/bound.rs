//! Multipliers and the bound, with prices: all of it times `2^p`.

use crate::integer::network::{Network, Node, Stairs, Whole};
use crate::integer::region::{Case, Region, FAR};

/// A row of multipliers: `mu`, `s` of every activation's features, and prices of the first activation's features by input.
pub struct Row {
    pub mu: Vec<Whole>,
    pub s: Vec<Vec<Whole>>,
    pub prices: Option<Vec<Vec<Whole>>>,
}

/// What a row says of a region.
pub enum Bound {
    /// no input is in it
    Empty,
    At(Whole),
    /// the row refutes nothing there
    None,
}

fn times(a: Whole, b: Whole) -> Result<Whole, String> {
    a.checked_mul(b).ok_or("numbers of a bound are too large".into())
}

fn plus(a: Whole, b: Whole) -> Result<Whole, String> {
    a.checked_add(b).ok_or("numbers of a bound are too large".into())
}

fn dot(a: &[Whole], b: &[Whole]) -> Result<Whole, String> {
    a.iter().zip(b).try_fold(0, |sum, (x, y)| plus(sum, times(*x, *y)?))
}

/// The flat pieces of a staircase on an interval: first and last argument, and the value.
fn pieces(stairs: &Stairs, low: Whole, high: Whole) -> impl Iterator<Item = (Whole, Whole, Whole)> + '_ {
    let (first, last) = (stairs.level(low), stairs.level(high));
    (first..=last).filter_map(move |level| {
        let start = if level == first { low } else { stairs.thresholds[level - 1] };
        let end = if level == last { high } else { stairs.thresholds[level] - 1 };
        (start <= end).then_some((start, end, stairs.base + level as Whole))
    })
}

/// `max { v f(a) - s a : low <= a <= high }`
fn phi(stairs: &Stairs, v: Whole, s: Whole, low: Whole, high: Whole) -> Result<Whole, String> {
    let mut best: Option<Whole> = None;
    for (start, end, value) in pieces(stairs, low, high) {
        let here = plus(times(v, value)?, -times(s, if s > 0 { start } else { end })?)?;
        best = Some(best.map_or(here, |best| best.max(here)));
    }
    best.ok_or("an empty range".into())
}

/// The difference of the order form; None for minus infinity, and of nothing `FAR`.
fn difference(stairs: &Stairs, m: Whole, low: Whole, high: Whole) -> Option<Whole> {
    let count = stairs.thresholds.len() as Whole;
    let mut least = FAR;
    for i in stairs.level(low) as Whole..=stairs.level(high) as Whole {
        if i + m > count {
            continue;
        }
        if i + m <= 0 {
            return None;
        }
        // T[i + 1] is infinite behind the last level.
        let after = stairs.thresholds.get(i as usize)?;
        least = least.min(stairs.thresholds[(i + m) as usize - 1] - after + 1);
    }
    Some(least)
}

/// The first activation's operand as `weight x + bias`, by feature.
pub fn first_layer(network: &Network) -> Result<(Vec<Vec<Whole>>, Vec<Whole>), String> {
    let at = network.stairs.first().ok_or("prices of a network without activations")? - 1;
    let inputs = network.sizes[0];
    let origin = vec![0; inputs];
    let bias = network.values(&origin).swap_remove(at);
    let mut weight = vec![vec![0; inputs]; bias.len()];
    for i in 0..inputs {
        let mut x = origin.clone();
        x[i] = 1;
        let image = network.values(&x).swap_remove(at);
        for (row, (image, bias)) in weight.iter_mut().zip(image.iter().zip(&bias)) {
            row[i] = image - bias;
        }
    }
    Ok((weight, bias))
}

pub struct Priced {
    pub weight: Vec<Vec<Whole>>,
    pub bias: Vec<Whole>,
}

impl Priced {
    /// `max { v f(a) - mu . (x - k) }` of a feature; None where no input gets there.
    fn phi(&self, stairs: &Stairs, j: usize, v: Whole, prices: &[Whole], region: &Region) -> Result<Option<Whole>, String> {
        let (mut least, mut cheap) = (self.bias[j], Vec::new());
        for (i, w) in self.weight[j].iter().enumerate() {
            least += w * if *w > 0 { region.lower[i] } else { region.upper[i] };
            cheap.push((prices[i], w.abs() * (region.upper[i] - region.lower[i])));
        }
        cheap.sort();
        let reach: Whole = cheap.iter().map(|(_, d)| d).sum();
        let best_at = least + cheap.iter().filter(|(price, _)| *price < 0).map(|(_, d)| d).sum::<Whole>();
        let (low, high) = (region.low[0][j].max(least), region.high[0][j].min(least + reach));
        if low > high {
            return Ok(None);
        }
        let mut best: Option<Whole> = None;
        for (start, end, value) in pieces(stairs, low, high) {
            let a = best_at.clamp(start, end);
            let (mut left, mut cost) = (a - least, 0);
            for (price, d) in &cheap {
                let part = left.min(*d);
                cost = plus(cost, times(*price, part)?)?;
                left -= part;
            }
            let here = plus(times(v, value)?, -cost)?;
            best = Some(best.map_or(here, |best| best.max(here)));
        }
        Ok(best)
    }

    /// What an input gains at most, by what it is handed and by all prices.
    fn input(&self, i: usize, v: Whole, prices: &[Vec<Whole>], region: &Region) -> Result<Whole, String> {
        let (mut slope, mut constant) = (v, 0);
        for (weight, prices) in self.weight.iter().zip(prices) {
            let mu = times(prices[i], weight[i])?;
            slope = plus(slope, mu)?;
            constant = plus(constant, times(mu, if weight[i] > 0 { region.lower[i] } else { region.upper[i] })?)?;
        }
        plus(times(slope, if slope > 0 { region.upper[i] } else { region.lower[i] })?, -constant)
    }
}

/// The bound of a row on a region that is not empty, for a case or, by None, for no case.
pub fn bound(network: &Network, priced: Option<&Priced>, region: &Region, case: Option<&Case>, row: &Row) -> Result<Bound, String> {
    let count = case.map_or(0, |case| case.rows.len());
    if row.mu.iter().any(|mu| *mu < 0) || row.mu.iter().skip(count).any(|mu| *mu != 0) {
        return Ok(Bound::None);
    }
    let last = network.nodes.len() - 1;
    let mut pending: Vec<Option<Vec<Whole>>> = vec![None; network.nodes.len()];
    let mut value: Whole = 0;
    let mut seed = None;
    match case.map(|case| (case, case.order)) {
        Some((_, Some((p, q, m)))) => {
            let top = network.stairs.len() - 1;
            let found = difference(network.staircase(top), m, region.low[top][q], region.high[top][q]);
            if found == Some(FAR) {
                return Ok(Bound::Empty);
            }
            if row.mu[0] != 0 {
                let Some(d) = found else { return Ok(Bound::None) };
                value = -times(row.mu[0], d)?;
                let mut v = vec![0; network.sizes[last - 1]];
                v[p] += row.mu[0];
                v[q] -= row.mu[0];
                seed = Some(v);
            }
        }
        Some((case, None)) => {
            let mut v = vec![0; network.sizes[last]];
            for ((weights, right), mu) in case.rows.iter().zip(&case.right).zip(&row.mu) {
                value = plus(value, -times(*mu, *right)?)?;
                for (to, c) in v.iter_mut().zip(weights) {
                    *to = plus(*to, times(*mu, *c)?)?;
                }
            }
            pending[last] = Some(v);
        }
        None => {}
    }
    let mut k = network.stairs.len();
    for at in (0..network.nodes.len()).rev() {
        match &network.nodes[at] {
            Node::Stairs { of, stairs } => {
                k -= 1;
                let v = pending[at].take().unwrap_or_else(|| vec![0; network.sizes[at]]);
                let prices = row.prices.as_ref().filter(|_| k == 0).zip(priced);
                for (j, v) in v.iter().enumerate() {
                    let part = match prices {
                        Some((prices, priced)) => match priced.phi(stairs, j, *v, &prices[j], region)? {
                            None => return Ok(Bound::Empty),
                            Some(part) => part,
                        },
                        None => phi(stairs, *v, row.s[k][j], region.low[k][j], region.high[k][j])?,
                    };
                    value = plus(value, part)?;
                }
                let mut handed = if prices.is_some() { vec![0; v.len()] } else { row.s[k].clone() };
                if at == last {
                    for (to, more) in handed.iter_mut().zip(seed.take().into_iter().flatten()) {
                        *to = plus(*to, more)?;
                    }
                }
                pending[*of] = Some(handed);
            }
            Node::Dense { of, weight, bias } => {
                let Some(v) = pending[at].take() else { continue };
                value = plus(value, dot(&v, bias)?)?;
                pending[*of] = Some(weight.iter().map(|row| dot(row, &v)).collect::<Result<_, _>>()?);
            }
            Node::Scale { of, factor, bias } => {
                let Some(v) = pending[at].take() else { continue };
                value = plus(value, dot(&v, bias)?)?;
                pending[*of] = Some(v.iter().map(|x| times(*x, *factor)).collect::<Result<_, _>>()?);
            }
            Node::Input => {
                let v = pending[0].take().unwrap_or_else(|| vec![0; network.sizes[0]]);
                for (i, v) in v.iter().enumerate() {
                    let part = match row.prices.as_ref().zip(priced) {
                        Some((prices, priced)) => priced.input(i, *v, prices, region)?,
                        None => times(*v, if *v > 0 { region.upper[i] } else { region.lower[i] })?,
                    };
                    value = plus(value, part)?;
                }
            }
        }
    }
    Ok(Bound::At(value))
}
