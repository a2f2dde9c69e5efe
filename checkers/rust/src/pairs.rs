//! Pairs of a ReLU's features: the corners of what their ranges, their sum and their difference leave.

use crate::bound::Cell;
use crate::number::{Big, Dyadic};
use std::collections::BTreeMap;

/// How far ranges and ends are from 0, in units.
pub const FARTHEST: i64 = 1 << 40;

/// Corners are in units of `2^-(exponent + 1)`, in which all of them are whole.
pub struct Pair {
    pub second: usize,
    pub exponent: i64,
    pub corners: Vec<(i64, i64)>,
}

/// A set of pairs, by ReLU and first feature.
pub type Pairs = BTreeMap<(usize, usize), Pair>;

/// A range rounded outward to whole units.
pub fn in_units(low: f64, high: f64, exponent: i64) -> Result<(i64, i64), String> {
    let unit = 2f64.powi(exponent as i32);
    let (low, high) = ((low * unit).floor(), (high * unit).ceil());
    let far = FARTHEST as f64;
    // What is not a number compares as false.
    if low.abs() <= far && high.abs() <= far {
        return Ok((low as i64, high as i64));
    }
    Err("a pair has a range that reaches too far".into())
}

/// Points `(a, b)` at which two lines meet, in half units: of the octagon that is left of two ranges where `a + b`, `-a - b`, `a - b`
/// and `b - a` are at most the ends, of which None is what ranges say. All numbers given are whole units.
pub fn corners(a: (i64, i64), b: (i64, i64), ends: [Option<i64>; 4]) -> Vec<(i64, i64)> {
    let ranges = [a.1 + b.1, -a.0 - b.0, a.1 - b.0, b.1 - a.0];
    let mut least = [0; 4];
    for (to, (range, end)) in least.iter_mut().zip(ranges.iter().zip(ends)) {
        *to = 2 * end.map_or(*range, |end| end.min(*range));
    }
    let ([sum_high, sum_low, difference_high, difference_low], (a, b)) = (least, ((2 * a.0, 2 * a.1), (2 * b.0, 2 * b.1)));
    let (sums, differences) = ([-sum_low, sum_high], [-difference_low, difference_high]);
    let (of_a, of_b) = ([a.0, a.1, 0], [b.0, b.1, 0]);
    let mut found = Vec::new();
    for x in of_a {
        found.extend(of_b.map(|y| (x, y)));
        found.extend(sums.map(|sum| (x, sum - x)));
        found.extend(differences.map(|difference| (x, x - difference)));
    }
    for y in of_b {
        found.extend(sums.map(|sum| (sum - y, y)));
        found.extend(differences.map(|difference| (difference + y, y)));
    }
    for sum in sums {
        found.extend(differences.map(|difference| ((sum + difference) / 2, (sum - difference) / 2)));
    }
    let is_within = |low: i64, x: i64, high: i64| low <= x && x <= high;
    found.retain(|(x, y)| {
        is_within(a.0, *x, a.1)
            && is_within(b.0, *y, b.1)
            && is_within(sums[0], x + y, sums[1])
            && is_within(differences[0], x - y, differences[1])
    });
    found.sort();
    found.dedup();
    found
}

impl Pair {
    /// The corners where both features have the signs that their ranges in a cell say.
    pub fn kept(&self, cell: &Cell, k: usize, first: usize) -> impl Iterator<Item = &(i64, i64)> {
        let signs = |j: usize| (cell.low[k][j] >= 0.0, cell.high[k][j] <= 0.0);
        let (a, b) = (signs(first), signs(self.second));
        let agrees = |x: i64, (above, below): (bool, bool)| !(above && x < 0) && !(below && x > 0);
        self.corners.iter().filter(move |(x, y)| agrees(*x, a) && agrees(*y, b))
    }

    /// What both features have in a bound: coefficients, and multipliers, of the first and of the second. None without corners.
    pub fn share(&self, cell: &Cell, k: usize, first: usize, v: [&Dyadic; 2], s: [&Dyadic; 2]) -> Option<Dyadic> {
        let number = |units: i64| Dyadic::whole(Big::from(units)).times_power(-self.exponent - 1);
        let one = |x: i64, v: &Dyadic, s: &Dyadic| v.mul(&number(x.max(0))).sub(&s.mul(&number(x)));
        self.kept(cell, k, first).map(|(x, y)| one(*x, v[0], s[0]).add(&one(*y, v[1], s[1]))).reduce(Dyadic::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest of a linear function over an octagon, by trying all points of a finer grid.
    fn largest(a: (i64, i64), b: (i64, i64), ends: [i64; 4], value: impl Fn(i64, i64) -> i64) -> Option<i64> {
        let points = (2 * a.0..=2 * a.1).flat_map(|x| (2 * b.0..=2 * b.1).map(move |y| (x, y)));
        let held = points.filter(|(x, y)| [x + y, -x - y, x - y, y - x].iter().zip(ends).all(|(form, end)| *form <= 2 * end));
        held.map(|(x, y)| value(x, y)).max()
    }

    #[test]
    fn corners_are_where_linear_pieces_are_largest() {
        let range = |from: i64, step: i64| (from, from + step);
        for number in 0..4000i64 {
            let (a, b) = (range(number % 9 - 5, number % 4), range(number % 7 - 4, number % 5));
            let ends = [1, 3, 11, 17].map(|by| (number / by) % 13 - 4);
            let found = corners(a, b, ends.map(Some));
            for weights in [[1, 0, 0, 0], [-1, 0, 0, 1], [0, 3, -1, 2], [2, 1, -3, -3], [-2, 3, 1, -1]] {
                let value = |x: i64, y: i64| weights[0] * x.max(0) + weights[1] * y.max(0) + weights[2] * x + weights[3] * y;
                assert_eq!(found.iter().map(|(x, y)| value(*x, *y)).max(), largest(a, b, ends, value), "{a:?} {b:?} {ends:?}");
            }
        }
    }

    #[test]
    fn ranges_are_rounded_outward() {
        assert_eq!(in_units(-0.3, 0.3, 1), Ok((-1, 1)));
        assert_eq!(in_units(0.5, 1.0, 1), Ok((1, 2)));
        assert!(in_units(f64::NEG_INFINITY, 0.0, 0).is_err());
        assert!(in_units(-1.0, 1.0, 40).is_ok() && in_units(-1.0, 1.5, 40).is_err());
    }
}
