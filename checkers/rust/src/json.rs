//! Headers: JSON in the one form that docs/certificates.md calls canonical.

use std::collections::BTreeMap;

pub enum Json {
    Text(String),
    Number(u64),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

const NONE: &str = "has a header that is none";

impl Json {
    /// The value in a text; refused unless writing it gives the text again, so that nothing can be said twice.
    pub fn canonical(text: &str) -> Result<Json, String> {
        let mut reader = Reader { rest: text };
        let found = reader.value(0)?;
        let mut again = String::new();
        found.write(&mut again);
        if !reader.rest.is_empty() || again != text {
            return Err("has a header that is not in canonical form".into());
        }
        Ok(found)
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Text(text) => quoted(text, out),
            Json::Number(number) => out.push_str(&number.to_string()),
            Json::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(fields) => {
                out.push('{');
                for (at, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    quoted(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The fields of an object that has these and no others.
    pub fn fields(&self, names: &[&str]) -> Result<&BTreeMap<String, Json>, String> {
        match self {
            Json::Object(fields) if fields.len() == names.len() && names.iter().all(|name| fields.contains_key(*name)) => Ok(fields),
            _ => Err(NONE.into()),
        }
    }

    pub fn text(&self) -> Result<&str, String> {
        match self {
            Json::Text(text) => Ok(text),
            _ => Err(NONE.into()),
        }
    }

    pub fn count(&self) -> Result<usize, String> {
        match self {
            Json::Number(number) if *number < 1 << 53 => Ok(*number as usize),
            _ => Err(NONE.into()),
        }
    }

    pub fn list(&self) -> Result<&[Json], String> {
        match self {
            Json::List(items) => Ok(items),
            _ => Err(NONE.into()),
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<char, String> {
        let first = self.rest.chars().next().ok_or(NONE)?;
        self.rest = &self.rest[first.len_utf8()..];
        Ok(first)
    }

    fn is_next(&mut self, wanted: char) -> bool {
        let is = self.rest.starts_with(wanted);
        if is {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        is
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 8 {
            return Err(NONE.into());
        }
        match self.next()? {
            '"' => Ok(Json::Text(self.quoted()?)),
            '[' => {
                let mut items = Vec::new();
                while !self.is_next(']') {
                    if !items.is_empty() && !self.is_next(',') {
                        return Err(NONE.into());
                    }
                    items.push(self.value(depth + 1)?);
                }
                Ok(Json::List(items))
            }
            '{' => {
                let mut fields = BTreeMap::new();
                while !self.is_next('}') {
                    if (!fields.is_empty() && !self.is_next(',')) || !self.is_next('"') {
                        return Err(NONE.into());
                    }
                    let key = self.quoted()?;
                    if !self.is_next(':') || fields.insert(key, self.value(depth + 1)?).is_some() {
                        return Err(NONE.into());
                    }
                }
                Ok(Json::Object(fields))
            }
            first if first.is_ascii_digit() => {
                let mut number = first as u64 - 48;
                while let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(10)) {
                    number = number.checked_mul(10).and_then(|n| n.checked_add(digit as u64)).ok_or(NONE)?;
                    self.rest = &self.rest[1..];
                }
                Ok(Json::Number(number))
            }
            _ => Err(NONE.into()),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(match self.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let digits = self.rest.get(..4).ok_or(NONE)?;
                        let code = u32::from_str_radix(digits, 16).map_err(|_| NONE)?;
                        self.rest = &self.rest[4..];
                        char::from_u32(code).ok_or(NONE)?
                    }
                    c @ ('"' | '\\') => c,
                    _ => return Err(NONE.into()),
                }),
                c => text.push(c),
            }
        }
    }
}
