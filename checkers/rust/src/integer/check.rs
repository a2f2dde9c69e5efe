//! What a certificate about a network of integers has to prove: common cuts, trees, points; or its witness.

use crate::file::{Certificate, Stated};
use crate::integer::bound::{bound, first_layer, Bound, Priced, Row};
use crate::integer::network::{Network, Whole};
use crate::integer::region::{Case, Region};
use std::collections::BTreeMap;

/// Points of one node, and of all.
const POINTS: Whole = 4096;
const ALL_POINTS: Whole = 1 << 24;
const DEEPEST: usize = 1 << 14;
const MOST_CUTS: i64 = 1 << 20;

pub struct Checker<'a> {
    certificate: &'a Certificate,
    network: Network,
    lower: Vec<Whole>,
    upper: Vec<Whole>,
    cases: Vec<Case>,
    /// features that rows have multipliers of, by activation and feature
    kept: Vec<(usize, usize)>,
    /// multipliers of constraints that a row has
    height: usize,
    /// of rows that have prices, their place among those
    place: BTreeMap<usize, usize>,
    priced: Option<Priced>,
    points: Whole,
    /// whether the network takes the image for another class than the property says
    is_misclassified: bool,
    pub leaves: usize,
    pub cuts: usize,
}

fn wide(values: &[i64]) -> Vec<Whole> {
    values.iter().map(|x| *x as Whole).collect()
}

fn index(value: i64, end: usize) -> Result<usize, String> {
    usize::try_from(value).ok().filter(|at| *at < end).ok_or("an entry names what is not there".into())
}

/// A certificate that does not fit together or its network cannot be used; one that proves nothing is found by `prove`.
impl<'a> Checker<'a> {
    pub fn new(certificate: &'a Certificate, network: Network) -> Result<Checker<'a>, String> {
        let outputs = network.sizes[network.nodes.len() - 1];
        if (certificate.inputs, certificate.outputs) != (network.sizes[0], outputs) {
            return Err("is about a network of another size".into());
        }
        let mut checker = Checker {
            certificate, network, lower: Vec::new(), upper: Vec::new(), cases: Vec::new(), kept: Vec::new(), height: 0,
            place: BTreeMap::new(), priced: None, points: 0, is_misclassified: false, leaves: 0, cuts: 0,
        };
        checker.property()?;
        if certificate.claim == "unsat" {
            checker.sizes()?;
        }
        if certificate.claim == "unsat" && !checker.is_misclassified {
            checker.features()?;
            checker.forms()?;
            checker.multipliers()?;
        }
        Ok(checker)
    }

    fn exactly(&self, name: &str, count: usize) -> Result<&'a [i64], String> {
        let found = self.certificate.array(name);
        if found.len() != count {
            return Err(format!("has {} entries in array '{name}' where there must be {count}", found.len()));
        }
        Ok(found)
    }

