//! Fully connected networks of integers from ONNX: products, sums, and staircases between them.

use crate::network::{attributes, fields, graph_of, name_of, only, shape_of, size_of, tensor, text, Attributes, Tensor};
use std::collections::HashMap;

pub type Whole = i128;

/// What is done to every feature alike; each keeps order.
#[derive(Clone, PartialEq)]
enum Step {
    Plus(Whole),
    Times(Whole),
    /// towards minus infinity; what is divided is never negative
    Quotient(Whole),
    Clip(Option<Whole>, Option<Whole>),
}

/// A value, or its limit at minus or plus infinity where it is none.
fn applied(steps: &[Step], start: Option<Whole>, is_upper: bool) -> Option<Whole> {
    steps.iter().fold(start, |a, step| match (step, a) {
        (Step::Clip(low, high), Some(a)) => {
            let a = low.map_or(a, |low| a.max(low));
            Some(high.map_or(a, |high| a.min(high)))
        }
        (Step::Clip(low, high), None) => if is_upper { *high } else { *low },
        (Step::Plus(by), Some(a)) => Some(a + by),
        (Step::Times(by), Some(a)) => Some(a * by),
        (Step::Quotient(by), Some(a)) => Some(a.div_euclid(*by)),
        (_, None) => None,
    })
}

/// `base + #{ i : thresholds[i] <= a }`, of every feature alike.
pub struct Stairs {
    pub base: Whole,
    pub thresholds: Vec<Whole>,
}

impl Stairs {
    fn of(steps: &[Step]) -> Result<Stairs, String> {
        let ends = applied(steps, None, false).zip(applied(steps, None, true));
        let (base, top) = ends.ok_or("an activation without ends")?;
        if top - base > 1 << 16 || top < base {
            return Err("an activation of too many levels".into());
        }
        let mut thresholds = Vec::new();
        for level in base + 1..=top {
            // The least argument at which a value of this level is reached.
            let mut least = level;
            for step in steps.iter().rev() {
                least = match step {
                    Step::Plus(by) => least - by,
                    Step::Times(by) => -(-least).div_euclid(*by),
                    Step::Quotient(by) => least * by,
                    Step::Clip(low, high) => {
                        if low.is_some_and(|low| least <= low) || high.is_some_and(|high| least > high) {
                            return Err("an activation whose levels are not reached".into());
                        }
                        least
                    }
                };
            }
            thresholds.push(least);
        }
        Ok(Stairs { base, thresholds })
    }

    pub fn level(&self, a: Whole) -> usize {
        self.thresholds.partition_point(|t| *t <= a)
    }

    pub fn value(&self, a: Whole) -> Whole {
        self.base + self.level(a) as Whole
    }
}

pub enum Node {
    Input,
    /// `weight[i][j]` is the coefficient of input `i` in output `j`
    Dense { of: usize, weight: Vec<Vec<Whole>>, bias: Vec<Whole> },
    /// `factor x + bias`
    Scale { of: usize, factor: Whole, bias: Vec<Whole> },
    Stairs { of: usize, stairs: Stairs },
}

pub struct Network {
    pub nodes: Vec<Node>,
    pub sizes: Vec<usize>,
    /// positions of the activations
    pub stairs: Vec<usize>,
    /// what an input takes
    pub least: Whole,
    pub largest: Whole,
}

pub fn operand(node: &Node) -> Option<usize> {
    match node {
        Node::Input => None,
        Node::Dense { of, .. } | Node::Scale { of, .. } | Node::Stairs { of, .. } => Some(*of),
    }
}

impl Network {
    pub fn staircase(&self, number: usize) -> &Stairs {
        match &self.nodes[self.stairs[number]] {
            Node::Stairs { stairs, .. } => stairs,
            _ => unreachable!("positions of staircases are those of staircases"),
        }
    }

