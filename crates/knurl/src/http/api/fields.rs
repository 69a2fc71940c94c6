//! The fields of a JSON object, typed and never coerced: `"1"` is no integer, `1` no string, `"true"` no boolean.
//!
//! Only the fields that are asked for are decoded; the rest is skipped over without allocating. Every wrong field is reported, not
//! just the first.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::error::{Code, Error, FieldError};

/// `N` named fields of one object, still as the text they came in.
#[derive(Debug)]
pub(super) struct Fields<'a, const N: usize> {
    names: &'static [&'static str; N],
    values: [Option<&'a RawValue>; N],
    pub(super) errors: Vec<FieldError>,
}

/// A field that may be left out, and may be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// Null counts as left out.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Value(value) => Given::Value(f(value)),
            Self::Null => Given::Null,
            Self::Absent => Given::Absent,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'n') => Kind::Null,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'"') => Kind::String,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        _ => Kind::Number,
    }
}

impl<'a, const N: usize> Fields<'a, N> {
    pub(super) fn parse(body: &'a [u8], names: &'static [&'static str; N]) -> Result<Self, Error> {
        Self::parse_text(utf8(body)?, names)
    }

    pub(super) fn parse_text(text: &'a str, names: &'static [&'static str; N]) -> Result<Self, Error> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(Error::new(Code::EmptyBody));
        }
        if !text.starts_with('{') {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
            return Err(Error::new(Code::NotAnObject));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let (values, twice) = Object { names }.deserialize(&mut deserializer).map_err(|error| malformed(&error))?;
        deserializer.end().map_err(|error| malformed(&error))?;
        let mut fields = Self { names, values, errors: Vec::new() };
        if let Some(index) = twice {
            fields.fail(index, "duplicate", format!("{} stands twice in the object.", names[index]));
        }
        Ok(fields)
    }

    /// Whether any of the fields stands in the object.
    pub(super) fn any(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.values[index].is_some()
    }

    pub(super) fn fail(&mut self, index: usize, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.errors.push(FieldError { field: self.names[index].into(), code, message: message.into() });
    }

    /// All that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Error::fields(self.errors))
    }

    fn wrong(&mut self, index: usize, wanted: &str) {
        self.fail(index, "wrong_type", format!("{} must be {wanted}.", self.names[index]));
    }

    fn missing(&mut self, index: usize) {
        self.fail(index, "missing", format!("{} is required.", self.names[index]));
    }

    /// `Absent` also where the field was wrong (which is noted).
    pub(super) fn string(&mut self, index: usize) -> Given<Cow<'a, str>> {
        let Some(raw) = self.values[index] else { return Given::Absent };
        match kind(raw) {
            Kind::Null => Given::Null,
            Kind::String => match decode(raw.get()) {
                Some(text) if !text.contains('\0') => Given::Value(text),
                _ => {
                    self.fail(index, "invalid", format!("{} holds characters that are not text.", self.names[index]));
                    Given::Absent
                }
            },
            _ => {
                self.wrong(index, "a string");
                Given::Absent
            }
        }
    }

    pub(super) fn required_string(&mut self, index: usize) -> Option<Cow<'a, str>> {
        if self.values[index].is_none() {
            self.missing(index);
        }
        self.string_not_null(index)
    }

    /// May be left out, may not be null.
    pub(super) fn string_not_null(&mut self, index: usize) -> Option<Cow<'a, str>> {
        match self.string(index) {
            Given::Absent => None,
            Given::Value(text) => Some(text),
            Given::Null => {
                self.wrong(index, "a string");
                None
            }
        }
    }

    pub(super) fn integer(&mut self, index: usize) -> Given<i64> {
        let Some(raw) = self.values[index] else { return Given::Absent };
        match kind(raw) {
            Kind::Null => Given::Null,
            Kind::Number => match raw.get().parse() {
                Ok(number) => Given::Value(number),
                Err(_) => {
                    self.wrong(index, "an integer of at most 64 bits");
                    Given::Absent
                }
            },
            _ => {
                self.wrong(index, "an integer");
                Given::Absent
            }
        }
    }

    pub(super) fn required_integer(&mut self, index: usize) -> Option<i64> {
        match self.integer(index) {
            Given::Value(number) => return Some(number),
            Given::Null => self.wrong(index, "an integer"),
            Given::Absent if self.values[index].is_none() => self.missing(index),
            Given::Absent => {}
        }
        None
    }

    /// May be left out, may not be null.
    pub(super) fn boolean(&mut self, index: usize) -> Option<bool> {
        let raw = self.values[index]?;
        match raw.get() {
            "true" => return Some(true),
            "false" => return Some(false),
            _ => self.wrong(index, "true or false"),
        }
        None
    }

    /// The text of an array.
    pub(super) fn required_array(&mut self, index: usize) -> Option<&'a str> {
        match self.values[index] {
            Some(raw) if kind(raw) == Kind::Array => return Some(raw.get()),
            Some(_) => self.wrong(index, "an array"),
            None => self.missing(index),
        }
        None
    }

    /// The text of an object, kept as it came; null counts as left out.
    pub(super) fn object(&mut self, index: usize) -> Option<&'a str> {
        let raw = self.values[index]?;
        match kind(raw) {
            Kind::Null => return None,
            // Parsed once, so that what is stored can be read by any parser: bounded depth, numbers in range, whole surrogates.
            Kind::Object if serde_json::from_str::<serde_json::Value>(raw.get()).is_ok() => return Some(raw.get()),
            Kind::Object => {
                self.fail(index, "invalid", format!("{} is nested too deeply or holds an impossible value.", self.names[index]));
            }
            _ => self.wrong(index, "an object or null"),
        }
        None
    }
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(body).map_err(|_| Error::new(Code::MalformedJson).with_detail("The body is not UTF-8."))
}

