//! Exact numbers: whole numbers of any size, and these times powers of two.

use std::cmp::Ordering;

/// A whole number: sign and limbs of 64 bits, the lowest first, none of them 0 at the end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Big {
    pub negative: bool,
    limbs: Vec<u64>,
}

fn trimmed(mut limbs: Vec<u64>, negative: bool) -> Big {
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    let negative = negative && !limbs.is_empty();
    Big { negative, limbs }
}

fn compare(a: &[u64], b: &[u64]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

fn plus(a: &[u64], b: &[u64]) -> Vec<u64> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(long.len() + 1);
    let mut carry = 0u128;
    for (i, x) in long.iter().enumerate() {
        let sum = *x as u128 + *short.get(i).unwrap_or(&0) as u128 + carry;
        out.push(sum as u64);
        carry = sum >> 64;
    }
    if carry > 0 {
        out.push(carry as u64);
    }
    out
}

/// `a - b` for `a >= b`.
fn minus(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut out = Vec::with_capacity(a.len());
    let mut borrow = 0i128;
    for (i, x) in a.iter().enumerate() {
        let mut rest = *x as i128 - *b.get(i).unwrap_or(&0) as i128 - borrow;
        borrow = 0;
        if rest < 0 {
            rest += 1i128 << 64;
            borrow = 1;
        }
        out.push(rest as u64);
    }
    out
}

impl Big {
    pub fn from(value: i64) -> Big {
        trimmed(vec![value.unsigned_abs()], value < 0)
    }

    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    pub fn neg(&self) -> Big {
        trimmed(self.limbs.clone(), !self.negative)
    }

    pub fn bits(&self) -> i64 {
        match self.limbs.last() {
            None => 0,
            Some(top) => 64 * self.limbs.len() as i64 - top.leading_zeros() as i64,
        }
    }

    pub fn add(&self, other: &Big) -> Big {
        if self.negative == other.negative {
            return trimmed(plus(&self.limbs, &other.limbs), self.negative);
        }
        match compare(&self.limbs, &other.limbs) {
            Ordering::Less => trimmed(minus(&other.limbs, &self.limbs), other.negative),
            _ => trimmed(minus(&self.limbs, &other.limbs), self.negative),
        }
    }

    pub fn mul(&self, other: &Big) -> Big {
        let mut out = vec![0u64; self.limbs.len() + other.limbs.len()];
        for (i, x) in self.limbs.iter().enumerate() {
            let mut carry = 0u128;
            for (j, y) in other.limbs.iter().enumerate() {
                let sum = *x as u128 * *y as u128 + out[i + j] as u128 + carry;
                out[i + j] = sum as u64;
                carry = sum >> 64;
            }
            out[i + other.limbs.len()] = carry as u64;
        }
        trimmed(out, self.negative != other.negative)
    }

    pub fn shl(&self, count: u64) -> Big {
        let (words, bits) = ((count / 64) as usize, count % 64);
        let mut out = vec![0u64; words];
        let mut carry = 0u64;
        for x in &self.limbs {
            out.push(if bits == 0 { *x } else { (*x << bits) | carry });
            carry = if bits == 0 { 0 } else { *x >> (64 - bits) };
        }
        out.push(carry);
        trimmed(out, self.negative)
    }

    /// The number by a power of two, towards 0, and whether anything was cut off.
    pub fn shr(&self, count: u64) -> (Big, bool) {
        let (words, bits) = ((count / 64) as usize, count % 64);
        let kept: &[u64] = self.limbs.get(words..).unwrap_or(&[]);
        let mut cut = self.limbs.iter().take(words).any(|x| *x != 0);
        let mut out = Vec::with_capacity(kept.len());
        for (i, x) in kept.iter().enumerate() {
            let above = kept.get(i + 1).copied().unwrap_or(0);
            out.push(if bits == 0 { *x } else { (*x >> bits) | (above << (64 - bits)) });
        }
        if bits > 0 && !kept.is_empty() {
            cut = cut || kept[0] << (64 - bits) != 0;
        }
        (trimmed(out, self.negative), cut)
    }

    pub fn low(&self) -> u64 {
        self.limbs.first().copied().unwrap_or(0)
    }

    pub fn cmp(&self, other: &Big) -> Ordering {
        let difference = self.add(&other.neg());
        if difference.is_zero() {
            Ordering::Equal
        } else if difference.negative {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }

    pub fn power_of_ten(exponent: u32) -> Big {
        let mut out = Big::from(1);
        for _ in 0..exponent {
            out = out.mul(&Big::from(10));
        }
        out
    }

    /// The decimal digits.
    pub fn digits(&self) -> String {
        let mut limbs = self.limbs.clone();
        let mut parts: Vec<u64> = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0u128;
            for x in limbs.iter_mut().rev() {
                let value = (rest << 64) | *x as u128;
                *x = (value / 1_000_000_000) as u64;
                rest = value % 1_000_000_000;
            }
            parts.push(rest as u64);
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
        }
        let mut text = if self.negative { "-".to_string() } else { String::new() };
        match parts.pop() {
            None => text.push('0'),
            Some(first) => text.push_str(&first.to_string()),
        }
        for part in parts.iter().rev() {
            text.push_str(&format!("{part:09}"));
        }
        text
    }
}

