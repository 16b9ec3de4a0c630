//! A record as a list of tagged values, so that builds of different age share a store.
//!
//! A field is a tag (varint), a length (varint) and a value in postcard's form. A tag never
//! changes its value's type; new knowledge takes a new tag. Tags that a build does not know
//! stay in the record when it changes others and writes it back.

use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::log::{push_varint, take_varint};

/// Fields in the order in which they came.
#[derive(Clone, Default)]
pub struct Fields {
    fields: Vec<(u16, Zeroizing<Vec<u8>>)>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields in `bytes`, known and unknown.
    ///
    /// # Errors
    /// [`FieldError`] if `bytes` is cut short, has a tag above 65535 or one tag twice.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, FieldError> {
        let mut fields = Self::new();
        while !bytes.is_empty() {
            let tag = take_varint(&mut bytes).and_then(|tag| u16::try_from(tag).ok());
            let tag = tag.ok_or(FieldError { tag: None })?;
            let malformed = FieldError { tag: Some(tag) };
            let len = take_varint(&mut bytes).and_then(|len| usize::try_from(len).ok());
            let (value, rest) = len.and_then(|len| bytes.split_at_checked(len)).ok_or(malformed)?;
            if fields.raw(tag).is_some() {
                return Err(malformed);
            }
            fields.fields.push((tag, Zeroizing::new(value.to_vec())));
            bytes = rest;
        }
        Ok(fields)
    }

    /// The value of `tag`, or `None` if the record has no such field.
    ///
    /// # Errors
    /// [`FieldError`] if the field is not exactly one `T`.
    pub fn get<T: DeserializeOwned>(&self, tag: u16) -> Result<Option<T>, FieldError> {
        let Some(bytes) = self.raw(tag) else { return Ok(None) };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) | Err(_) => Err(FieldError { tag: Some(tag) }),
        }
    }

    /// The value of `tag`, a string of bytes, where it lies.
    ///
    /// # Errors
    /// [`FieldError`] if the field is not exactly that.
    pub fn get_bytes(&self, tag: u16) -> Result<Option<&[u8]>, FieldError> {
        let Some(bytes) = self.raw(tag) else { return Ok(None) };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) | Err(_) => Err(FieldError { tag: Some(tag) }),
        }
    }

    /// Sets the value of `tag`, in its old place if it has one.
    ///
    /// # Errors
    /// [`FieldError`] if `T` cannot be written in postcard's form.
    pub fn set<T: Serialize + ?Sized>(&mut self, tag: u16, value: &T) -> Result<(), FieldError> {
        let bytes = postcard::to_allocvec(value).map_err(|_| FieldError { tag: Some(tag) })?;
        let bytes = Zeroizing::new(bytes);
        match self.fields.iter_mut().find(|(t, _)| *t == tag) {
            Some((_, old)) => *old = bytes,
            None => self.fields.push((tag, bytes)),
        }
        Ok(())
    }

    /// Builder form of [`set`](Self::set).
    ///
    /// # Errors
    /// As there.
    pub fn with<T: Serialize + ?Sized>(mut self, tag: u16, value: &T) -> Result<Self, FieldError> {
        self.set(tag, value)?;
        Ok(self)
    }

    /// Takes the field with this tag out.
    pub fn remove(&mut self, tag: u16) {
        self.fields.retain(|(t, _)| *t != tag);
    }

    /// The tags there are.
    pub fn tags(&self) -> impl Iterator<Item = u16> {
        self.fields.iter().map(|(tag, _)| *tag)
    }

    /// The record to keep.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let len = self.fields.iter().map(|(_, value)| value.len() + 13).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        for (tag, value) in &self.fields {
            push_varint(&mut out, u64::from(*tag));
            push_varint(&mut out, value.len() as u64);
            out.extend(value.iter());
        }
        out
    }

    fn raw(&self, tag: u16) -> Option<&[u8]> {
        self.fields.iter().find(|(t, _)| *t == tag).map(|(_, value)| value.as_slice())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tags()).finish()
    }
}

/// A field that is not what it should be; without a tag, the list itself is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field in question.
    pub tag: Option<u16>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            Some(tag) => write!(f, "field {tag} of the record is malformed"),
            None => f.write_str("record is malformed"),
        }
    }
}

impl core::error::Error for FieldError {}
