//! Fully connected networks from ONNX: protocol buffers by hand, and the operators that such networks have.

use crate::number::Dyadic;
use std::collections::HashMap;

pub type Fields<'a> = Vec<(u32, u64, &'a [u8])>;

/// The fields of a message: number, value (of integers and fixed numbers), bytes (of all others).
pub fn fields(mut data: &[u8]) -> Result<Fields<'_>, String> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data)?;
        let (value, bytes): (u64, &[u8]) = match key & 7 {
            0 => (varint(&mut data)?, &[]),
            1 => (0, taken(&mut data, 8)?),
            2 => {
                let length = varint(&mut data)? as usize;
                (0, taken(&mut data, length)?)
            }
            5 => (0, taken(&mut data, 4)?),
            _ => return Err("is no ONNX model".into()),
        };
        found.push(((key >> 3) as u32, value, bytes));
    }
    Ok(found)
}

/// The one field of a number, where there is one; twice it would be merged, or the last would count.
pub fn only<'a>(parts: &Fields<'a>, number: u32) -> Result<Option<(u64, &'a [u8])>, String> {
    let mut mine = parts.iter().filter(|f| f.0 == number).map(|f| (f.1, f.2));
    match (mine.next(), mine.next()) {
        (found, None) => Ok(found),
        _ => Err("a field of the file is there twice".into()),
    }
}

pub fn name_of(parts: &Fields) -> Result<String, String> {
    Ok(only(parts, 1)?.map(|f| text(f.1)).unwrap_or_default())
}

/// The type and the extents of an input, those that are left open 0.
pub fn shape_of(value: &Fields) -> Result<(u64, Vec<usize>), String> {
    let kind = fields(only(value, 2)?.ok_or("an input without a type")?.1)?;
    if kind.iter().any(|f| f.0 != 1 && f.0 != 6) {
        return Err("an input that is no tensor".into());
    }
    let kind = fields(only(&kind, 1)?.ok_or("an input that is no tensor")?.1)?;
    let mut dims = Vec::new();
    if let Some((_, shape)) = only(&kind, 2)? {
        for (_, _, dim) in fields(shape)? {
            let parts = fields(dim)?;
            if parts.iter().filter(|f| f.0 < 3).count() > 1 {
                return Err("a field of the file is there twice".into());
            }
            dims.push(only(&parts, 1)?.map_or(0, |f| f.0) as usize);
        }
    }
    Ok((only(&kind, 1)?.map_or(0, |f| f.0), dims))
}

fn taken<'a>(data: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    if count > data.len() {
        return Err("is no ONNX model".into());
    }
    let (first, rest) = data.split_at(count);
    *data = rest;
    Ok(first)
}

fn varint(data: &mut &[u8]) -> Result<u64, String> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = taken(data, 1)?[0];
        if shift > 63 {
            return Err("is no ONNX model".into());
        }
        value |= ((byte & 127) as u64) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return Ok(value);
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many numbers a shape holds, where that is no more than can be.
pub fn size_of(dims: &[usize]) -> Result<usize, String> {
    let size = dims.iter().try_fold(1usize, |size, dim| size.checked_mul(*dim));
    size.filter(|size| *size <= 1 << 28).ok_or("a value is too large".to_string())
}

#[derive(Clone)]
pub struct Tensor {
    pub dims: Vec<usize>,
    floats: Vec<f64>,
    pub whole: Vec<i64>,
    pub kind: u64,
    is_float: bool,
}

