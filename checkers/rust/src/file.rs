//! Bytes: SHA-256 (FIPS 180-4), DEFLATE (RFC 1951), the container of certificates.

use crate::json::Json;

pub fn sha256(data: &[u8]) -> String {
    const K: [u32; 64] = [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
        0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
        0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
        0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
    ];
    let mut h: [u32; 8] = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    ];
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(8 * data.len() as u64).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w = [0u32; 64];
        for (i, word) in block.chunks(4).enumerate() {
            w[i] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
        }
        for i in 16..64 {
            let a = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let b = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16].wrapping_add(a).wrapping_add(w[i - 7]).wrapping_add(b);
        }
        let mut s = h;
        for i in 0..64 {
            let e = s[4].rotate_right(6) ^ s[4].rotate_right(11) ^ s[4].rotate_right(25);
            let choice = (s[4] & s[5]) ^ (!s[4] & s[6]);
            let one = s[7].wrapping_add(e).wrapping_add(choice).wrapping_add(K[i]).wrapping_add(w[i]);
            let a = s[0].rotate_right(2) ^ s[0].rotate_right(13) ^ s[0].rotate_right(22);
            let two = a.wrapping_add((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            s = [one.wrapping_add(two), s[0], s[1], s[2], s[3].wrapping_add(one), s[4], s[5], s[6]];
        }
        for i in 0..8 {
            h[i] = h[i].wrapping_add(s[i]);
        }
    }
    h.iter().map(|x| format!("{x:08x}")).collect()
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Result<u32, String> {
        while self.count < count {
            let byte = *self.data.get(self.at).ok_or("compressed data ends early")?;
            self.held |= (byte as u32) << self.count;
            self.at += 1;
            self.count += 8;
        }
        let value = self.held & ((1u32 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Ok(value)
    }
}

struct Codes {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Codes {
    fn of(lengths: &[u8]) -> Codes {
        let mut counts = [0u16; 16];
        for length in lengths {
            counts[*length as usize] += 1;
        }
        counts[0] = 0;
        let mut symbols = Vec::new();
        for length in 1..16u8 {
            for (symbol, mine) in lengths.iter().enumerate() {
                if *mine == length {
                    symbols.push(symbol as u16);
                }
            }
        }
        Codes { counts, symbols }
    }

    fn read(&self, bits: &mut Bits) -> Result<u16, String> {
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..16 {
            code |= bits.take(1)? as i32;
            let count = self.counts[length] as i32;
            if code - first < count {
                return Ok(self.symbols[(index + code - first) as usize]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("a code that is none".into())
    }
}

/// Decompressed data of at most so many bytes.
pub fn inflate(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    const BASE: [u16; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
    ];
    const EXTRA: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    const FAR: [u16; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
        8193, 12289, 16385, 24577,
    ];
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let mut bits = Bits { data, at: 0, held: 0, count: 0 };
    let mut out: Vec<u8> = Vec::new();
    loop {
        let last = bits.take(1)?;
        let (literal, distance) = match bits.take(2)? {
            0 => {
                bits.held = 0;
                bits.count = 0;
                let start = bits.at + 4;
                let head = data.get(bits.at..start).ok_or("compressed data ends early")?;
                let length = u16::from_le_bytes([head[0], head[1]]) as usize;
                out.extend_from_slice(data.get(start..start + length).ok_or("compressed data ends early")?);
                bits.at = start + length;
                if out.len() > most {
                    return Err("decompressed data is longer than stated".into());
                }
                if last == 1 {
                    return Ok(out);
                }
                continue;
            }
            1 => {
                let mut lengths = [8u8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                (Codes::of(&lengths), Codes::of(&[5u8; 30]))
            }
            2 => {
                let (literals, distances) = (bits.take(5)? as usize + 257, bits.take(5)? as usize + 1);
                let mut lengths = [0u8; 19];
                for place in ORDER.iter().take(bits.take(4)? as usize + 4) {
                    lengths[*place] = bits.take(3)? as u8;
                }
                let codes = Codes::of(&lengths);
                let mut all: Vec<u8> = Vec::new();
                while all.len() < literals + distances {
                    let (value, times) = match codes.read(&mut bits)? {
                        symbol @ 0..=15 => (symbol as u8, 1),
                        16 => (*all.last().ok_or("nothing to repeat")?, 3 + bits.take(2)?),
                        17 => (0, 3 + bits.take(3)?),
                        _ => (0, 11 + bits.take(7)?),
                    };
                    all.extend(std::iter::repeat_n(value, times as usize));
                }
                if all.len() != literals + distances {
                    return Err("lengths that do not fit".into());
                }
                (Codes::of(&all[..literals]), Codes::of(&all[literals..]))
            }
            _ => return Err("a block of no known kind".into()),
        };
        loop {
            let symbol = literal.read(&mut bits)? as usize;
            if symbol == 256 {
                break;
            }
            if symbol < 256 {
                out.push(symbol as u8);
            } else {
                let which = symbol - 257;
                let length = *BASE.get(which).ok_or("a length that is none")? as usize + bits.take(EXTRA[which] as u32)? as usize;
                let far = distance.read(&mut bits)? as usize;
                let extra = if far < 4 { 0 } else { (far as u32 - 2) / 2 };
                let back = *FAR.get(far).ok_or("a distance that is none")? as usize + bits.take(extra)? as usize;
                if back > out.len() {
                    return Err("a distance beyond the beginning".into());
                }
                for _ in 0..length {
                    out.push(out[out.len() - back]);
                }
            }
            if out.len() > most {
                return Err("decompressed data is longer than stated".into());
            }
        }
        if last == 1 {
            return Ok(out);
        }
    }
}

/// The contents of a file, which may be compressed by gzip.
pub fn read(path: &str) -> Result<Vec<u8>, String> {
    let data = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    if data.len() < 18 || data[..3] != [0x1f, 0x8b, 8] {
        return Ok(data);
    }
    let flags = data[3];
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + u16::from_le_bytes([data[10], data[11]]) as usize;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += data.get(at..).ok_or("a gzip file that ends early")?.iter().position(|b| *b == 0).ok_or("a gzip file that ends early")? + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    inflate(data.get(at..).ok_or("a gzip file that ends early")?, 1 << 30)
}

/// What is asked, as a header says it.
pub enum Stated {
    /// the SHA-256 of a property's file
    Real { sha256: String },
    Robustness { label: usize, radius: i64 },
    /// the class of an image in a box
    Class { label: usize },
    /// numbers of constraints of the cases
    Box { constraints: Vec<usize> },
}

/// What a certificate holds.
pub struct Certificate {
    pub claim: String,
    pub network: String,
    pub stated: Stated,
    pub inputs: usize,
    pub outputs: usize,
    arrays: Vec<(&'static str, Vec<i64>)>,
}

/// In version 4 without those of pairs, in version 3 without those of planes either.
const REAL: [&str; 46] = [
    "witness", "witness_limbs", "witness_two", "witness_ten", "cases", "tree", "stages", "stage", "lemma_count", "lemma_relu",
    "lemma_feature", "lemma_side", "lemma_end", "lemma_exponent", "plane_count", "plane_relu", "plane_feature", "plane_exponent",
    "plane_right", "plane_left", "plane_entries", "plane_step", "plane_value", "pair_count", "pair_relu", "pair_first",
    "pair_second", "pair_exponent", "pair_end", "pair_row", "kind", "rule", "leaf_row", "split_relu", "split_feature",
    "split_point", "split_exponent", "row_exponent", "row_base", "row_mu", "row_count", "row_feature", "row_slope", "row_added",
    "row_planes", "row_pairs",
];
const WHOLE: [&str; 27] = [
    "image", "lower", "upper", "coefficients", "threshold", "witness", "form", "kept", "kept_feature", "row_exponent", "row_mu",
    "row_s", "common", "kind", "leaf_row", "cut_count", "cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row",
    "split_activation", "split_feature", "split_point", "price_row", "price_input", "price_difference",
];

/// The files of a bundle's parts; None where it is none.
pub fn parts(data: &[u8]) -> Result<Option<Vec<&[u8]>>, String> {
    if !data.starts_with(b"\x89NPPART\n") {
        return Ok(None);
    }
    let end = data.len().checked_sub(32).filter(|end| *end >= 20).ok_or("is a bundle that ends early")?;
    check_sum(data, end)?;
    if number(data, 8, 4) != 1 {
        return Err("is a bundle of another version".into());
    }
    let (mut at, mut found) = (20, Vec::new());
    while at < end {
        let length = if at + 8 <= end { number(data, at, 8) } else { usize::MAX };
        at += 8;
        if length > end.saturating_sub(at) {
            return Err("has parts of other lengths than it states".into());
        }
        found.push(&data[at..at + length]);
        at += length;
    }
    if found.len() != number(data, 12, 8) || found.len() < 2 {
        return Err("has another number of parts than it states".into());
    }
    Ok(Some(found))
}

fn number(data: &[u8], at: usize, width: usize) -> usize {
    data[at..at + width].iter().rev().fold(0usize, |n, b| (n << 8) | *b as usize)
}

fn check_sum(data: &[u8], end: usize) -> Result<(), String> {
    let sum: String = data[end..].iter().map(|b| format!("{b:02x}")).collect();
    if sha256(&data[..end]) != sum {
        return Err("is damaged (its checksum is wrong)".into());
    }
    Ok(())
}

impl Certificate {
    /// Whether both are about the class of one image, or neither of them is about one.
    pub fn is_about_the_class_of(&self, other: &Certificate) -> bool {
        match (&self.stated, &other.stated) {
            (Stated::Class { label }, Stated::Class { label: of }) => label == of && self.array("image") == other.array("image"),
            (Stated::Class { .. }, _) | (_, Stated::Class { .. }) => false,
            _ => true,
        }
    }

    pub fn array(&self, name: &str) -> &[i64] {
        self.arrays.iter().find(|(mine, _)| *mine == name).map_or(&[], |(_, values)| values)
    }

    /// Whether files of its version have an array.
    pub fn has(&self, name: &str) -> bool {
        self.arrays.iter().any(|(mine, _)| *mine == name)
    }

    pub fn parse(data: &[u8]) -> Result<Certificate, String> {
        if data.len() < 64 || &data[..8] != b"\x89NPCERT\n" {
            return Err("is not a certificate".into());
        }
        let version = number(data, 8, 4);
        if !(1..=5).contains(&version) {
            return Err(format!("is of version {version}, and this checker knows versions 1 to 5"));
        }
        let (header, packed, body) = (number(data, 12, 4), number(data, 16, 8), number(data, 24, 8));
        if header > 1 << 20 || packed > data.len() || body > 1 << 28 || 32 + header + packed + 32 != data.len() {
            return Err("has other lengths than it states".into());
        }
        let end = data.len() - 32;
        check_sum(data, end)?;
        let text = std::str::from_utf8(&data[32..32 + header]).map_err(|_| "has a header that is no text")?;
        let bytes = inflate(data.get(34 + header..end).ok_or("has no body")?, body)?;
        if bytes.len() != body {
            return Err("has a body that ends early".into());
        }
        let names = match version {
            1 => WHOLE[..24].to_vec(),
            2 => WHOLE.to_vec(),
            _ => REAL.into_iter().filter(|name| (version > 3 || !is_of(name, "plane")) && (version > 4 || !is_of(name, "pair"))).collect(),
        };
        let (mut found, sizes) = head(&Json::canonical(text)?, &names, version)?;
        let values = entries(&bytes)?;
        if sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size)) != Some(values.len()) {
            return Err("has another number of entries than it states".into());
        }
        let mut at = 0;
        for (name, size) in names.iter().zip(&sizes) {
            found.arrays.push((name, values[at..at + size].to_vec()));
            at += size;
        }
        if version == 2 && ["price_row", "price_input", "price_difference"].iter().all(|name| found.array(name).is_empty()) {
            return Err("is of version 2 without need".into());
        }
        if (version == 4 && found.array("plane_count").is_empty()) || (version == 5 && found.array("pair_count").is_empty()) {
            return Err(format!("is of version {version} without need"));
        }
        Ok(found)
    }
}

/// Whether an array is about planes, or pairs.
fn is_of(name: &str, what: &str) -> bool {
    name.starts_with(&format!("{what}_")) || name == format!("row_{what}s")
}

/// The entries of a body: zigzag, 7 bits a byte, no more bytes than needed.
fn entries(bytes: &[u8]) -> Result<Vec<i64>, String> {
    let mut values = Vec::new();
    let (mut value, mut shift) = (0u64, 0);
    for byte in bytes {
        if shift > 49 || (shift > 0 && *byte == 0) {
            return Err("has an entry of more bytes than it needs".into());
        }
        value |= ((byte & 127) as u64) << shift;
        shift += 7;
        if byte & 128 == 0 {
            let entry = (value >> 1) as i64 ^ -((value & 1) as i64);
            if entry.abs() >= 1 << 53 {
                return Err("has an entry that is too large".into());
            }
            values.push(entry);
            (value, shift) = (0, 0);
        }
    }
    if shift != 0 {
        return Err("has a body that ends early".into());
    }
    Ok(values)
}

/// A certificate without its arrays, and their sizes.
fn head(document: &Json, names: &[&'static str], version: usize) -> Result<(Certificate, Vec<usize>), String> {
    let none = || "has a header that is none".to_string();
    let fields = document.fields(&["arithmetic", "arrays", "claim", "name", "network", "producer", "property"])?;
    let claim = fields["claim"].text()?.to_string();
    let arithmetic = if version >= 3 { "real" } else { "integer" };
    if fields["arithmetic"].text()? != arithmetic || !["unsat", "sat"].contains(&claim.as_str()) {
        return Err(none());
    }
    fields["name"].text()?;
    fields["producer"].text()?;
    let mut sizes = Vec::new();
    let list = fields["arrays"].list()?;
    if list.len() != names.len() {
        return Err(none());
    }
    for (pair, name) in list.iter().zip(names) {
        match pair.list()? {
            [mine, size] if mine.text()? == *name => sizes.push(size.count()?),
            _ => return Err(none()),
        }
    }
    let (inputs, outputs, network, stated);
    if version >= 3 {
        let about = fields["property"].fields(&["inputs", "kind", "outputs", "sha256"])?;
        network = fields["network"].fields(&["sha256"])?["sha256"].text()?.to_string();
        (inputs, outputs) = (about["inputs"].count()?, about["outputs"].count()?);
        if about["kind"].text()? != "vnnlib" {
            return Err(none());
        }
        stated = Stated::Real { sha256: about["sha256"].text()?.to_string() };
    } else {
        let of = fields["network"].fields(&["inputs", "outputs", "scheme", "sha256"]).map_err(|_| "is about a network of a runtime")?;
        if of["scheme"].fields(&[]).is_err() {
            return Err("is about a network with bit widths, and this checker knows ONNX files of integers".into());
        }
        (inputs, outputs) = (of["inputs"].count()?, of["outputs"].count()?);
        network = of["sha256"].text()?.to_string();
        let about = &fields["property"];
        stated = if let Ok(about) = about.fields(&["kind", "label", "radius"]) {
            if about["kind"].text()? != "robustness" {
                return Err(none());
            }
            Stated::Robustness { label: about["label"].count()?, radius: about["radius"].count()? as i64 }
        } else if let Ok(about) = about.fields(&["kind", "label"]) {
            if about["kind"].text()? != "class" {
                return Err(none());
            }
            Stated::Class { label: about["label"].count()? }
        } else {
            let about = about.fields(&["constraints", "kind"])?;
            let constraints = about["constraints"].list()?.iter().map(Json::count).collect::<Result<Vec<_>, _>>()?;
            if about["kind"].text()? != "box" || constraints.contains(&0) {
                return Err(none());
            }
            Stated::Box { constraints }
        };
    }
    if inputs == 0 || outputs == 0 || network.len() != 64 || network.contains(|c: char| !c.is_ascii_digit() && !('a'..='f').contains(&c)) {
        return Err(none());
    }
    Ok((Certificate { claim, network, stated, inputs, outputs, arrays: Vec::new() }, sizes))
}
