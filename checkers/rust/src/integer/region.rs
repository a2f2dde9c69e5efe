//! Regions and their closure.

use crate::integer::network::{Network, Node, Whole};

/// Farther than any value or end.
pub const FAR: Whole = 1 << 100;

#[derive(Clone)]
pub struct Region {
    pub lower: Vec<Whole>,
    pub upper: Vec<Whole>,
    /// of the operand of every activation
    pub low: Vec<Vec<Whole>>,
    pub high: Vec<Vec<Whole>>,
}

/// Constraints `rows . y >= right`, and of the order form `(p, q, m)`.
pub struct Case {
    pub rows: Vec<Vec<Whole>>,
    pub right: Vec<Whole>,
    pub order: Option<(usize, usize, Whole)>,
}

impl Case {
    pub fn is_met(&self, y: &[Whole]) -> bool {
        self.rows.iter().zip(&self.right).all(|(row, right)| row.iter().zip(y).map(|(c, y)| c * y).sum::<Whole>() >= *right)
    }
}

impl Region {
    /// The box with the ranges of intervals.
    pub fn whole(network: &Network, lower: Vec<Whole>, upper: Vec<Whole>) -> Region {
        let ends = |end: Whole| network.stairs.iter().map(|at| vec![end; network.sizes[*at]]).collect::<Vec<_>>();
        let mut region = Region { lower, upper, low: ends(-FAR), high: ends(FAR) };
        region.propagate(network);
        region
    }

    pub fn is_empty(&self) -> bool {
        let pairs = self.low.iter().flatten().zip(self.high.iter().flatten());
        self.lower.iter().zip(&self.upper).chain(pairs).any(|(low, high)| low > high)
    }

    /// The ends of a range, or of an input where the activation is 0.
    pub fn ends(&mut self, activation: usize, feature: usize) -> Option<(&mut Whole, &mut Whole)> {
        let (low, high) = match activation {
            0 => (&mut self.lower, &mut self.upper),
            k => (self.low.get_mut(k - 1)?, self.high.get_mut(k - 1)?),
        };
        low.get_mut(feature).zip(high.get_mut(feature))
    }

    pub fn propagate(&mut self, network: &Network) {
        self.intervals(network);
    }

    /// Ranges are intersected with what follows from the box; the interval of every output.
    pub fn intervals(&mut self, network: &Network) -> Vec<(Whole, Whole)> {
        let mut values: Vec<Vec<(Whole, Whole)>> = Vec::new();
        let scaled = |w: Whole, x: (Whole, Whole)| if w < 0 { (w * x.1, w * x.0) } else { (w * x.0, w * x.1) };
        let mut k = 0;
        for node in &network.nodes {
            let made = match node {
                Node::Input => self.lower.iter().copied().zip(self.upper.iter().copied()).collect(),
                Node::Dense { of, weight, bias } => {
                    let mut out: Vec<(Whole, Whole)> = bias.iter().map(|b| (*b, *b)).collect();
                    for (x, row) in values[*of].iter().zip(weight) {
                        for (to, w) in out.iter_mut().zip(row) {
                            let part = scaled(*w, *x);
                            *to = (to.0 + part.0, to.1 + part.1);
                        }
                    }
                    out
                }
                Node::Scale { of, factor, bias } => {
                    values[*of].iter().zip(bias).map(|(x, b)| (scaled(*factor, *x).0 + b, scaled(*factor, *x).1 + b)).collect()
                }
                Node::Stairs { of, stairs } => {
                    for (j, (low, high)) in values[*of].iter().enumerate() {
                        self.low[k][j] = self.low[k][j].max(*low);
                        self.high[k][j] = self.high[k][j].min(*high);
                    }
                    k += 1;
                    self.low[k - 1].iter().zip(&self.high[k - 1]).map(|(l, u)| (stairs.value(*l), stairs.value(*u))).collect()
                }
            };
            values.push(made);
        }
        values.pop().unwrap_or_default()
    }

    pub fn close(&mut self, network: &Network, case: &Case) {
        for _ in 0..2 {
            if let Some((p, q, m)) = case.order {
                let (stairs, last) = (network.staircase(network.stairs.len() - 1), network.stairs.len() - 1);
                let threshold = |i: Whole| match i {
                    i if i <= 0 => -FAR,
                    i => stairs.thresholds.get(i as usize - 1).copied().unwrap_or(FAR),
                };
                let (old_p, old_q) = (self.high[last][p], self.low[last][q]);
                let high = threshold(stairs.level(old_p) as Whole - m + 1) - 1;
                let low = threshold(stairs.level(old_q) as Whole + m);
                self.high[last][q] = self.high[last][q].min(high);
                self.low[last][p] = self.low[last][p].max(low);
            }
            if self.is_empty() {
                return;
            }
            self.propagate(network);
            if self.is_empty() {
                return;
            }
        }
    }
}