pub fn tensor(data: &[u8]) -> Result<(String, Tensor), String> {
    let (mut name, mut dims, mut kind, mut raw) = (String::new(), Vec::new(), 0, None);
    let (mut floats, mut whole) = (Vec::new(), Vec::new());
    for (number, value, bytes) in fields(data)? {
        match number {
            1 if bytes.is_empty() => dims.push(value as usize),
            1 => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    dims.push(varint(&mut rest)? as usize);
                }
            }
            2 => kind = value,
            4 => floats.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64)),
            5 | 7 if bytes.is_empty() => whole.push(value as i64),
            5 | 7 => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    whole.push(varint(&mut rest)? as i64);
                }
            }
            8 => name = text(bytes),
            9 => raw = Some(bytes),
            10 => floats.extend(bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()))),
            12 => {}
            _ => return Err(format!("field {number} of a constant is not known")),
        }
    }
    if let Some(bytes) = raw {
        match kind {
            1 => floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64).collect(),
            11 => floats = bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default())).collect(),
            7 => whole = bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default())).collect(),
            6 => whole = bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as i64).collect(),
            3 => whole = bytes.iter().map(|b| *b as i8 as i64).collect(),
            2 => whole = bytes.iter().map(|b| *b as i64).collect(),
            _ => {}
        }
    }
    let size = size_of(&dims)?;
    let is_float = kind == 1 || kind == 11;
    let range = match kind {
        2 => 0..=255,
        3 => -128..=127,
        6 => i32::MIN as i64..=i32::MAX as i64,
        _ => i64::MIN..=i64::MAX,
    };
    if (!is_float && ![2, 3, 6, 7].contains(&kind)) || whole.iter().any(|x| !range.contains(x)) || size != if is_float { floats.len() } else { whole.len() } {
        return Err("a constant is of a type or size that is not known".into());
    }
    if floats.iter().any(|x| !x.is_finite()) {
        return Err("a constant is not finite".into());
    }
    Ok((name, Tensor { dims, floats, whole, kind, is_float }))
}

/// A node of the network, by its operator and the positions of its operands.
pub enum Node {
    Input,
    /// `x W + b`, where `weight[i][j]` is the coefficient of input `i` in output `j`
    Dense { of: usize, weight: Vec<Vec<Dyadic>>, bias: Vec<Dyadic> },
    /// `scale x + bias`, all of one factor
    Shift { of: usize, scale: Dyadic, bias: Vec<Dyadic> },
    /// `x + sign y`
    Sum { of: [usize; 2], sign: Dyadic },
    Relu { of: usize },
}

pub struct Network {
    pub nodes: Vec<Node>,
    pub sizes: Vec<usize>,
    /// positions of the ReLUs
    pub relus: Vec<usize>,
}

enum Value {
    Constant(Tensor),
    Node(usize, Vec<usize>),
}

pub struct Attributes {
    pub whole: HashMap<String, i64>,
    pub floats: HashMap<String, f32>,
    pub tensors: HashMap<String, Tensor>,
}

pub fn attributes(list: &[&[u8]]) -> Result<Attributes, String> {
    let mut found = Attributes { whole: HashMap::new(), floats: HashMap::new(), tensors: HashMap::new() };
    for data in list {
        let parts = fields(data)?;
        let name = name_of(&parts)?;
        let stated = only(&parts, 20)?.map_or(0, |f| f.0);
        let values: Vec<_> = parts.iter().filter(|f| ![1, 13, 20].contains(&f.0)).collect();
        let known = [&found.whole.contains_key(&name), &found.floats.contains_key(&name), &found.tensors.contains_key(&name)];
        let [(number, value, bytes)] = values[..] else { return Err(format!("the attribute '{name}' is not one value")) };
        if known.contains(&&true) {
            return Err(format!("the attribute '{name}' is there twice"));
        }
        match (number, stated) {
            (2, 1) => {
                found.floats.insert(name, f32::from_le_bytes((*bytes).try_into().map_err(|_| "is no ONNX model")?));
            }
            (3, 2) => {
                found.whole.insert(name, *value as i64);
            }
            (5, 4) => {
                found.tensors.insert(name, tensor(bytes)?.1);
            }
            _ => return Err(format!("the attribute '{name}' is not known")),
        }
    }
    Ok(found)
}

/// The graph of a model of one operator set from the first that is known to 24, without training and functions.
pub fn graph_of<'a>(model: &Fields<'a>, first: u64) -> Result<Fields<'a>, String> {
    let mut versions = Vec::new();
    for (_, _, bytes) in model.iter().filter(|f| f.0 == 8) {
        let parts = fields(bytes)?;
        let domain = name_of(&parts)?;
        if domain.is_empty() || domain == "ai.onnx" {
            versions.push(only(&parts, 2)?.map_or(0, |f| f.0));
        }
    }
    if versions.len() != 1 || !(first..=24).contains(&versions[0]) || model.iter().any(|f| f.0 == 20 || f.0 == 25) {
        return Err("the operator sets of the network are not known".into());
    }
    fields(only(model, 7)?.ok_or("is no ONNX model")?.1)
}

