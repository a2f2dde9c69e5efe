//! What a certificate has to prove: stages, lemmas, planes, pairs, trees.

use crate::bound::{Beside, Cell, Evaluation, Objective, Plane, Planes, Row};
use crate::file::Certificate;
use crate::number::{Big, Dyadic};
use crate::pairs::{FARTHEST, Pair, Pairs, corners, in_units};
use crate::property::{Asked, Whole, whole};
use std::collections::{BTreeMap, BTreeSet};

struct Taken<'a> {
    certificate: &'a Certificate,
    at: BTreeMap<&'static str, usize>,
}

impl<'a> Taken<'a> {
    fn take(&mut self, name: &'static str, count: usize) -> Result<&'a [i64], String> {
        let at = self.at.entry(name).or_insert(0);
        let found = self.certificate.array(name).get(*at..*at + count).ok_or(format!("array '{name}' ends early"))?;
        *at += count;
        Ok(found)
    }

    fn one(&mut self, name: &'static str) -> Result<i64, String> {
        Ok(self.take(name, 1)?[0])
    }

    /// Whether nothing is left of arrays.
    fn all(&self, names: &[&'static str]) -> Result<(), String> {
        match names.iter().find(|name| self.at.get(*name).copied().unwrap_or(0) != self.certificate.array(name).len()) {
            Some(name) => Err(format!("entries of array '{name}' belong to nothing")),
            None => Ok(()),
        }
    }

    fn bit(&mut self, name: &'static str) -> Result<bool, String> {
        match self.one(name)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(format!("an entry of array '{name}' is neither 0 nor 1")),
        }
    }

    fn index(&mut self, name: &'static str) -> Result<usize, String> {
        usize::try_from(self.one(name)?).map_err(|_| format!("an entry of array '{name}' is negative"))
    }
}

fn point(mantissa: i64, exponent: i64) -> Result<f64, String> {
    if !(0..=1100).contains(&exponent) {
        return Err("an exponent that is none".into());
    }
    // In two steps, each of which stays in range.
    Ok(mantissa as f64 * 2f64.powi(-(exponent / 2) as i32) * 2f64.powi(-(exponent - exponent / 2) as i32))
}

enum Goal {
    Case(Vec<Whole>),
    /// features of an operand's node, each with its sign, of which the sum is at most the end
    AtMost(usize, Vec<(usize, f64)>, f64),
}

struct Tree {
    kind: i64,
    rule: i64,
    owner: usize,
    child: usize,
    rows: Vec<usize>,
    split: (usize, usize, f64),
}

pub struct Checker<'a> {
    certificate: &'a Certificate,
    evaluation: Evaluation,
    rows: Vec<(i64, Vec<i64>, Row)>,
    /// those of the part that is being proved
    planes: Vec<Planes>,
    pairs: Vec<Pairs>,
    pub leaves: usize,
    pub splits: usize,
}

/// Which of parts of such sizes, and where in it, a number over all of them is.
fn place(sizes: &[usize], mut number: usize) -> Option<(usize, usize)> {
    for (part, size) in sizes.iter().enumerate() {
        if number < *size {
            return Some((part, number));
        }
        number -= size;
    }
    None
}

