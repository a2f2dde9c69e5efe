//! Properties in VNN-LIB 1.0, every number an exact decimal.

use crate::number::{Big, Decimal, Dyadic};
use std::cmp::Ordering;
use std::collections::BTreeMap;

enum Item {
    Word(String),
    List(Vec<Item>),
}

/// Input (false) or output (true), and which.
pub type Name = (bool, usize);

/// `sum of terms >= threshold`, or `>`.
#[derive(Clone)]
pub struct Constraint {
    pub terms: BTreeMap<Name, Decimal>,
    pub threshold: Decimal,
    pub strict: bool,
}

pub struct Part {
    pub lower: Vec<Decimal>,
    pub upper: Vec<Decimal>,
    pub cases: Vec<Vec<Constraint>>,
}

pub struct Asked {
    pub inputs: usize,
    pub outputs: usize,
    pub parts: Vec<Part>,
}

fn words(text: &str) -> Result<Vec<Vec<Item>>, String> {
    let mut stack: Vec<Vec<Item>> = Vec::new();
    let mut done = Vec::new();
    // A comment ends with its line, which both characters end.
    for line in text.split(['\n', '\r']) {
        let line = line.split(';').next().unwrap_or("");
        // White space is what SMT-LIB says it is: Rust knows two more of ASCII.
        if !line.is_ascii() || line.contains(['\x0b', '\x0c']) {
            return Err("characters that SMT-LIB does not have".into());
        }
        let spaced = line.replace('(', " ( ").replace(')', " ) ");
        for word in spaced.split_whitespace() {
            match word {
                "(" => stack.push(Vec::new()),
                ")" => {
                    let list = stack.pop().ok_or("a parenthesis that closes nothing")?;
                    match stack.last_mut() {
                        Some(outer) => outer.push(Item::List(list)),
                        None => done.push(list),
                    }
                }
                _ => {
                    if word.contains(['"', '|']) {
                        return Err(format!("the word '{word}'"));
                    }
                    stack.last_mut().ok_or("words outside of parentheses")?.push(Item::Word(word.to_string()));
                }
            }
            if stack.len() > 64 {
                return Err("parentheses this deep".into());
            }
        }
    }
    if stack.is_empty() { Ok(done) } else { Err("a parenthesis that is not closed".into()) }
}

fn name_of(word: &str) -> Option<Name> {
    let (letter, digits) = word.split_at_checked(2)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    match (letter, is_number) {
        ("X_", true) => Some((false, digits.parse().ok()?)),
        ("Y_", true) => Some((true, digits.parse().ok()?)),
        _ => None,
    }
}

struct Line {
    terms: BTreeMap<Name, Decimal>,
    constant: Decimal,
}

fn linear(item: &Item, sizes: &[usize; 2]) -> Result<Line, String> {
    match item {
        Item::Word(word) => {
            if let Some(name) = name_of(word) {
                if name.1 >= sizes[name.0 as usize] {
                    return Err(format!("'{word}', which is not declared"));
                }
                return Ok(Line { terms: [(name, Decimal::whole(1))].into(), constant: Decimal::whole(0) });
            }
            let number = Decimal::parse(word).ok_or(format!("the word '{word}'"))?;
            Ok(Line { terms: BTreeMap::new(), constant: number })
        }
        Item::List(list) => {
            let [Item::Word(head), rest @ ..] = list.as_slice() else { return Err("an expression that is none".into()) };
            let parts = rest.iter().map(|part| linear(part, sizes)).collect::<Result<Vec<_>, _>>()?;
            match (head.as_str(), parts.len()) {
                (_, 0) => Err("an expression that is none".into()),
                ("*", _) => {
                    let mut found = Line { terms: BTreeMap::new(), constant: Decimal::whole(1) };
                    for part in parts {
                        let (line, factor) = if part.terms.is_empty() { (found, part.constant) } else if found.terms.is_empty() { (part, found.constant) } else { return Err("a product of variables".into()) };
                        let terms = line.terms.iter().map(|(name, c)| (*name, c.mul(&factor))).collect();
                        found = Line { terms, constant: line.constant.mul(&factor) };
                    }
                    Ok(found)
                }
                ("+" | "-", count) => {
                    let mut found = Line { terms: BTreeMap::new(), constant: Decimal::whole(0) };
                    for (at, part) in parts.iter().enumerate() {
                        let minus = head == "-" && (at > 0 || count == 1);
                        add(&mut found, part, minus);
                    }
                    Ok(found)
                }
                _ => Err(format!("the expression '{head}'")),
            }
        }
    }
}

fn add(to: &mut Line, part: &Line, minus: bool) {
    let signed = |c: &Decimal| if minus { c.neg() } else { c.clone() };
    for (name, c) in &part.terms {
        let sum = to.terms.get(name).map_or(signed(c), |known| known.add(&signed(c)));
        to.terms.insert(*name, sum);
    }
    to.constant = to.constant.add(&signed(&part.constant));
}

fn at_least(left: &Line, right: &Line, strict: bool) -> Constraint {
    let mut all = Line { terms: left.terms.clone(), constant: Decimal::whole(0) };
    add(&mut all, &Line { terms: right.terms.clone(), constant: Decimal::whole(0) }, true);
    all.terms.retain(|_, c| !c.numerator.is_zero());
    Constraint { terms: all.terms, threshold: right.constant.add(&left.constant.neg()), strict }
}

type Clauses = Vec<Vec<Constraint>>;

fn products(first: &Clauses, second: &Clauses) -> Result<Clauses, String> {
    if first.len() * second.len() > 1 << 16 {
        return Err("so many cases".into());
    }
    Ok(first.iter().flat_map(|a| second.iter().map(|b| [a.as_slice(), b.as_slice()].concat())).collect())
}

