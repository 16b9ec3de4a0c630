//! Writes protobuf into a buffer that does not grow past its limit.

use alloc::vec::Vec;

/// The buffer is at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Bytes of a message in protobuf's wire format.
pub(super) struct Output {
    bytes: Vec<u8>,
    most: usize,
}

/// Where the content of a nested message, or of a packed list, begins.
#[derive(Clone, Copy)]
pub(super) struct Nested {
    key: usize,
    content: usize,
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Output {
    /// At most `most` bytes.
    pub(super) const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.most {
            return Err(Full);
        }
        if needed > self.bytes.capacity() {
            let wanted = needed.max(2 * self.bytes.capacity()).max(256).min(self.most);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// A varint without a key: an element of a packed list.
    pub(super) fn varint(&mut self, mut value: u64) -> Result<(), Full> {
        let (mut bytes, mut length) = ([0; 10], 0);
        loop {
            bytes[length] = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                return self.push(&bytes[..=length]);
            }
            bytes[length] |= 0x80;
            length += 1;
        }
    }

    /// Eight bytes without a key: an element of a packed list.
    pub(super) fn fixed64(&mut self, value: u64) -> Result<(), Full> {
        self.push(&value.to_le_bytes())
    }

    fn key(&mut self, number: u32, wire_type: u32) -> Result<(), Full> {
        self.varint((number << 3 | wire_type).into())
    }

    pub(super) fn varint_field(&mut self, number: u32, value: u64) -> Result<(), Full> {
        self.key(number, VARINT)?;
        self.varint(value)
    }

    pub(super) fn fixed64_field(&mut self, number: u32, value: u64) -> Result<(), Full> {
        self.key(number, FIXED64)?;
        self.fixed64(value)
    }

    pub(super) fn fixed32_field(&mut self, number: u32, value: u32) -> Result<(), Full> {
        self.key(number, FIXED32)?;
        self.push(&value.to_le_bytes())
    }

    pub(super) fn bytes_field(&mut self, number: u32, bytes: &[u8]) -> Result<(), Full> {
        self.key(number, LENGTH)?;
        self.varint(bytes.len() as u64)?;
        self.push(bytes)
    }

    /// Begins a nested message; [`Output::close`] ends it.
    pub(super) fn open(&mut self, number: u32) -> Result<Nested, Full> {
        let key = self.bytes.len();
        self.key(number, LENGTH)?;
        // Most are short: room for a length of one byte.
        self.push(&[0])?;
        Ok(Nested { key, content: self.bytes.len() })
    }

    pub(super) fn close(&mut self, nested: Nested) -> Result<(), Full> {
        let length = self.bytes.len() - nested.content;
        let at = nested.content - 1;
        if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
            self.bytes[at] = short;
            return Ok(());
        }
        // The length behind the content, then turned to its front.
        self.varint(length as u64)?;
        let digits = self.bytes.len() - nested.content - length;
        self.bytes[nested.content..].rotate_right(digits);
        self.bytes.remove(at);
        Ok(())
    }

    /// As [`Output::close`], but nothing is written where there is no content.
    pub(super) fn close_list(&mut self, nested: Nested) -> Result<(), Full> {
        if self.bytes.len() == nested.content {
            self.bytes.truncate(nested.key);
            return Ok(());
        }
        self.close(nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_size_frame_their_content() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let mut output = Output::new(80_000);
            let nested = output.open(2).unwrap();
            output.push(&alloc::vec![b'x'; length]).unwrap();
            output.close(nested).unwrap();
            output.varint_field(3, 1).unwrap();
            let mut expected = Output::new(80_000);
            expected.bytes_field(2, &alloc::vec![b'x'; length]).unwrap();
            expected.varint_field(3, 1).unwrap();
            assert!(output.into_bytes() == expected.into_bytes(), "{length} bytes");
        }
    }

    #[test]
    fn nothing_grows_past_the_limit() {
        let mut output = Output::new(100);
        while output.fixed64_field(1, 7).is_ok() {}
        assert!(output.bytes.len() <= 100 && output.bytes.capacity() <= 100);
    }
}