fn rows_of(certificate: &Certificate, sizes: &[usize]) -> Result<Vec<(i64, Vec<i64>, Row)>, String> {
    let exponents = certificate.array("row_exponent");
    let mu = certificate.array("row_mu");
    if mu.len() % exponents.len().max(1) != 0 {
        return Err("array 'row_mu' has another length".into());
    }
    if mu.iter().any(|m| *m < 0) {
        return Err("a row has a weight below 0".into());
    }
    let width = mu.len() / exponents.len().max(1);
    let mut taken = Taken { certificate, at: BTreeMap::new() };
    let mut rows = Vec::new();
    for (number, exponent) in exponents.iter().enumerate() {
        if !(0..=60).contains(exponent) {
            return Err("an exponent of a row that is none".into());
        }
        let mut set = |name: &'static str, counts: &str| -> Result<usize, String> {
            // Files of earlier versions say nothing of sets that they cannot have.
            let number = if certificate.has(name) { taken.index(name)? } else { 0 };
            if number > certificate.array(counts).len() {
                return Err(format!("an entry of array '{name}' is a set that is not there"));
            }
            Ok(number)
        };
        let (planes, pairs) = (set("row_planes", "plane_count")?, set("row_pairs", "pair_count")?);
        let mut row = Row { flat: taken.bit("row_base")?, planes, pairs, features: BTreeMap::new() };
        let count = taken.index("row_count")?;
        let mut before = -1;
        for _ in 0..count {
            let number = taken.one("row_feature")?;
            if number <= before {
                return Err("a row names features that are not in ascending order".into());
            }
            before = number;
            let (k, feature) = place(sizes, number as usize).ok_or("a row names a feature that is not there")?;
            let entry = (point(taken.one("row_slope")?, *exponent)?, point(taken.one("row_added")?, *exponent)?);
            row.features.insert((k, feature), entry);
        }
        rows.push((*exponent, mu[number * width..(number + 1) * width].to_vec(), row));
    }
    taken.all(&["row_base", "row_count", "row_feature", "row_slope", "row_added", "row_planes", "row_pairs"])?;
    Ok(rows)
}