pub fn read(data: &[u8], inputs: usize) -> Result<Network, String> {
    let model = fields(data)?;
    let graph = graph_of(&model, 7)?;
    let mut values: HashMap<String, Value> = HashMap::new();
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 5) {
        let (name, constant) = tensor(bytes)?;
        if values.insert(name, Value::Constant(constant)).is_some() {
            return Err("a name is given twice".into());
        }
    }
    let mut reader = Reader { nodes: vec![Node::Input], sizes: vec![inputs] };
    let mut given = 0;
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 11) {
        let parts = fields(bytes)?;
        let name = name_of(&parts)?;
        if values.contains_key(&name) {
            continue;
        }
        given += 1;
        let (kind, mut dims) = shape_of(&parts)?;
        if kind != 1 && kind != 11 {
            return Err("an input that is neither float32 nor float64".into());
        }
        if let Some(first) = dims.first_mut() {
            if *first == 0 || *first > 1 << 40 {
                *first = 1;
            }
        }
        if size_of(&dims)? != inputs {
            return Err("the network takes another number of inputs".into());
        }
        values.insert(name, Value::Node(0, dims));
    }
    let outputs: Vec<_> = graph.iter().filter(|f| f.0 == 12).collect();
    if given != 1 || outputs.len() != 1 {
        return Err("the network has more than one input or output".into());
    }
    for (_, _, bytes) in graph.iter().filter(|f| f.0 == 1) {
        reader.node(bytes, &mut values)?;
    }
    let name = name_of(&fields(outputs[0].2)?)?;
    match values.get(&name) {
        Some(Value::Node(last, _)) => reader.needed(*last),
        _ => Err("the output does not depend on the input".into()),
    }
}

struct Reader {
    nodes: Vec<Node>,
    sizes: Vec<usize>,
}

fn exactly(values: &[f64]) -> Result<Vec<Dyadic>, String> {
    values.iter().map(|x| Dyadic::of(*x)).collect()
}

/// A constant of the shape of a value, flat; it may lack leading dimensions, and repeat along those of 1.
fn spread(constant: &Tensor, shape: &[usize]) -> Result<Vec<f64>, String> {
    if !constant.is_float || constant.dims.len() > shape.len() {
        return Err("a constant that does not fit".into());
    }
    let ahead = shape.len() - constant.dims.len();
    let size: usize = shape.iter().product();
    let mut found = Vec::with_capacity(size);
    for flat in 0..size {
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
        found.push(constant.floats[at]);
    }
    Ok(found)
}

impl Reader {
    fn add(&mut self, node: Node, size: usize) -> usize {
        self.nodes.push(node);
        self.sizes.push(size);
        self.nodes.len() - 1
    }

    fn node(&mut self, data: &[u8], values: &mut HashMap<String, Value>) -> Result<(), String> {
        let parts = fields(data)?;
        let names = |number: u32| parts.iter().filter(|f| f.0 == number).map(|f| text(f.2)).collect::<Vec<_>>();
        let (inputs, outputs) = (names(1), names(2));
        let kind = names(4).pop().unwrap_or_default();
        if names(7).iter().any(|domain| !domain.is_empty() && domain != "ai.onnx") || outputs.len() != 1 {
            return Err(format!("the operator '{kind}' is not known"));
        }
        let list: Vec<&[u8]> = parts.iter().filter(|f| f.0 == 5).map(|f| f.2).collect();
        let mut given = attributes(&list)?;
        let mut operands = Vec::new();
        for name in &inputs {
            operands.push(values.get(name).ok_or_else(|| format!("'{name}' is used before it is there"))?);
        }
        let made = self.operator(&kind, &operands, &mut given)?;
        if let Some(name) = given.whole.keys().chain(given.floats.keys()).chain(given.tensors.keys()).next() {
            return Err(format!("the attribute '{name}' of '{kind}' is not known"));
        }
        if values.insert(outputs[0].clone(), made).is_some() {
            return Err(format!("the name '{}' is given twice", outputs[0]));
        }
        Ok(())
    }