    /// The value of every node at an input.
    pub fn values(&self, x: &[Whole]) -> Vec<Vec<Whole>> {
        let mut values: Vec<Vec<Whole>> = Vec::new();
        for node in &self.nodes {
            values.push(match node {
                Node::Input => x.to_vec(),
                Node::Dense { of, weight, bias } => {
                    let mut out = bias.clone();
                    for (x, row) in values[*of].iter().zip(weight) {
                        out.iter_mut().zip(row).for_each(|(to, w)| *to += w * x);
                    }
                    out
                }
                Node::Scale { of, factor, bias } => values[*of].iter().zip(bias).map(|(x, b)| factor * x + b).collect(),
                Node::Stairs { of, stairs } => values[*of].iter().map(|a| stairs.value(*a)).collect(),
            });
        }
        values
    }
}

/// A value of the file: a node, and steps that are not nodes yet.
#[derive(Clone)]
struct Value {
    node: usize,
    shape: Vec<usize>,
    kind: u64,
    steps: Vec<Step>,
}

struct Reader {
    nodes: Vec<Node>,
    sizes: Vec<usize>,
    /// of every node the least and the largest value of each feature, by intervals from the range of inputs
    ends: Vec<Vec<(Whole, Whole)>>,
    made: Vec<(usize, Vec<Step>, usize)>,
}

fn range_of(kind: u64) -> Result<(Whole, Whole), String> {
    match kind {
        2 => Ok((0, 255)),
        3 => Ok((-128, 127)),
        6 => Ok((i32::MIN as Whole, i32::MAX as Whole)),
        _ => Err("a value that is no integer of 8 or 32 bits".into()),
    }
}

pub fn read(data: &[u8]) -> Result<Network, String> {
    let model = fields(data)?;
    let graph = graph_of(&model, 10)?;
    let mut constants: HashMap<String, Tensor> = HashMap::new();
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 5) {
        let (name, constant) = tensor(bytes)?;
        if constants.insert(name, constant).is_some() {
            return Err("a name is given twice".into());
        }
    }
    let mut given = Vec::new();
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 11) {
        let parts = fields(bytes)?;
        let name = name_of(&parts)?;
        if !constants.contains_key(&name) {
            given.push((name, shape_of(&parts)?));
        }
    }
    let [(name, (kind, shape))] = &given[..] else { return Err("the network has more than one input".into()) };
    let (kind, mut shape) = (*kind, shape.clone());
    if let Some(first) = shape.first_mut().filter(|extent| **extent == 0) {
        *first = 1;
    }
    let size = size_of(&shape)?;
    if size == 0 || kind == 6 {
        return Err("an input of no size, or not of 8 bits".into());
    }
    let (mut least, mut largest) = range_of(kind)?;
    for (_, _, bytes) in model.iter().filter(|f| f.0 == 14) {
        let entry = fields(bytes)?;
        if name_of(&entry)? == "netproof.input_range" {
            let stated = only(&entry, 2)?.map(|f| text(f.1)).unwrap_or_default();
            let stated: Vec<Whole> = stated.split(' ').map(|w| w.parse().map_err(|_| "the range of inputs")).collect::<Result<_, _>>()?;
            match stated[..] {
                [low, high] if least <= low && low <= high && high <= largest => (least, largest) = (low, high),
                _ => return Err("the range of inputs".into()),
            }
        }
    }
    let mut reader = Reader { nodes: vec![Node::Input], sizes: vec![size], ends: vec![vec![(least, largest); size]], made: Vec::new() };
    let mut values = HashMap::from([(name.clone(), Value { node: 0, shape, kind, steps: Vec::new() })]);
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 1) {
        reader.node(bytes, &mut values, &mut constants)?;
    }
    let outputs: Vec<_> = graph.iter().filter(|f| f.0 == 12).collect();
    let [output] = outputs[..] else { return Err("the network has more than one output".into()) };
    let name = name_of(&fields(output.2)?)?;
    let last = values.get(&name).ok_or("the output does not depend on the input")?.clone();
    let last = reader.part(&last)?;
    Ok(reader.needed(last, least, largest))
}

impl Reader {
    fn add(&mut self, node: Node, size: usize) -> Result<usize, String> {
        let ends = (0..size).map(|j| self.feature(&node, j)).collect();
        self.nodes.push(node);
        self.sizes.push(size);
        self.ends.push(ends);
        Ok(self.nodes.len() - 1)
    }