impl<'a> Checker<'a> {
    pub fn new(certificate: &'a Certificate, evaluation: Evaluation) -> Result<Checker<'a>, String> {
        let network = &evaluation.network;
        let sizes: Vec<usize> = network.relus.iter().map(|at| network.sizes[*at]).collect();
        let rows = rows_of(certificate, &sizes)?;
        Ok(Checker { certificate, evaluation, rows, planes: Vec::new(), pairs: Vec::new(), leaves: 0, splits: 0 })
    }

    pub fn prove(&mut self, asked: &Asked) -> Result<(), String> {
        let certificate = self.certificate;
        let counts: Vec<i64> = asked.parts.iter().map(|part| part.cases.len() as i64).collect();
        if certificate.array("cases") != counts {
            return Err("it proves other cases than the property has".into());
        }
        let mut taken = Taken { certificate, at: BTreeMap::new() };
        for part in &asked.parts {
            let lower = part.lower.iter().map(|x| x.below()).collect();
            let upper = part.upper.iter().map(|x| x.above()).collect();
            let mut cell = self.evaluation.root(lower, upper)?;
            self.planes.clear();
            self.pairs.clear();
            for _ in 0..taken.index("stages")? {
                match taken.one("stage")? {
                    rule @ 1..=4 => cell = self.evaluation.derive(&cell, rule)?,
                    5 => cell = self.lemmas(&mut taken, &cell)?,
                    6 => {
                        let set = self.planes_of(&mut taken, &cell)?;
                        self.planes.push(set);
                    }
                    7 => {
                        let set = self.pairs_of(&mut taken, &cell)?;
                        self.pairs.push(set);
                    }
                    _ => return Err("a stage that is none".into()),
                }
            }
            let mut goals: Vec<Vec<Goal>> = Vec::new();
            for (tree, case) in taken.take("tree", part.cases.len())?.iter().zip(&part.cases) {
                let tree = usize::try_from(*tree).map_err(|_| "a tree that is none")?;
                if tree > goals.len() {
                    return Err("trees are not in order".into());
                }
                if tree == goals.len() {
                    goals.push(Vec::new());
                }
                goals[tree].push(Goal::Case(whole(case)));
            }
            self.forest(&mut taken, &cell, &goals)?;
        }
        taken.all(&[
            "stages", "stage", "tree", "kind", "rule", "leaf_row", "split_relu", "split_feature", "split_point",
            "split_exponent", "lemma_count", "lemma_relu", "lemma_feature", "lemma_side", "lemma_end", "lemma_exponent",
            "witness", "witness_limbs", "witness_two", "witness_ten", "plane_count", "plane_relu", "plane_feature",
            "plane_exponent", "plane_right", "plane_left", "plane_entries", "plane_step", "plane_value", "pair_count",
            "pair_relu", "pair_first", "pair_second", "pair_exponent", "pair_end", "pair_row",
        ])
    }

    /// The planes of a set, found on the cell of its stage.
    fn planes_of(&self, taken: &mut Taken, cell: &Cell) -> Result<Planes, String> {
        let network = &self.evaluation.network;
        // What columns are of: the inputs, then what ReLUs give.
        let nodes: Vec<usize> = std::iter::once(0).chain(network.relus.iter().copied()).collect();
        let sizes: Vec<usize> = nodes.iter().map(|at| network.sizes[*at]).collect();
        let (mut set, mut said) = (Planes::new(), 0);
        let count = taken.index("plane_count")?;
        if count == 0 {
            return Err("a set of no planes".into());
        }
        for _ in 0..count {
            let (relu, feature) = (taken.index("plane_relu")?, taken.index("plane_feature")?);
            if relu == 0 || relu >= sizes.len() || feature >= sizes[relu] {
                return Err("a plane is above a feature that is not there".into());
            }
            let at = (relu - 1, feature);
            if set.last_key_value().is_some_and(|(before, _)| *before >= at) {
                return Err("planes are not in ascending order".into());
            }
            let exponent = taken.one("plane_exponent")?;
            let prices = [taken.one("plane_right")?, taken.one("plane_left")?];
            if !(0..=40).contains(&exponent) || prices.iter().any(|price| !(0..=1 << 50).contains(price)) {
                return Err("an exponent or a price of a plane that is none".into());
            }
            let scaled = |value: i64| Dyadic::whole(Big::from(value)).times_power(-exponent);
            let (mut columns, mut next) = (Vec::new(), 0);
            for _ in 0..taken.index("plane_entries")? {
                let step = taken.index("plane_step")?;
                if !(1..=1 << 40).contains(&step) {
                    return Err("a step between columns that is none".into());
                }
                next += step;
                let (part, i) = place(&sizes[..relu], next - 1).ok_or("a plane over a column that is not before its ReLU")?;
                let value = taken.one("plane_value")?;
                if value != 0 {
                    columns.push((nodes[part], i, value));
                }
            }
            said += columns.len();
            if said > 1 << 22 {
                return Err("a set of planes of too many numbers".into());
            }
            let mut plane = Plane { columns, exponent, offset: Dyadic::zero() };
            let offset = self.evaluation.offset(cell, at, &plane, prices.map(scaled));
            plane.offset = offset.map_err(|problem| format!("a plane has {problem}"))?;
            set.insert(at, plane);
        }
        Ok(set)
    }

    /// The pairs of a set, on the cell of its stage.
    fn pairs_of(&self, taken: &mut Taken, cell: &Cell) -> Result<Pairs, String> {
        let (mut set, mut members) = (Pairs::new(), BTreeSet::new());
        let count = taken.index("pair_count")?;
        if count == 0 {
            return Err("a set of no pairs".into());
        }
        for _ in 0..count {
            let relu = taken.index("pair_relu")?;
            let (first, second) = (taken.index("pair_first")?, taken.index("pair_second")?);
            if relu == 0 || relu > cell.low.len() || second >= cell.low[relu - 1].len() || first >= second {
                return Err("a pair of features that are not there, or not in ascending order".into());
            }
            let k = relu - 1;
            if set.last_key_value().is_some_and(|(before, _)| *before >= (k, first)) {
                return Err("pairs are not in ascending order".into());
            }
            if !members.insert((k, first)) || !members.insert((k, second)) {
                return Err("a feature is in two pairs of a set".into());
            }
            let exponent = taken.one("pair_exponent")?;
            if !(0..=60).contains(&exponent) {
                return Err("an exponent of a pair that is none".into());
            }
            let network = &self.evaluation.network;
            let operand = crate::network::operands(&network.nodes[network.relus[k]])[0];
            let mut ends = [None; 4];
            for (end, (a, b)) in ends.iter_mut().zip([(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)]) {
                let (said, row) = (taken.one("pair_end")?, taken.index("pair_row")?);
                if said.abs() > FARTHEST {
                    return Err("an end of a pair that is too far from 0".into());
                }
                if row == 0 {
                    continue;
                }
                if row > self.rows.len() {
                    return Err("a row that is not there".into());
                }
                let goal = Goal::AtMost(operand, vec![(first, a), (second, b)], point(said, exponent)?);
                self.refute(cell, &goal, row - 1).map_err(|problem| format!("an end of a pair: {problem}"))?;
                *end = Some(said);
            }
            let range = |j: usize| in_units(cell.low[k][j], cell.high[k][j], exponent);
            let corners = corners(range(first)?, range(second)?, ends);
            if corners.is_empty() {
                return Err("a pair has no corner".into());
            }
            set.insert((k, first), Pair { second, exponent, corners });
        }
        Ok(set)
    }

    /// What a row has besides single features.
    fn beside(&self, row: &Row) -> Result<Beside<'_>, String> {
        fn named<'a, T>(sets: &'a [T], number: usize, what: &str) -> Result<Option<&'a T>, String> {
            match number {
                0 => Ok(None),
                number => Ok(Some(sets.get(number - 1).ok_or(format!("a row names a set of {what} that is not there"))?)),
            }
        }
        let beside = Beside { planes: named(&self.planes, row.planes, "planes")?, pairs: named(&self.pairs, row.pairs, "pairs")? };
        if let (Some(planes), Some(pairs)) = (beside.planes, beside.pairs) {
            let relus: BTreeSet<usize> = planes.keys().map(|(k, _)| *k).collect();
            if pairs.keys().any(|(k, _)| relus.contains(k)) {
                return Err("a row names planes and pairs of one ReLU".into());
            }
        }
        Ok(beside)
    }

    fn lemmas(&mut self, taken: &mut Taken, cell: &Cell) -> Result<Cell, String> {
        let (mut goals, mut cut) = (Vec::new(), cell.clone());
        for _ in 0..taken.index("lemma_count")? {
            let (relu, feature) = (taken.index("lemma_relu")?, taken.index("lemma_feature")?);
            let side = taken.bit("lemma_side")?;
            let end = point(taken.one("lemma_end")?, taken.one("lemma_exponent")?)?;
            if relu == 0 || relu > cell.low.len() || feature >= cell.low[relu - 1].len() {
                return Err("a lemma names a feature that is not there".into());
            }
            let network = &self.evaluation.network;
            let operand = crate::network::operands(&network.nodes[network.relus[relu - 1]])[0];
            let sign = if side { 1.0 } else { -1.0 };
            goals.push(vec![Goal::AtMost(operand, vec![(feature, sign)], sign * end)]);
            if side {
                cut.high[relu - 1][feature] = cut.high[relu - 1][feature].min(end);
            } else {
                cut.low[relu - 1][feature] = cut.low[relu - 1][feature].max(end);
            }
        }
        self.forest(taken, cell, &goals)?;
        Ok(cut)
    }

    fn forest(&mut self, taken: &mut Taken, root: &Cell, goals: &[Vec<Goal>]) -> Result<(), String> {
        let mut nodes: Vec<Tree> = Vec::new();
        let mut level: Vec<usize> = (0..goals.len()).collect();
        let mut levels = 0;
        while !level.is_empty() {
            levels += 1;
            if levels > 16384 {
                return Err("trees of too many levels".into());
            }
            let mut below = Vec::new();
            // Their children stand behind all of this level.
            let behind = nodes.len() + level.len();
            for owner in level {
                let kind = taken.one("kind")?;
                let child = behind + below.len();
                if kind == 2 {
                    below.extend([owner, owner]);
                }
                nodes.push(Tree { kind, rule: 0, owner, child, rows: Vec::new(), split: (0, 0, 0.0) });
            }
            level = below;
        }
        for node in nodes.iter_mut() {
            node.rule = taken.one("rule")?;
            if !(0..=4).contains(&node.rule) {
                return Err("a rule that is none".into());
            }
            match node.kind {
                0 => {}
                1 => {
                    for _ in &goals[node.owner] {
                        node.rows.push(taken.index("leaf_row")?);
                        if node.rows.last() >= Some(&self.rows.len()) {
                            return Err("a row that is not there".into());
                        }
                    }
                }
                2 => {
                    let (relu, feature) = (taken.index("split_relu")?, taken.index("split_feature")?);
                    node.split = (relu, feature, point(taken.one("split_point")?, taken.one("split_exponent")?)?);
                }
                _ => return Err("a node of no known kind".into()),
            }
        }
        let mut stack: Vec<(usize, Cell)> = (0..goals.len()).map(|at| (at, root.clone())).collect();
        while let Some((at, mut cell)) = stack.pop() {
            if cell.is_empty() {
                continue;
            }
            let node = &nodes[at];
            if node.rule > 0 {
                cell = self.evaluation.derive(&cell, node.rule)?;
            }
            if cell.is_empty() {
                continue;
            }
            match node.kind {
                0 => return Err(format!("node {at} is said to be empty and is not")),
                1 => {
                    for (goal, row) in goals[node.owner].iter().zip(&node.rows) {
                        self.leaves += 1;
                        self.refute(&cell, goal, *row).map_err(|problem| format!("leaf {at}: {problem}"))?;
                    }
                }
                _ => {
                    self.splits += 1;
                    let (relu, feature, t) = node.split;
                    let (mut lower, mut upper) = (cell.clone(), cell);
                    let (high, low) = if relu == 0 {
                        (&mut lower.upper, &mut upper.lower)
                    } else {
                        if relu > lower.high.len() {
                            return Err("a split names a ReLU that is not there".into());
                        }
                        (&mut lower.high[relu - 1], &mut upper.low[relu - 1])
                    };
                    let (high, low) = high.get_mut(feature).zip(low.get_mut(feature)).ok_or("a split names a feature that is not there")?;
                    *high = high.min(t);
                    *low = low.max(t);
                    stack.push((node.child, lower));
                    stack.push((node.child + 1, upper));
                }
            }
        }
        Ok(())
    }

    fn refute(&self, cell: &Cell, goal: &Goal, row: usize) -> Result<(), String> {
        let (exponent, mu, row) = self.rows.get(row).ok_or("a row that is not there")?;
        let beside = self.beside(row)?;
        let network = &self.evaluation.network;
        let last = network.nodes.len() - 1;
        let mut coefficients: BTreeMap<usize, Vec<Dyadic>> = BTreeMap::new();
        let mut at = |node: usize, feature: usize, more: &Dyadic| {
            let c = coefficients.entry(node).or_insert_with(|| vec![Dyadic::zero(); network.sizes[node]]);
            c[feature] = c[feature].add(more);
        };
        let (mut constant, mut strict, mut scale) = (Dyadic::zero(), false, 1.0);
        match goal {
            Goal::AtMost(node, terms, end) => {
                if mu.iter().any(|m| *m != 0) {
                    return Err("a row of a lemma or pair has weights".into());
                }
                for (feature, sign) in terms {
                    at(*node, *feature, &Dyadic::of(*sign)?);
                }
                constant = Dyadic::of(-end)?;
                strict = true;
            }
            Goal::Case(case) => {
                if mu.iter().skip(case.len()).any(|m| *m != 0) {
                    return Err("a row weighs constraints that are none of the case's".into());
                }
                // The objective is larger by what is left of the power of ten that makes constraints whole.
                scale = case.first().map_or(1.0, |c| c.scale);
                for (weight, constraint) in mu.iter().zip(case) {
                    if *weight == 0 {
                        continue;
                    }
                    let weight = Dyadic::whole(Big::from(*weight)).times_power(-exponent - constraint.power);
                    strict = strict || constraint.strict;
                    for ((is_output, i), c) in &constraint.terms {
                        at(if *is_output { last } else { 0 }, *i, &weight.mul(&Dyadic::whole(c.clone())));
                    }
                    constant = constant.sub(&weight.mul(&Dyadic::whole(constraint.threshold.clone())));
                }
            }
        }
        let value = self.evaluation.bound(cell, &Objective { coefficients, constant, scale }, row, beside)?;
        if value.is_negative() || (strict && value.is_zero()) {
            return Ok(());
        }
        Err(format!("its bound is {:e}, which is not below 0", value.above()))
    }
}