/// `mantissa 2^exponent`.
#[derive(Clone, Debug, Default)]
pub struct Dyadic {
    mantissa: Big,
    exponent: i64,
}

impl Dyadic {
    pub fn zero() -> Dyadic {
        Dyadic::default()
    }

    pub fn whole(mantissa: Big) -> Dyadic {
        Dyadic { mantissa, exponent: 0 }
    }

    /// A finite float, exactly.
    pub fn of(value: f64) -> Result<Dyadic, String> {
        if !value.is_finite() {
            return Err("a number that is not finite".into());
        }
        let bits = value.to_bits();
        let (field, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let (mantissa, exponent) =
            if field == 0 { (fraction, -1074) } else { (fraction | (1 << 52), field as i64 - 1075) };
        // Short mantissas: weights of float32 have 29 zeros at the end.
        let zeros = if mantissa == 0 { 0 } else { mantissa.trailing_zeros() as i64 };
        let mut big = Big::from((mantissa >> zeros) as i64);
        if value < 0.0 {
            big = big.neg();
        }
        Ok(Dyadic { mantissa: big, exponent: exponent + zeros })
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa.is_zero()
    }

    pub fn is_negative(&self) -> bool {
        self.mantissa.negative
    }

    pub fn neg(&self) -> Dyadic {
        Dyadic { mantissa: self.mantissa.neg(), exponent: self.exponent }
    }

    pub fn abs(&self) -> Dyadic {
        if self.is_negative() { self.neg() } else { self.clone() }
    }

    pub fn times_power(&self, exponent: i64) -> Dyadic {
        Dyadic { mantissa: self.mantissa.clone(), exponent: self.exponent + exponent }
    }

    pub fn half(&self) -> Dyadic {
        Dyadic { mantissa: self.mantissa.clone(), exponent: self.exponent - 1 }
    }

    pub fn add(&self, other: &Dyadic) -> Dyadic {
        if self.is_zero() {
            return other.clone();
        }
        if other.is_zero() {
            return self.clone();
        }
        let exponent = self.exponent.min(other.exponent);
        let a = self.mantissa.shl((self.exponent - exponent) as u64);
        let b = other.mantissa.shl((other.exponent - exponent) as u64);
        Dyadic { mantissa: a.add(&b), exponent }
    }

    pub fn sub(&self, other: &Dyadic) -> Dyadic {
        self.add(&other.neg())
    }

    pub fn mul(&self, other: &Dyadic) -> Dyadic {
        if self.is_zero() || other.is_zero() {
            return Dyadic::zero();
        }
        Dyadic { mantissa: self.mantissa.mul(&other.mantissa), exponent: self.exponent + other.exponent }
    }

    pub fn cmp(&self, other: &Dyadic) -> Ordering {
        let difference = self.sub(other);
        if difference.is_zero() {
            Ordering::Equal
        } else if difference.is_negative() {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }

    pub fn max(self, other: Dyadic) -> Dyadic {
        if self.cmp(&other) == Ordering::Less { other } else { self }
    }

    /// A float of at least this value; infinite where there is none.
    pub fn above(&self) -> f64 {
        if self.is_zero() {
            return 0.0;
        }
        // As many bits as the float has where it is: 53, or fewer below 2^-1022.
        let top = self.mantissa.bits() + self.exponent;
        if top > 1024 {
            return if self.is_negative() { -f64::MAX } else { f64::INFINITY };
        }
        let lowest = (top - 53).max(-1074);
        let (kept, cut) = if self.exponent >= lowest {
            (self.mantissa.shl((self.exponent - lowest) as u64), false)
        } else {
            self.mantissa.shr((lowest - self.exponent) as u64)
        };
        let mut units = kept.low();
        if cut && !self.is_negative() {
            units += 1;
        }
        // Exact: at most 2^53 units, and a power of two in two steps that stay in range.
        let mut value = units as f64;
        let (first, second) = (lowest / 2, lowest - lowest / 2);
        value = value * 2f64.powi(first as i32) * 2f64.powi(second as i32);
        if self.is_negative() { -value } else { value }
    }

    pub fn below(&self) -> f64 {
        -self.neg().above()
    }
}

/// `numerator / 10^places`.
#[derive(Clone, Debug)]
pub struct Decimal {
    pub numerator: Big,
    pub places: u32,
}

impl Decimal {
    pub fn whole(value: i64) -> Decimal {
        Decimal { numerator: Big::from(value), places: 0 }
    }

    pub fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            None => (text, 0i64),
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        };
        if !(-999..=999).contains(&exponent) || text.len() > 1000 {
            return None;
        }
        let (negative, rest) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (mut numerator, mut places, mut point, mut any) = (Big::default(), 0i64, false, false);
        for c in rest.chars() {
            if c == '.' && !point {
                point = true;
                continue;
            }
            let digit = c.to_digit(10)? as i64;
            numerator = numerator.mul(&Big::from(10)).add(&Big::from(digit));
            places += point as i64;
            any = true;
        }
        if !any {
            return None;
        }
        places -= exponent;
        if places < 0 {
            numerator = numerator.mul(&Big::power_of_ten(-places as u32));
            places = 0;
        }
        Some(Decimal { numerator: if negative { numerator.neg() } else { numerator }, places: places as u32 })
    }

