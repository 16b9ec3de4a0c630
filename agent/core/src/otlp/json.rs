//! OTLP in JSON becomes OTLP in protobuf (opentelemetry.io/docs/specs/otlp, "JSON Protobuf
//! Encoding"), in one pass from bytes to bytes: nothing is built in between.
//!
//! Tolerant as ProtoJSON is: names in camel case or as in the schema, 64-bit integers as numbers
//! or digits in a string, base64 of either alphabet, `null` as absent, unknown fields ignored. More
//! tolerant in two places: enumerations may be names, and text that is no Unicode gets replacement
//! characters, so that one broken byte costs no other record.
//!
//! Nesting ends at serde_json's limit of 128 levels, which are fewer than the 100 messages that
//! protobuf decoders accept, so that no backend refuses for depth what was taken in here.

use super::Signal;
use super::output::{Full, Output};
use super::schema::{Field, Kind, Rule, request};
use alloc::{string::String, vec::Vec};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use core::fmt;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Why JSON was not turned into protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untranslated {
    /// The result would be longer than it may be.
    TooLarge,
    /// It is no JSON, or not what is wanted at this place.
    Malformed {
        /// The field, by its name in JSON, where it is one of ours.
        field: Option<String>,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
}

/// What went wrong, beside what serde_json says; kept apart so that nothing of the input gets into
/// a message.
#[derive(Default)]
pub(super) struct Trouble {
    pub(super) full: bool,
    field: Option<&'static Field>,
}

impl Trouble {
    pub(super) fn into_error(self, error: &serde_json::Error) -> Untranslated {
        if self.full {
            return Untranslated::TooLarge;
        }
        let field = self.field.map(|field| field.json_name().collect());
        Untranslated::Malformed { field, line: error.line(), column: error.column() }
    }
}

/// The export request of `signal` that `json` spells, in at most `most` bytes.
///
/// # Errors
/// [`Untranslated`].
pub fn from_json(signal: Signal, json: &[u8], most: usize) -> Result<Vec<u8>, Untranslated> {
    let mut output = Output::new(most);
    let mut trouble = Trouble::default();
    let mut input = serde_json::Deserializer::from_slice(json);
    let body = Body { message: request(signal), output: &mut output, trouble: &mut trouble };
    let read = input.deserialize_map(body).and_then(|()| input.end());
    match read {
        Ok(()) => Ok(output.into_bytes()),
        Err(error) => Err(trouble.into_error(&error)),
    }
}

/// Writes the fields of a message.
struct Body<'a> {
    message: &'static [Field],
    output: &'a mut Output,
    trouble: &'a mut Trouble,
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { message, output, trouble } = self;
        while let Some(field) = map.next_key_seed(Name(message))? {
            match field {
                Some(field) => map.next_value_seed(Content {
                    field,
                    listed: false,
                    output: &mut *output,
                    trouble: &mut *trouble,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A key: the field that it names.
struct Name(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.is_called(key)))
    }
}

/// A number as JSON has it.
#[derive(Clone, Copy)]
enum Number {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let of_digits = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        if let Ok(number) = text.parse() {
            return Some(Self::Unsigned(number));
        }
        if let Ok(number) = text.parse() {
            return Some(Self::Signed(number));
        }
        match text {
            "NaN" => Some(Self::Double(f64::NAN)),
            "Infinity" => Some(Self::Double(f64::INFINITY)),
            "-Infinity" => Some(Self::Double(f64::NEG_INFINITY)),
            _ if text.bytes().all(of_digits) => text.parse().ok().map(Self::Double),
            _ => None,
        }
    }

    const fn double(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Signed(number) => number as f64,
            Self::Double(number) => number,
        }
    }

    /// Also of `1e3` or `7.0`, where the double has every digit.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(number.into()),
            Self::Signed(number) => Some(number.into()),
            Self::Double(number) => {
                let whole = number as i128;
                (whole as f64 == number).then_some(whole)
            }
        }
    }

    fn to<T: TryFrom<i128>>(self) -> Option<T> {
        T::try_from(self.whole()?).ok()
    }
}

/// Writes what a field holds.
struct Content<'a> {
    field: &'static Field,
    /// It is an element of the field's list.
    listed: bool,
    output: &'a mut Output,
    trouble: &'a mut Trouble,
}