fn clauses(item: &Item, sizes: &[usize; 2]) -> Result<Clauses, String> {
    let Item::List(list) = item else { return Err("a formula that is none".into()) };
    let [Item::Word(head), rest @ ..] = list.as_slice() else { return Err("a formula that is none".into()) };
    match (head.as_str(), rest) {
        ("and", _) => rest.iter().try_fold(vec![vec![]], |found, part| products(&found, &clauses(part, sizes)?)),
        ("or", _) => {
            let mut found = Vec::new();
            for part in rest {
                found.extend(clauses(part, sizes)?);
            }
            Ok(found)
        }
        ("<=" | ">=" | "<" | ">" | "=", [left, right]) => {
            let (left, right) = (linear(left, sizes)?, linear(right, sizes)?);
            Ok(vec![match head.as_str() {
                "<=" | "<" => vec![at_least(&right, &left, head == "<")],
                ">=" | ">" => vec![at_least(&left, &right, head == ">")],
                _ => vec![at_least(&right, &left, false), at_least(&left, &right, false)],
            }])
        }
        _ => Err(format!("the formula '{head}'")),
    }
}

pub fn read(data: &[u8]) -> Result<Asked, String> {
    let text = std::str::from_utf8(data).map_err(|_| "is no text in UTF-8")?;
    let mut sizes = [0usize; 2];
    let (mut common, mut found): (Vec<Constraint>, Clauses) = (Vec::new(), vec![vec![]]);
    let mut is_over = false;
    for statement in words(text)? {
        if let [Item::Word(head), ..] = statement.as_slice() {
            if is_over && (head == "assert" || head == "declare-const") {
                return Err("something after the question".into());
            }
            is_over = is_over || head == "check-sat" || head == "exit";
        }
        match statement.as_slice() {
            [Item::Word(head), ..] if ["set-logic", "set-info", "set-option", "check-sat", "exit", "get-model"].contains(&head.as_str()) => {}
            [Item::Word(head), Item::Word(name), Item::Word(kind)] if head == "declare-const" && kind == "Real" => {
                let name = name_of(name).ok_or("a declaration that is none of X_i or Y_j")?;
                if name.1 != sizes[name.0 as usize] {
                    return Err("declarations that are not in order".into());
                }
                sizes[name.0 as usize] += 1;
            }
            [Item::Word(head), formula] if head == "assert" => {
                let mut made = clauses(formula, &sizes)?;
                if made.len() == 1 {
                    common.append(&mut made[0]);
                } else {
                    found = products(&found, &made)?;
                }
            }
            _ => return Err("a statement that is not known".into()),
        }
    }
    let mut parts: Vec<Part> = Vec::new();
    for clause in found {
        let (mut lower, mut upper) = (vec![None; sizes[0]], vec![None; sizes[0]]);
        let mut rest = Vec::new();
        for constraint in common.iter().chain(&clause) {
            let single = constraint.terms.iter().next().filter(|(name, _)| constraint.terms.len() == 1 && !name.0);
            let Some((name, c)) = single else {
                rest.push(constraint.clone());
                continue;
            };
            let one = Decimal::whole(if c.numerator.negative { -1 } else { 1 });
            if c.cmp(&one) != Ordering::Equal {
                return Err("an end of an input with a factor".into());
            }
            let (ends, end, better): (&mut Vec<Option<Decimal>>, Decimal, Ordering) =
                if c.numerator.negative { (&mut upper, constraint.threshold.neg(), Ordering::Less) } else { (&mut lower, constraint.threshold.clone(), Ordering::Greater) };
            let slot = &mut ends[name.1];
            if slot.as_ref().is_none_or(|known| end.cmp(known) == better) {
                *slot = Some(end);
            }
            if constraint.strict {
                rest.push(constraint.clone());
            }
        }
        let all = |ends: Vec<Option<Decimal>>| ends.into_iter().collect::<Option<Vec<_>>>().ok_or("an input without a bound");
        let (lower, upper) = (all(lower)?, all(upper)?);
        if lower.iter().zip(&upper).any(|(low, high)| low.cmp(high) == Ordering::Greater) {
            continue;
        }
        let same = |a: &[Decimal], b: &[Decimal]| a.iter().zip(b).all(|(x, y)| x.cmp(y) == Ordering::Equal);
        match parts.iter_mut().find(|part| same(&part.lower, &lower) && same(&part.upper, &upper)) {
            Some(part) => part.cases.push(rest),
            None => parts.push(Part { lower, upper, cases: vec![rest] }),
        }
    }
    Ok(Asked { inputs: sizes[0], outputs: sizes[1], parts })
}

/// Constraints with whole coefficients, all of a case multiplied by one power of ten.
pub struct Whole {
    pub terms: Vec<(Name, Big)>,
    pub threshold: Big,
    pub strict: bool,
    /// by what it was multiplied: a number from 1 to 2, about, times a power of two
    pub scale: f64,
    pub power: i64,
}

pub fn whole(case: &[Constraint]) -> Vec<Whole> {
    let places = case.iter().flat_map(|c| c.terms.values().chain([&c.threshold])).map(|d| d.places).max().unwrap_or(0);
    let by = Big::power_of_ten(places);
    let power = by.bits() - 1;
    let scale = Dyadic::whole(by).times_power(-power).above();
    let mut found: Vec<Whole> = case
        .iter()
        .map(|c| Whole {
            terms: c.terms.iter().map(|(name, value)| (*name, value.at(places))).collect(),
            threshold: c.threshold.at(places),
            strict: c.strict,
            scale,
            power,
        })
        .collect();
    if found.is_empty() {
        found.push(Whole { terms: vec![], threshold: Big::default(), strict: false, scale: 1.0, power: 0 });
    }
    found
}