    fn operator(&mut self, kind: &str, operands: &[&Value], given: &mut Attributes) -> Result<Value, String> {
        match (kind, operands) {
            ("Constant", []) => Ok(Value::Constant(given.tensors.remove("value").ok_or("a Constant that is no tensor")?)),
            ("Identity", [Value::Node(at, shape)]) => Ok(Value::Node(*at, shape.clone())),
            ("Identity", [Value::Constant(constant)]) => Ok(Value::Constant(constant.clone())),
            ("Flatten", [Value::Node(at, shape)]) => {
                let axis = given.whole.remove("axis").unwrap_or(1);
                let axis = if axis < 0 { axis + shape.len() as i64 } else { axis } as usize;
                let (before, after) = shape.split_at_checked(axis).ok_or("the axis of a Flatten")?;
                Ok(Value::Node(*at, vec![before.iter().product(), after.iter().product()]))
            }
            ("Reshape", [Value::Node(at, shape), Value::Constant(target)]) if target.kind == 7 => {
                if given.whole.remove("allowzero").unwrap_or(0) != 0 {
                    return Err("a Reshape that allows zeros".into());
                }
                let size: usize = shape.iter().product();
                let mut dims: Vec<i64> = target.whole.clone();
                for (i, dim) in dims.iter_mut().enumerate() {
                    if *dim == 0 {
                        *dim = *shape.get(i).ok_or("the shape of a Reshape")? as i64;
                    }
                }
                if dims.iter().any(|d| !(-1..=1 << 28).contains(d)) || dims.len() > 8 || dims.iter().filter(|d| **d < 0).count() > 1 {
                    return Err("the shape of a Reshape".into());
                }
                let positive: Vec<usize> = dims.iter().filter(|d| **d > 0).map(|d| *d as usize).collect();
                let known = size_of(&positive)? as i64;
                for dim in dims.iter_mut().filter(|d| **d == -1) {
                    *dim = size as i64 / known.max(1);
                }
                if dims.iter().any(|d| *d < 1) || dims.iter().product::<i64>() != size as i64 {
                    return Err("the shape of a Reshape".into());
                }
                Ok(Value::Node(*at, dims.iter().map(|d| *d as usize).collect()))
            }
            ("Relu", [Value::Node(at, shape)]) => {
                let size = shape.iter().product();
                Ok(Value::Node(self.add(Node::Relu { of: *at }, size), shape.clone()))
            }
            ("Abs", [Value::Node(at, shape)]) => self.bent(*at, shape, -1.0),
            ("LeakyRelu", [Value::Node(at, shape)]) => {
                let slope = given.floats.remove("alpha").unwrap_or(0.01f32) as f64;
                self.bent(*at, shape, slope)
            }
            ("Add" | "Sub", [Value::Node(a, first), Value::Node(b, second)]) if first == second => {
                let sign = Dyadic::of(if kind == "Add" { 1.0 } else { -1.0 })?;
                let size = first.iter().product();
                Ok(Value::Node(self.add(Node::Sum { of: [*a, *b], sign }, size), first.clone()))
            }
            ("Add" | "Sub", [Value::Node(at, shape), Value::Constant(constant)]) => {
                let mut bias = exactly(&spread(constant, shape)?)?;
                if kind == "Sub" {
                    bias = bias.iter().map(Dyadic::neg).collect();
                }
                let (size, scale) = (bias.len(), Dyadic::of(1.0)?);
                Ok(Value::Node(self.add(Node::Shift { of: *at, scale, bias }, size), shape.clone()))
            }
            ("Add" | "Sub", [Value::Constant(constant), Value::Node(at, shape)]) => {
                let bias = exactly(&spread(constant, shape)?)?;
                let (size, scale) = (bias.len(), Dyadic::of(if kind == "Add" { 1.0 } else { -1.0 })?);
                Ok(Value::Node(self.add(Node::Shift { of: *at, scale, bias }, size), shape.clone()))
            }
            ("MatMul", [Value::Node(at, shape), Value::Constant(constant)]) => self.dense(*at, shape, constant, false, Vec::new()),
            ("MatMul", [Value::Constant(constant), Value::Node(at, shape)]) => {
                let size: usize = shape.iter().product();
                if shape.len() > 1 && shape.last() != Some(&1) {
                    return Err("a product with several columns".into());
                }
                let Value::Node(made, _) = self.dense(*at, &[size], constant, true, Vec::new())? else {
                    return Err("a matrix that does not fit".into());
                };
                let mut after = shape.clone();
                let place = if shape.len() > 1 { shape.len() - 2 } else { 0 };
                *after.get_mut(place).ok_or("a matrix that does not fit")? = self.sizes[made];
                Ok(Value::Node(made, after))
            }
            ("Gemm", [Value::Node(at, shape), Value::Constant(constant), rest @ ..]) => {
                for name in ["alpha", "beta"] {
                    if given.floats.remove(name).unwrap_or(1.0) != 1.0 {
                        return Err("a Gemm with factors".into());
                    }
                }
                if given.whole.remove("transA").unwrap_or(0) != 0 || shape.len() != 2 || rest.len() > 1 {
                    return Err("a Gemm that does not fit".into());
                }
                let transposed = match given.whole.remove("transB").unwrap_or(0) {
                    0 => false,
                    1 => true,
                    _ => return Err("a Gemm whose transB is neither 0 nor 1".into()),
                };
                let bias = match rest {
                    [Value::Constant(bias)] => {
                        let columns = *constant.dims.get(if transposed { 0 } else { 1 }).ok_or("a matrix that is none")?;
                        spread(bias, &[1, columns])?
                    }
                    [] => Vec::new(),
                    _ => return Err("a Gemm with a bias that is no constant".into()),
                };
                self.dense(*at, shape, constant, transposed, bias)
            }
            _ => Err(format!("the operator '{kind}' is not known, or not with such operands")),
        }
    }