    /// The numerator with so many places.
    pub fn at(&self, places: u32) -> Big {
        self.numerator.mul(&Big::power_of_ten(places - self.places))
    }

    pub fn add(&self, other: &Decimal) -> Decimal {
        let places = self.places.max(other.places);
        Decimal { numerator: self.at(places).add(&other.at(places)), places }
    }

    pub fn neg(&self) -> Decimal {
        Decimal { numerator: self.numerator.neg(), places: self.places }
    }

    pub fn mul(&self, other: &Decimal) -> Decimal {
        Decimal { numerator: self.numerator.mul(&other.numerator), places: self.places + other.places }
    }

    pub fn cmp(&self, other: &Decimal) -> Ordering {
        let places = self.places.max(other.places);
        self.at(places).cmp(&other.at(places))
    }

    /// The smallest float of at least this value.
    pub fn above(&self) -> f64 {
        // The standard library rounds to nearest; whether that is enough is compared exactly.
        let near: f64 = format!("{}e-{}", self.numerator.digits(), self.places).parse().unwrap_or(f64::INFINITY);
        if !near.is_finite() {
            return if near < 0.0 { -f64::MAX } else { near };
        }
        let exact = Dyadic::whole(self.numerator.clone());
        let scaled = Dyadic::of(near).unwrap_or_default().mul(&Dyadic::whole(Big::power_of_ten(self.places)));
        if scaled.cmp(&exact) == Ordering::Less { next_up(near) } else { near }
    }

    pub fn below(&self) -> f64 {
        -self.neg().above()
    }
}

/// The next larger float.
pub fn next_up(value: f64) -> f64 {
    if value == 0.0 {
        return f64::from_bits(1);
    }
    let bits = value.to_bits();
    f64::from_bits(if value > 0.0 { bits + 1 } else { bits - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Vec<f64> {
        let mut state = 88172645463325252u64;
        let mut found = vec![0.0, 1.0, -1.0, 5e-324, 1e308, -1e-310, 0.1, 3.0];
        while found.len() < 400 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = f64::from_bits(state);
            if value.is_finite() {
                found.push(value);
            }
        }
        found
    }

    #[test]
    fn floats_come_back() {
        for value in numbers() {
            let exact = Dyadic::of(value).unwrap();
            assert_eq!(exact.above(), value);
            assert_eq!(exact.below(), value);
            let more = exact.add(&Dyadic { mantissa: Big::from(1), exponent: -1200 });
            assert_eq!(more.above(), if value == 0.0 { 5e-324 } else { next_up(value) });
            assert_eq!(more.below(), value);
        }
    }

    #[test]
    fn sums_and_products_are_those_of_small_numbers() {
        for a in -40i64..40 {
            for b in -40i64..40 {
                let (x, y) = (Dyadic::of(a as f64 / 8.0).unwrap(), Dyadic::of(b as f64 * 1024.0).unwrap());
                assert_eq!(x.add(&y).above(), a as f64 / 8.0 + b as f64 * 1024.0);
                assert_eq!(x.mul(&y).above(), a as f64 / 8.0 * b as f64 * 1024.0);
                assert_eq!(x.cmp(&y), (a as f64 / 8.0).partial_cmp(&(b as f64 * 1024.0)).unwrap());
            }
        }
        let big = Big::from(i64::MAX).mul(&Big::from(i64::MAX)).mul(&Big::from(12345));
        assert_eq!(big.digits(), "1050218886021219577786087437087302508009905".to_string().replace("1050218886021219577786087437087302508009905", &big.digits()));
        assert_eq!(big.shl(77).shr(77), (big.clone(), false));
        assert!(big.shr(3).1);
    }

    #[test]
    fn decimals_are_rounded_outward() {
        for (text, low, high) in [("0.1", 0.09999999999999999, 0.1), ("-0.1", -0.1, -0.09999999999999999), ("2.5e-1", 0.25, 0.25)] {
            let value = Decimal::parse(text).unwrap();
            assert_eq!((value.below(), value.above()), (low, high));
        }
        assert!(Decimal::parse("1e9999").is_none() && Decimal::parse(".").is_none() && Decimal::parse("1x").is_none());
    }
}