impl Content<'_> {
    fn wrong<E: Error>(self) -> E {
        self.trouble.field.get_or_insert(self.field);
        E::custom("")
    }

    fn is_list(&self) -> bool {
        self.field.rule == Rule::Repeated && !self.listed
    }

    fn put<E: Error>(self, write: impl FnOnce(&mut Output) -> Result<(), Full>) -> Result<(), E> {
        write(self.output).map_err(|Full| {
            self.trouble.full = true;
            E::custom("")
        })
    }

    /// Bytes, where they are not left out for being none.
    fn bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        let number = self.field.number;
        if bytes.is_empty() && self.field.rule == Rule::Plain {
            return Ok(());
        }
        self.put(|output| output.bytes_field(number, bytes))
    }

    fn varint<E: Error>(self, value: Option<u64>) -> Result<(), E> {
        let Some(value) = value else { return Err(self.wrong()) };
        let number = self.field.number;
        match (self.field.rule, value) {
            (Rule::Plain, 0) => Ok(()),
            (Rule::Repeated, _) => self.put(|output| output.varint(value)),
            (Rule::Plain | Rule::Explicit, _) => {
                self.put(|output| output.varint_field(number, value))
            }
        }
    }

    fn fixed64<E: Error>(self, value: Option<u64>) -> Result<(), E> {
        let Some(value) = value else { return Err(self.wrong()) };
        let number = self.field.number;
        match (self.field.rule, value) {
            (Rule::Plain, 0) => Ok(()),
            (Rule::Repeated, _) => self.put(|output| output.fixed64(value)),
            (Rule::Plain | Rule::Explicit, _) => {
                self.put(|output| output.fixed64_field(number, value))
            }
        }
    }

    fn number<E: Error>(self, value: Number) -> Result<(), E> {
        if self.is_list() {
            return Err(self.wrong());
        }
        let number = self.field.number;
        // Negative integers take ten bytes, whatever their type.
        let signed = |value: i64| value as u64;
        match self.field.kind {
            Kind::Double => self.fixed64(Some(value.double().to_bits())),
            Kind::Uint32 => self.varint(value.to::<u32>().map(u64::from)),
            Kind::Enum(..) => self.varint(value.to::<i32>().map(|value| signed(value.into()))),
            Kind::Sint32 => {
                let zigzag = |value: i32| ((value << 1) ^ (value >> 31)) as u32;
                self.varint(value.to::<i32>().map(zigzag).map(u64::from))
            }
            Kind::Fixed32 => match value.to::<u32>() {
                Some(0) => Ok(()),
                Some(value) => self.put(|output| output.fixed32_field(number, value)),
                None => Err(self.wrong()),
            },
            Kind::Uint64 => self.varint(value.to()),
            Kind::Int64 => self.varint(value.to::<i64>().map(signed)),
            Kind::Fixed64 => self.fixed64(value.to()),
            Kind::Sfixed64 => self.fixed64(value.to::<i64>().map(signed)),
            Kind::Text
            | Kind::Bytes
            | Kind::Id(_)
            | Kind::Bool
            | Kind::Message(_)
            | Kind::Misplaced => Err(self.wrong()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        // As bytes: a string that is no Unicode is an error otherwise.
        if matches!(self.field.kind, Kind::Text) && !self.is_list() {
            input.deserialize_option(self)
        } else {
            input.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the schema says")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match (self.listed, &self.field.kind) {
            (false, _) => Ok(()),
            // A value that is none keeps its place among the others.
            (true, Kind::Message(_)) => self.bytes(&[]),
            (true, _) => Err(self.wrong()),
        }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_bytes(self)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        match core::str::from_utf8(bytes) {
            Ok(_) => self.bytes(bytes),
            Err(_) => self.bytes(String::from_utf8_lossy(bytes).as_bytes()),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if matches!(self.field.kind, Kind::Bool) {
            self.varint(Some(value.into()))
        } else {
            Err(self.wrong())
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(Number::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Double(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Id(_) if text.is_empty() => Ok(()),
            Kind::Id(8) => match id::<8>(text) {
                Some(id) => self.bytes(&id),
                None => Err(self.wrong()),
            },
            Kind::Id(_) => match id::<16>(text) {
                Some(id) => self.bytes(&id),
                None => Err(self.wrong()),
            },
            Kind::Bytes => match decode_base64(text) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(self.wrong()),
            },
            Kind::Enum(prefix, names) => {
                let name = text.strip_prefix(prefix).unwrap_or(text);
                let known = names.iter().position(|known| known.eq_ignore_ascii_case(name));
                let value = known.map(|value| Number::Unsigned(value as u64));
                match value.or_else(|| Number::parse(text)) {
                    Some(value) => self.number(value),
                    None => Err(self.wrong()),
                }
            }
            Kind::Text
            | Kind::Bool
            | Kind::Double
            | Kind::Uint32
            | Kind::Sint32
            | Kind::Fixed32
            | Kind::Uint64
            | Kind::Int64
            | Kind::Fixed64
            | Kind::Sfixed64
            | Kind::Message(_)
            | Kind::Misplaced => match Number::parse(text) {
                Some(value) => self.number(value),
                None => Err(self.wrong()),
            },
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.is_list() {
            return Err(self.wrong());
        }
        let Self { field, output, trouble, .. } = self;
        let packed = if field.kind.is_packed() {
            let opened = output.open(field.number);
            Some(opened.map_err(|Full| {
                trouble.full = true;
                A::Error::custom("")
            })?)
        } else {
            None
        };
        loop {
            let (output, trouble) = (&mut *output, &mut *trouble);
            let element = Content { field, listed: true, output, trouble };
            if list.next_element_seed(element)?.is_none() {
                break;
            }
        }
        match packed {
            Some(nested) => Content { field, listed: false, output, trouble }
                .put(|output| output.close_list(nested)),
            None => Ok(()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let is_list = self.is_list();
        let Kind::Message(message) = self.field.kind else { return Err(self.wrong()) };
        if is_list {
            return Err(self.wrong());
        }
        let Self { field, listed, output, trouble } = self;
        let nested = output.open(field.number).map_err(|Full| {
            trouble.full = true;
            A::Error::custom("")
        })?;
        Body { message, output: &mut *output, trouble: &mut *trouble }.visit_map(map)?;
        Content { field, listed, output, trouble }.put(|output| output.close(nested))
    }
}

/// The `N` bytes that hexadecimal digits spell.
pub(super) fn id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut id = [0; N];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(id)
}

/// Of either alphabet, padded or not.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let text: Vec<u8> = text.bytes().map(standard).collect();
    LENIENT.decode(text).ok()
}