    /// `slope x + (1 - slope) relu(x)`
    fn bent(&mut self, of: usize, shape: &[usize], slope: f64) -> Result<Value, String> {
        let (size, slope) = (shape.iter().product(), Dyadic::of(slope)?);
        let zeros = || vec![Dyadic::zero(); size];
        let rest = Dyadic::of(1.0)?.sub(&slope);
        let line = self.add(Node::Shift { of, scale: slope, bias: zeros() }, size);
        let bend = self.add(Node::Relu { of }, size);
        let bend = self.add(Node::Shift { of: bend, scale: rest, bias: zeros() }, size);
        let sum = Node::Sum { of: [line, bend], sign: Dyadic::of(1.0)? };
        Ok(Value::Node(self.add(sum, size), shape.to_vec()))
    }

    fn dense(&mut self, of: usize, shape: &[usize], constant: &Tensor, transposed: bool, bias: Vec<f64>) -> Result<Value, String> {
        let [rows, columns] = constant.dims[..] else { return Err("a matrix that is none".into()) };
        let (into, out) = if transposed { (columns, rows) } else { (rows, columns) };
        let size: usize = shape.iter().product();
        if !constant.is_float || shape.last() != Some(&into) || size != into || out == 0 {
            return Err("a matrix that does not fit".into());
        }
        let entry = |i: usize, j: usize| constant.floats[if transposed { j * columns + i } else { i * columns + j }];
        let mut weight = Vec::with_capacity(into);
        for i in 0..into {
            weight.push((0..out).map(|j| Dyadic::of(entry(i, j))).collect::<Result<Vec<_>, _>>()?);
        }
        let bias = if bias.is_empty() { vec![Dyadic::zero(); out] } else { exactly(&bias)? };
        let mut after = shape.to_vec();
        *after.last_mut().ok_or("a matrix that does not fit")? = out;
        Ok(Value::Node(self.add(Node::Dense { of, weight, bias }, out), after))
    }

    /// What the output depends on; other ReLUs have no numbers.
    fn needed(self, last: usize) -> Result<Network, String> {
        let mut wanted = vec![false; self.nodes.len()];
        wanted[0] = true;
        wanted[last] = true;
        for at in (1..=last).rev().filter(|at| *at <= last) {
            if wanted[at] {
                for of in operands(&self.nodes[at]) {
                    wanted[of] = true;
                }
            }
        }
        let mut place = vec![0; self.nodes.len()];
        let (mut nodes, mut sizes, mut relus) = (Vec::new(), Vec::new(), Vec::new());
        for (at, node) in self.nodes.into_iter().enumerate() {
            if !wanted[at] {
                continue;
            }
            place[at] = nodes.len();
            sizes.push(self.sizes[at]);
            nodes.push(match node {
                Node::Input => Node::Input,
                Node::Dense { of, weight, bias } => Node::Dense { of: place[of], weight, bias },
                Node::Shift { of, scale, bias } => Node::Shift { of: place[of], scale, bias },
                Node::Sum { of, sign } => Node::Sum { of: [place[of[0]], place[of[1]]], sign },
                Node::Relu { of } => {
                    relus.push(nodes.len());
                    Node::Relu { of: place[of] }
                }
            });
        }
        if place[last] == 0 {
            let bias = vec![Dyadic::zero(); sizes[0]];
            nodes.push(Node::Shift { of: 0, scale: Dyadic::of(1.0)?, bias });
            sizes.push(sizes[0]);
        }
        Ok(Network { nodes, sizes, relus })
    }
}

pub fn operands(node: &Node) -> Vec<usize> {
    match node {
        Node::Input => vec![],
        Node::Dense { of, .. } | Node::Shift { of, .. } | Node::Relu { of } => vec![*of],
        Node::Sum { of, .. } => of.to_vec(),
    }
}