    /// The interval of a feature of a node.
    fn feature(&self, node: &Node, j: usize) -> (Whole, Whole) {
        let scaled = |w: Whole, x: (Whole, Whole)| if w < 0 { (w * x.1, w * x.0) } else { (w * x.0, w * x.1) };
        match node {
            Node::Input => self.ends[0][j],
            Node::Dense { of, weight, bias } => {
                let parts = weight.iter().zip(&self.ends[*of]).map(|(row, x)| scaled(row[j], *x));
                parts.fold((bias[j], bias[j]), |sum, x| (sum.0 + x.0, sum.1 + x.1))
            }
            Node::Scale { of, factor, bias } => {
                let (low, high) = scaled(*factor, self.ends[*of][j]);
                (low + bias[j], high + bias[j])
            }
            Node::Stairs { of, stairs } => (stairs.value(self.ends[*of][j].0), stairs.value(self.ends[*of][j].1)),
        }
    }

    /// The node that is a value, its steps included.
    fn part(&mut self, value: &Value) -> Result<usize, String> {
        if value.steps.is_empty() {
            return Ok(value.node);
        }
        if let Some((_, _, known)) = self.made.iter().find(|(node, steps, _)| *node == value.node && *steps == value.steps) {
            return Ok(*known);
        }
        let size = self.sizes[value.node];
        let made = if value.steps.iter().all(|step| matches!(step, Step::Plus(_) | Step::Times(_))) {
            let at = |x: Whole| applied(&value.steps, Some(x), false).unwrap_or(0);
            let node = Node::Scale { of: value.node, factor: at(1) - at(0), bias: vec![at(0); size] };
            self.add(node, size)?
        } else {
            let stairs = Stairs::of(&value.steps)?;
            self.add(Node::Stairs { of: value.node, stairs }, size)?
        };
        self.made.push((value.node, value.steps.clone(), made));
        Ok(made)
    }

    fn limits(&self, value: &Value) -> (Whole, Whole) {
        let low = self.ends[value.node].iter().map(|x| x.0).min().unwrap_or(0);
        let high = self.ends[value.node].iter().map(|x| x.1).max().unwrap_or(0);
        (applied(&value.steps, Some(low), false).unwrap_or(low), applied(&value.steps, Some(high), true).unwrap_or(high))
    }

    fn node(&mut self, data: &[u8], values: &mut HashMap<String, Value>, constants: &mut HashMap<String, Tensor>) -> Result<(), String> {
        let parts = fields(data)?;
        let names = |number: u32| parts.iter().filter(|f| f.0 == number).map(|f| text(f.2)).collect::<Vec<_>>();
        let (inputs, outputs) = (names(1), names(2));
        let kind = names(4).pop().unwrap_or_default();
        if names(7).iter().any(|domain| !domain.is_empty() && domain != "ai.onnx") || outputs.len() != 1 || outputs[0].is_empty() {
            return Err(format!("the operator '{kind}' is not known"));
        }
        if values.contains_key(&outputs[0]) || constants.contains_key(&outputs[0]) {
            return Err(format!("the name '{}' is given twice", outputs[0]));
        }
        let list: Vec<&[u8]> = parts.iter().filter(|f| f.0 == 5).map(|f| f.2).collect();
        let mut stated = attributes(&list)?;
        if kind == "Constant" {
            let value = stated.tensors.remove("value").ok_or("a Constant that is no tensor")?;
            constants.insert(outputs[0].clone(), value);
            return Ok(());
        }
        // Operands that were left out at the end, or are empty, are none.
        let given: Vec<Option<&Tensor>> = inputs.iter().map(|name| constants.get(name)).collect();
        let of: Vec<&Value> = inputs.iter().filter_map(|name| values.get(name)).collect();
        if inputs.iter().any(|name| !name.is_empty() && !values.contains_key(name) && !constants.contains_key(name)) {
            return Err("a value is used before it is there".into());
        }
        let [value] = of[..] else { return Err(format!("the operator '{kind}' of several values")) };
        let is_first = inputs.first().is_some_and(|name| values.contains_key(name));
        let made = self.operator(&kind, value.clone(), is_first, &given, &mut stated)?;
        if let Some(name) = stated.whole.keys().chain(stated.floats.keys()).chain(stated.tensors.keys()).next() {
            return Err(format!("the attribute '{name}' of '{kind}' is not known"));
        }
        let ((low, high), (least, largest)) = (self.limits(&made), range_of(made.kind)?);
        if low < least || high > largest {
            return Err(format!("a value of '{kind}' can leave its type"));
        }
        values.insert(outputs[0].clone(), made);
        Ok(())
    }