    /// The box and the cases.
    fn property(&mut self) -> Result<(), String> {
        let (inputs, outputs) = (self.certificate.inputs, self.certificate.outputs);
        let (least, largest) = (self.network.least, self.network.largest);
        let proof = self.certificate.claim == "unsat";
        self.exactly("witness", if proof { 0 } else { inputs })?;
        match &self.certificate.stated {
            Stated::Robustness { label, radius } => {
                for name in ["lower", "upper", "coefficients", "threshold"] {
                    self.exactly(name, 0)?;
                }
                let image = self.class_of_image(*label)?;
                self.lower = image.iter().map(|x| (x - *radius as Whole).max(least)).collect();
                self.upper = image.iter().map(|x| (x + *radius as Whole).min(largest)).collect();
            }
            Stated::Class { label } => {
                for name in ["coefficients", "threshold"] {
                    self.exactly(name, 0)?;
                }
                self.class_of_image(*label)?;
                self.read_box()?;
            }
            Stated::Box { constraints } => {
                self.exactly("image", 0)?;
                let count: usize = constraints.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)).ok_or("has too many constraints")?;
                self.read_box()?;
                let right = wide(self.exactly("threshold", count)?);
                let rows = wide(self.exactly("coefficients", count.checked_mul(outputs).ok_or("has too many constraints")?)?);
                let mut at = 0;
                for height in constraints {
                    let own = at..at + height;
                    let rows = own.clone().map(|i| rows[i * outputs..(i + 1) * outputs].to_vec()).collect();
                    self.cases.push(Case { rows, right: right[own].to_vec(), order: None });
                    at += height;
                }
            }
            Stated::Real { .. } => return Err("is about a network of real numbers".into()),
        }
        let mut whole = Region::whole(&self.network, vec![least; inputs], vec![largest; inputs]);
        let ends = whole.intervals(&self.network);
        let most = ends.iter().map(|(low, high)| low.abs().max(high.abs())).max().unwrap_or(0);
        for (row, right) in self.cases.iter().flat_map(|case| case.rows.iter().zip(&case.right)) {
            let size: Whole = row.iter().map(|c| c.abs()).sum();
            if size * most + right.abs() >= 1 << 44 {
                return Err("states a constraint whose terms can reach 2^44".into());
            }
        }
        Ok(())
    }

    /// The image, whether it is of another class, and the cases: every other output against the label's.
    fn class_of_image(&mut self, label: usize) -> Result<Vec<Whole>, String> {
        let (outputs, least, largest) = (self.certificate.outputs, self.network.least, self.network.largest);
        let image = wide(self.exactly("image", self.certificate.inputs)?);
        if label >= outputs || image.iter().any(|x| !(least..=largest).contains(x)) {
            return Err("states an image or a label that the network does not have".into());
        }
        let y = self.network.values(&image).pop().unwrap_or_default();
        self.is_misclassified = (0..outputs).any(|k| if k < label { y[k] >= y[label] } else { y[k] > y[label] });
        for k in (0..outputs).filter(|k| *k != label) {
            let mut row = vec![0; outputs];
            (row[k], row[label]) = (1, -1);
            self.cases.push(Case { rows: vec![row], right: vec![Whole::from(k > label)], order: None });
        }
        Ok(image)
    }

    fn read_box(&mut self) -> Result<(), String> {
        let inputs = self.certificate.inputs;
        (self.lower, self.upper) = (wide(self.exactly("lower", inputs)?), wide(self.exactly("upper", inputs)?));
        let (least, largest) = (self.network.least, self.network.largest);
        let fits = self.lower.iter().zip(&self.upper).all(|(l, u)| least <= *l && l <= u && *u <= largest);
        if !fits {
            return Err("states a box that is empty, or leaves the range of inputs".into());
        }
        Ok(())
    }

    /// Arrays that fit together.
    fn sizes(&self) -> Result<(), String> {
        let of = |name: &str| self.certificate.array(name);
        let within = |name: &str, low: i64, high: i64| match of(name).iter().any(|x| *x < low || *x > high) {
            true => Err(format!("has an entry of array '{name}' that is none")),
            false => Ok(()),
        };
        let rows = of("row_exponent").len();
        within("form", 0, 1)?;
        within("row_exponent", 0, 48)?;
        within("common", 0, MOST_CUTS)?;
        within("kind", 0, 4)?;
        within("leaf_row", 0, rows as i64 - 1)?;
        within("cut_count", 0, MOST_CUTS)?;
        within("cut_activation", 1, self.network.stairs.len() as i64)?;
        within("cut_side", 0, 1)?;
        within("cut_row", 0, rows as i64 - 1)?;
        within("split_activation", 0, self.network.stairs.len() as i64)?;
        within("price_row", 0, rows as i64 - 1)?;
        within("price_input", 0, self.certificate.inputs as i64 - 1)?;
        if of("common").len() > DEEPEST {
            return Err("has too many groups of common cuts".into());
        }
        let kinds = |kind: i64| of("kind").iter().filter(|k| **k == kind).count();
        self.exactly("form", self.cases.len())?;
        self.exactly("leaf_row", kinds(1))?;
        self.exactly("cut_count", kinds(2))?;
        let cuts = of("common").iter().chain(of("cut_count")).sum::<i64>() as usize;
        for name in ["cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row"] {
            self.exactly(name, cuts)?;
        }
        for name in ["split_activation", "split_feature", "split_point"] {
            self.exactly(name, kinds(3))?;
        }
        let (mut level, mut at, mut levels) = (self.cases.len(), 0, 0);
        while level > 0 {
            let kinds = of("kind").get(at..at + level).ok_or("has nodes that make no trees")?;
            (at, levels) = (at + level, levels + 1);
            level = kinds.iter().map(|kind| match kind { 2 => 1, 3 => 2, _ => 0 }).sum();
        }
        if at != of("kind").len() || levels > DEEPEST {
            return Err("has nodes that make no trees".into());
        }
        Ok(())
    }

    /// Features that are there.
    fn features(&self) -> Result<(), String> {
        let of = |name: &str| self.certificate.array(name);
        let size = |k: i64| if k == 0 { self.certificate.inputs } else { self.network.sizes[self.network.stairs[k as usize - 1]] };
        for (activation, feature) in [("cut_activation", "cut_feature"), ("split_activation", "split_feature")] {
            for (k, j) in of(activation).iter().zip(of(feature)) {
                index(*j, size(*k))?;
            }
        }
        Ok(())
    }

    fn forms(&mut self) -> Result<(), String> {
        let ends_in_stairs = self.network.stairs.last() == Some(&(self.network.nodes.len() - 1));
        for (case, form) in self.cases.iter_mut().zip(self.certificate.array("form")) {
            if *form == 0 {
                continue;
            }
            let mut there: Vec<(usize, Whole)> = Vec::new();
            if case.rows.len() == 1 {
                there = case.rows[0].iter().copied().enumerate().filter(|(_, c)| *c != 0).collect();
                there.sort_by_key(|(_, c)| -c);
            }
            match there[..] {
                [(p, 1), (q, -1)] if ends_in_stairs && !self.network.staircase(self.network.stairs.len() - 1).thresholds.is_empty() => {
                    case.order = Some((p, q, case.right[0]));
                }
                _ => return Err("takes a case in a form that it does not have".into()),
            }
        }
        Ok(())
    }

    fn multipliers(&mut self) -> Result<(), String> {
        let sizes: Vec<usize> = self.network.stairs.iter().map(|at| self.network.sizes[*at]).collect();
        let counts = self.exactly("kept", sizes.len())?;
        let mut left = self.certificate.array("kept_feature");
        for (k, count) in counts.iter().enumerate() {
            let count = index(*count, left.len() + 1)?;
            let (mine, rest) = left.split_at(count);
            if mine.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err("names features that are not in ascending order".into());
            }
            for feature in mine {
                self.kept.push((k, index(*feature, sizes[k])?));
            }
            left = rest;
        }
        if !left.is_empty() {
            return Err("names features of no activation".into());
        }
        self.height = self.cases.iter().map(|case| case.rows.len()).max().unwrap_or(0);
        let count = self.certificate.array("row_exponent").len();
        self.exactly("row_mu", count * self.height)?;
        self.exactly("row_s", count * self.kept.len())?;
        let (rows, inputs) = (self.certificate.array("price_row"), self.certificate.array("price_input"));
        if [rows, inputs].iter().any(|list| list.windows(2).any(|pair| pair[0] >= pair[1])) {
            return Err("names rows or inputs that are not in ascending order".into());
        }
        let first = self.kept.iter().filter(|(k, _)| *k == 0).count();
        self.exactly("price_difference", rows.len() * first * inputs.len())?;
        if !rows.is_empty() {
            if sizes.is_empty() {
                return Err("has prices of a network without activations".into());
            }
            let (weight, bias) = first_layer(&self.network)?;
            self.priced = Some(Priced { weight, bias });
        }
        self.place = rows.iter().enumerate().map(|(place, row)| (*row as usize, place)).collect();
        Ok(())
    }

    /// A row, made when it is wanted: many of them, with all their zeros, are more than a machine holds.
    fn row(&self, number: usize) -> Row {
        let of = |name: &str, width: usize, at: usize| &self.certificate.array(name)[at * width..(at + 1) * width];
        let mut s: Vec<Vec<Whole>> = self.network.stairs.iter().map(|at| vec![0; self.network.sizes[*at]]).collect();
        for ((k, j), value) in self.kept.iter().zip(of("row_s", self.kept.len(), number)) {
            s[*k][*j] = *value as Whole;
        }
        let prices = self.place.get(&number).map(|place| {
            let mut prices: Vec<Vec<Whole>> = s[0].iter().map(|s| vec![*s; self.certificate.inputs]).collect();
            let (first, inputs) = (self.kept.iter().filter(|(k, _)| *k == 0), self.certificate.array("price_input"));
            let width = first.clone().count() * inputs.len();
            let mut given = of("price_difference", width, *place).iter();
            for (_, j) in first {
                for i in inputs {
                    prices[*j][*i as usize] += *given.next().unwrap_or(&0) as Whole;
                }
            }
            prices
        });
        Row { mu: wide(of("row_mu", self.height, number)), s, prices }
    }

    pub fn prove(&mut self) -> Result<(), String> {
        if self.is_misclassified {
            return Err("the network takes the image itself for another class".into());
        }
        if self.certificate.claim == "sat" {
            let x = wide(self.certificate.array("witness"));
            if x.iter().zip(self.lower.iter().zip(&self.upper)).any(|(x, (l, u))| x < l || x > u) {
                return Err("the witness is not in the box".into());
            }
            let y = self.network.values(&x).pop().unwrap_or_default();
            return if self.cases.iter().any(|case| case.is_met(&y)) { Ok(()) } else { Err("the witness meets no case".into()) };
        }
        let mut cut = 0;
        let root = self.common(&mut cut)?;
        self.trees(root, cut)
    }

    fn refutes(&self, region: &Region, case: Option<&Case>, row: usize) -> Result<bool, String> {
        match bound(&self.network, self.priced.as_ref(), region, case, &self.row(row))? {
            Bound::Empty => Ok(true),
            Bound::At(value) => Ok(value < 0),
            Bound::None => Ok(false),
        }
    }

    /// Whether a cut holds; raises where a feature is none.
    fn holds(&self, region: &Region, case: Option<&Case>, cut: usize) -> Result<bool, String> {
        let of = |name: &str| self.certificate.array(name)[cut];
        let mut part = region.clone();
        let (low, high) = part.ends(of("cut_activation") as usize, of("cut_feature") as usize).ok_or("a feature that is not there")?;
        let end = of("cut_end") as Whole;
        match of("cut_side") {
            0 => *high = (*high).min(end - 1),
            _ => *low = (*low).max(end + 1),
        }
        Ok(part.is_empty() || self.refutes(&part, case, of("cut_row") as usize)?)
    }

    fn apply(&self, region: &mut Region, cut: usize) {
        let of = |name: &str| self.certificate.array(name)[cut];
        if let Some((low, high)) = region.ends(of("cut_activation") as usize, of("cut_feature") as usize) {
            let end = of("cut_end") as Whole;
            match of("cut_side") {
                0 => *low = (*low).max(end),
                _ => *high = (*high).min(end),
            }
        }
    }

    fn common(&mut self, cut: &mut usize) -> Result<Region, String> {
        let mut region = Region::whole(&self.network, self.lower.clone(), self.upper.clone());
        for (group, count) in self.certificate.array("common").iter().enumerate() {
            let mine = *cut..*cut + *count as usize;
            *cut = mine.end;
            if region.is_empty() {
                continue;
            }
            for one in mine.clone() {
                self.cuts += 1;
                if !self.holds(&region, None, one)? {
                    return Err(format!("a cut of common group {group} does not hold"));
                }
            }
            mine.for_each(|one| self.apply(&mut region, one));
            if !region.is_empty() {
                region.propagate(&self.network);
            }
        }
        Ok(region)
    }

    fn trees(&mut self, root: Region, first_cut: usize) -> Result<(), String> {
        let kinds = self.certificate.array("kind");
        // Where the children of every node stand, and the entries of leaves, cuts and splits.
        let (mut child, mut entry) = (Vec::new(), Vec::new());
        let (mut next, mut leaf, mut split, mut cut, mut cuts) = (self.cases.len(), 0, 0, first_cut, 0);
        for kind in kinds {
            child.push(next);
            entry.push(match kind {
                1 => leaf,
                2 => cut,
                3 => split,
                _ => 0,
            });
            match kind {
                1 => leaf += 1,
                2 => {
                    cut += self.certificate.array("cut_count")[cuts] as usize;
                    (cuts, next) = (cuts + 1, next + 1);
                }
                3 => (split, next) = (split + 1, next + 2),
                _ => {}
            }
        }
        let mut counts = vec![0usize; kinds.len()];
        let mut number = 0;
        for (at, _) in kinds.iter().enumerate().filter(|(_, kind)| **kind == 2) {
            counts[at] = self.certificate.array("cut_count")[number] as usize;
            number += 1;
        }
        let mut stack: Vec<(usize, usize, Region)> = (0..self.cases.len()).map(|case| (case, case, root.clone())).collect();
        while let Some((at, number, mut region)) = stack.pop() {
            let case = &self.cases[number];
            if !region.is_empty() {
                region.close(&self.network, case);
            }
            if region.is_empty() {
                continue;
            }
            match kinds[at] {
                0 => return Err(format!("node {at} is said to be empty and is not")),
                1 => {
                    self.leaves += 1;
                    if !self.refutes(&region, Some(case), self.certificate.array("leaf_row")[entry[at]] as usize)? {
                        return Err(format!("leaf {at} is not refuted by its row"));
                    }
                }
                2 => {
                    let mine = entry[at]..entry[at] + counts[at];
                    for one in mine.clone() {
                        self.cuts += 1;
                        if !self.holds(&region, Some(case), one)? {
                            return Err(format!("a cut of node {at} does not hold"));
                        }
                    }
                    mine.for_each(|one| self.apply(&mut region, one));
                    stack.push((child[at], number, region));
                }
                3 => {
                    let of = |name: &str| self.certificate.array(name)[entry[at]];
                    let (activation, feature, point) = (of("split_activation") as usize, of("split_feature") as usize, of("split_point") as Whole);
                    let mut upper = region.clone();
                    if let Some((_, high)) = region.ends(activation, feature) {
                        *high = (*high).min(point - 1);
                    }
                    if let Some((low, _)) = upper.ends(activation, feature) {
                        *low = (*low).max(point);
                    }
                    stack.push((child[at] + 1, number, upper));
                    stack.push((child[at], number, region));
                }
                _ => self.points(at, number, &region)?,
            }
        }
        Ok(())
    }

    fn points(&mut self, at: usize, number: usize, region: &Region) -> Result<(), String> {
        let extents = region.lower.iter().zip(&region.upper).map(|(l, u)| u - l + 1);
        let count = extents.fold(1, |count: Whole, extent| count.saturating_mul(extent));
        self.points = self.points.saturating_add(count);
        if count > POINTS || self.points > ALL_POINTS {
            return Err(format!("node {at} has too many points"));
        }
        let mut x = region.lower.clone();
        loop {
            let y = self.network.values(&x).pop().unwrap_or_default();
            if self.cases[number].is_met(&y) {
                return Err(format!("a point of node {at} meets the case"));
            }
            let Some(i) = (0..x.len()).find(|i| x[*i] < region.upper[*i]) else { return Ok(()) };
            x[i] += 1;
            x[..i].copy_from_slice(&region.lower[..i]);
        }
    }
}