/// Borrowed where nothing is escaped. `None`: half a surrogate pair.
fn decode(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
}

/// Tells where, in words of ours: the parser's own may hold pieces of the body.
pub(super) fn malformed(error: &serde_json::Error) -> Error {
    let what = if error.is_eof() { "ends too early" } else { "is not valid JSON" };
    Error::new(Code::MalformedJson).with_detail(format!("The body {what} (line {}, column {}).", error.line(), error.column()))
}

struct Object<const N: usize> {
    names: &'static [&'static str; N],
}

type Found<'de, const N: usize> = ([Option<&'de RawValue>; N], Option<usize>);

impl<'de, const N: usize> DeserializeSeed<'de> for Object<N> {
    type Value = Found<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Object<N> {
    type Value = Found<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        let mut twice = None;
        while let Some(known) = map.next_key_seed(Name { names: self.names })? {
            let Some(index) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if values[index].replace(map.next_value::<&RawValue>()?).is_some() {
                twice = Some(index);
            }
        }
        Ok((values, twice))
    }
}

/// Which of the names a key is.
struct Name<const N: usize> {
    names: &'static [&'static str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Name<N> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Name<N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|known| *known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str; 3] = &["n", "s", "b"];

    fn fields(text: &str) -> Fields<'_, 3> {
        Fields::parse(text.as_bytes(), NAMES).expect("an object")
    }

    #[test]
    fn nothing_is_coerced() {
        for wrong in
            [r#"{"n":"1"}"#, r#"{"n":true}"#, r#"{"n":1.0}"#, r#"{"n":1e3}"#, r#"{"n":99999999999999999999}"#, r#"{"n":[1]}"#]
        {
            let mut fields = fields(wrong);
            assert_eq!(fields.required_integer(0), None, "{wrong}");
            assert_eq!(fields.errors.len(), 1, "{wrong}");
        }
        for wrong in [r#"{"s":1}"#, r#"{"s":null}"#, r#"{"s":{}}"#, r#"{"s":"\ud800"}"#, r#"{"s":"\u0000"}"#] {
            let mut fields = fields(wrong);
            assert_eq!(fields.required_string(1), None, "{wrong}");
            assert_eq!(fields.errors.len(), 1, "{wrong}");
        }
        for wrong in [r#"{"b":1}"#, r#"{"b":"true"}"#, r#"{"b":null}"#] {
            let mut fields = fields(wrong);
            assert_eq!(fields.boolean(2), None, "{wrong}");
            assert_eq!(fields.errors.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn escapes_and_unicode_are_decoded() {
        let mut fields = fields(r#" {"\u0073":"a\u00e9\ud83d\ude00\n","n":-7,"b":false} "#);
        assert_eq!(fields.required_string(1).as_deref(), Some("aé😀\n"));
        assert_eq!(fields.required_integer(0), Some(-7));
        assert_eq!(fields.boolean(2), Some(false));
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        assert_eq!(fields(r#"{"n":1,"n":1}"#).errors[0].code, "duplicate");
    }

    #[test]
    fn what_is_no_object_is_told_apart_from_what_is_no_json() {
        let code = |text: &[u8]| Fields::parse(text, NAMES).map(|_| ()).map_err(|error| error.code());
        assert_eq!(code(b""), Err(Code::EmptyBody));
        assert_eq!(code(b" \n"), Err(Code::EmptyBody));
        for other in ["[]", "\"x\"", "1", "null", "true"] {
            assert_eq!(code(other.as_bytes()), Err(Code::NotAnObject), "{other}");
        }
        let deep = "[".repeat(100_000);
        for broken in ["{", "{]", "{\"n\":}", "{} {}", "nul", &deep, &format!("{{\"n\":{deep}")] {
            assert_eq!(code(broken.as_bytes()), Err(Code::MalformedJson));
        }
        assert_eq!(code(b"{\"s\":\"\xff\"}"), Err(Code::MalformedJson));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{{\"n\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let mut fields = fields(&deep);
        assert_eq!(fields.required_integer(0), None);
    }
}