    fn operator(
        &mut self, kind: &str, mut value: Value, is_first: bool, given: &[Option<&Tensor>], stated: &mut Attributes,
    ) -> Result<Value, String> {
        // A constant of a value's own type, of one number.
        let single = |at: usize| -> Result<Option<Whole>, String> {
            match given.get(at).copied().flatten() {
                None => Ok(None),
                Some(t) if t.whole.len() == 1 && t.kind != 7 => Ok(Some(t.whole[0] as Whole)),
                Some(_) => Err(format!("a constant of '{kind}' that is not one number")),
            }
        };
        let other = usize::from(is_first);
        match kind {
            "Identity" => {}
            "Flatten" => {
                let axis = stated.whole.remove("axis").unwrap_or(1);
                let axis = if axis < 0 { axis + value.shape.len() as i64 } else { axis } as usize;
                let (before, after) = value.shape.split_at_checked(axis).ok_or("the axis of a Flatten")?;
                value.shape = vec![before.iter().product(), after.iter().product()];
            }
            "Reshape" if is_first => {
                let target = given.get(1).copied().flatten().filter(|t| t.kind == 7).ok_or("the shape of a Reshape")?;
                let size: usize = value.shape.iter().product();
                let mut dims: Vec<i64> = target.whole.clone();
                for (i, dim) in dims.iter_mut().enumerate().filter(|(_, dim)| **dim == 0) {
                    *dim = *value.shape.get(i).ok_or("the shape of a Reshape")? as i64;
                }
                if dims.iter().any(|d| !(-1..=1 << 28).contains(d) || *d == 0) || dims.len() > 8 {
                    return Err("the shape of a Reshape".into());
                }
                let known = size_of(&dims.iter().filter(|d| **d > 0).map(|d| *d as usize).collect::<Vec<_>>())?;
                let open = dims.iter().filter(|d| **d < 0).count();
                if open > 1 || (open == 0 && known != size) || size % known.max(1) != 0 {
                    return Err("the shape of a Reshape".into());
                }
                value.shape = dims.iter().map(|d| if *d < 0 { size / known.max(1) } else { *d as usize }).collect();
            }
            "Cast" => {
                let to = stated.whole.remove("to").ok_or("a Cast to nothing")? as u64;
                range_of(to)?;
                if to != 6 {
                    (value.node, value.steps) = (self.part(&value)?, Vec::new());
                }
                value.kind = to;
            }
            "Relu" => self.clip(&mut value, Some(0), None)?,
            "Clip" if is_first => self.clip(&mut value, single(1)?, single(2)?)?,
            "Mul" => {
                let factor = single(other)?.filter(|by| *by > 0).ok_or("a factor that is not positive")?;
                value.steps.push(Step::Times(factor));
            }
            "Div" if is_first => {
                let divisor = single(1)?.filter(|by| *by > 0).ok_or("a divisor that is not positive")?;
                let (least, largest) = self.limits(&value);
                if least < 0 {
                    return Err("a division of what can be negative".into());
                }
                value.steps.extend([Step::Clip(Some(least), Some(largest)), Step::Quotient(divisor)]);
            }
            "Add" | "Sub" if is_first || kind == "Add" => {
                let sign: Whole = if kind == "Add" { 1 } else { -1 };
                let constant = given.get(other).copied().flatten().filter(|t| t.kind == value.kind).ok_or("a sum of two types")?;
                if constant.whole.len() == 1 && constant.dims.len() <= value.shape.len() {
                    value.steps.push(Step::Plus(sign * constant.whole[0] as Whole));
                } else {
                    let bias = spread(constant, &value.shape)?.iter().map(|b| sign * b).collect::<Vec<_>>();
                    let (of, size) = (self.part(&value)?, bias.len());
                    (value.node, value.steps) = (self.add(Node::Scale { of, factor: 1, bias }, size)?, Vec::new());
                }
            }
            "MatMulInteger" if is_first => {
                let weight = given.get(1).copied().flatten().filter(|t| t.kind == 2 || t.kind == 3).ok_or("weights that are not of 8 bits")?;
                let [rows, columns] = weight.dims[..] else { return Err("weights that are no matrix".into()) };
                if given.iter().skip(2).flatten().any(|t| t.whole.iter().any(|z| *z != 0)) {
                    return Err("zero points other than 0".into());
                }
                if value.kind == 6 || value.shape != [1, rows] || columns == 0 {
                    return Err("a product that does not fit".into());
                }
                let of = self.part(&value)?;
                let weight = (0..rows).map(|i| weight.whole[i * columns..(i + 1) * columns].iter().map(|w| *w as Whole).collect()).collect();
                let node = self.add(Node::Dense { of, weight, bias: vec![0; columns] }, columns)?;
                value = Value { node, shape: vec![1, columns], kind: 6, steps: Vec::new() };
            }
            _ => return Err(format!("the operator '{kind}' is not known, or not with such operands")),
        }
        Ok(value)
    }

    /// An end that is not given is what the value can reach.
    fn clip(&self, value: &mut Value, low: Option<Whole>, high: Option<Whole>) -> Result<(), String> {
        let (least, largest) = self.limits(value);
        let low = low.unwrap_or(least.min(high.unwrap_or(largest)));
        let high = high.unwrap_or(largest.max(low));
        if low > high {
            return Err("a Clip whose ends are exchanged".into());
        }
        value.steps.push(Step::Clip(Some(low), Some(high)));
        Ok(())
    }

    /// What the output depends on; other activations have no numbers.
    fn needed(self, last: usize, least: Whole, largest: Whole) -> Network {
        let mut wanted = vec![false; self.nodes.len()];
        let mut at = Some(last);
        while let Some(node) = at {
            wanted[node] = true;
            at = operand(&self.nodes[node]);
        }
        let mut place = vec![0; self.nodes.len()];
        let mut network = Network { nodes: Vec::new(), sizes: Vec::new(), stairs: Vec::new(), least, largest };
        for (at, node) in self.nodes.into_iter().enumerate().filter(|(at, _)| wanted[*at]) {
            place[at] = network.nodes.len();
            network.sizes.push(self.sizes[at]);
            if matches!(node, Node::Stairs { .. }) {
                network.stairs.push(place[at]);
            }
            network.nodes.push(match node {
                Node::Input => Node::Input,
                Node::Dense { of, weight, bias } => Node::Dense { of: place[of], weight, bias },
                Node::Scale { of, factor, bias } => Node::Scale { of: place[of], factor, bias },
                Node::Stairs { of, stairs } => Node::Stairs { of: place[of], stairs },
            });
        }
        network
    }
}

/// A constant in the shape of a value, flat.
fn spread(constant: &Tensor, shape: &[usize]) -> Result<Vec<Whole>, String> {
    if constant.dims.len() > shape.len() {
        return Err("a constant that does not fit".into());
    }
    let ahead = shape.len() - constant.dims.len();
    let mut found = Vec::new();
    for flat in 0..shape.iter().product() {
        let (mut rest, mut at, mut step) = (flat, 0, 1);
        for axis in (0..shape.len()).rev() {
            let place = rest % shape[axis];
            rest /= shape[axis];
            if axis >= ahead {
                let dim = constant.dims[axis - ahead];
                if dim != 1 && dim != shape[axis] {
                    return Err("a constant that does not fit".into());
                }
                at += if dim == 1 { 0 } else { place * step };
                step *= dim;
            }
        }
        found.push(constant.whole[at] as Whole);
    }
    Ok(found)
}
