//! Steps through the elements of a DICOM data set: headers, lengths and nesting, every length held against the bytes
//! that are there.
//!
//! Source: DICOM PS3.5 section 7 (data elements, nesting).

use super::elements::ScanError;
use dicom_core::Tag;
use std::io::{Read, Seek, SeekFrom};

/// Deepest nesting of sequences that is followed.
const MAX_DEPTH: usize = 32;
/// Most bytes that a deflated data set may inflate to.
const MAX_INFLATED_BYTES: u64 = 1 << 28;
/// Length field of a value whose end is marked by a delimiter.
pub(super) const UNDEFINED: u32 = u32::MAX;
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
pub(super) const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Value representations whose length field has 32 bits in explicit encodings.
const LONG_VR: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// How elements are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

pub(super) fn unreadable(error: std::io::Error) -> ScanError {
    ScanError::Damaged(format!("it cannot be read: {}", crate::io_words(&error)))
}

pub(super) fn damaged<T>(words: &str) -> Result<T, ScanError> {
    Err(ScanError::Damaged(words.to_owned()))
}

/// The header of an element.
pub(super) struct Element {
    pub tag: Tag,
    pub vr: [u8; 2],
    pub length: u32,
}

impl Element {
    /// Whether it may be a sequence: one of unknown type (UN) is written in implicit VR (PS3.5 section 6.2.2).
    pub(super) fn is_sequence(&self) -> bool {
        matches!(&self.vr, b"SQ" | b"UN" | b"  ")
    }
}

/// An item of a sequence that is being walked.
#[derive(Clone, Copy)]
pub(super) struct Item {
    /// Where it ends; `None` where a delimiter says it.
    pub end: Option<u64>,
}

/// Where a walk through a data set stands.
pub(super) struct Walker<R> {
    pub reader: R,
    pub at: u64,
    pub end: u64,
    pub encoding: Encoding,
}

impl<R: Read + Seek> Walker<R> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], ScanError> {
        if self.end - self.at < N as u64 {
            return damaged("it ends in the middle of an element");
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub(super) fn take_vec(&mut self, length: u32) -> Result<Vec<u8>, ScanError> {
        if u64::from(length) > self.end - self.at {
            return damaged("it is truncated");
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(unreadable)?;
        self.at += u64::from(length);
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<(), ScanError> {
        if length > self.end - self.at {
            return damaged("it is truncated");
        }
        let step = i64::try_from(length).map_err(|_| ScanError::Damaged("a length is absurd".to_owned()))?;
        self.reader.seek_relative(step).map_err(unreadable)?;
        self.at += length;
        Ok(())
    }

    pub(super) fn back(&mut self, length: u64) -> Result<(), ScanError> {
        self.at -= length;
        self.reader.seek(SeekFrom::Start(self.at)).map(|_| ()).map_err(unreadable)
    }

    pub(super) fn peek_group(&mut self) -> Result<Option<u16>, ScanError> {
        if self.end - self.at < 8 {
            return Ok(None);
        }
        let bytes = self.take::<2>()?;
        self.back(2)?;
        Ok(Some(u16::from_le_bytes(bytes)))
    }

    pub(super) fn u16(&self, b: [u8; 2]) -> u16 {
        if self.encoding == Encoding::ExplicitBig { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
    }

    pub(super) fn u32(&self, b: [u8; 4]) -> u32 {
        if self.encoding == Encoding::ExplicitBig { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    }

    /// The next element's header, or `None` at the end. Fewer than 8 bytes left over count as padding.
    pub(super) fn element(&mut self) -> Result<Option<Element>, ScanError> {
        if self.end - self.at < 8 {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = self.take::<8>()?;
        let tag = Tag(self.u16([a, b]), self.u16([c, d]));
        if tag.0 == 0xFFFE || self.encoding == Encoding::ImplicitLittle {
            return Ok(Some(Element { tag, vr: *b"  ", length: self.u32([e, f, g, h]) }));
        }
        let vr = [e, f];
        if LONG_VR.contains(&&vr) {
            let bytes = self.take::<4>()?;
            return Ok(Some(Element { tag, vr, length: self.u32(bytes) }));
        }
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return damaged("an element has no type (VR)");
        }
        Ok(Some(Element { tag, vr, length: u32::from(self.u16([g, h])) }))
    }

    pub(super) fn inflate(&mut self) -> Result<Vec<u8>, ScanError> {
        let mut out = Vec::new();
        let decoder = flate2::read::DeflateDecoder::new(&mut self.reader);
        let read = decoder.take(MAX_INFLATED_BYTES + 1).read_to_end(&mut out);
        if read.is_err() {
            return damaged("its deflated data set is damaged");
        }
        if out.len() as u64 > MAX_INFLATED_BYTES {
            return damaged("its deflated data set inflates to far more than one slice holds");
        }
        Ok(out)
    }

    /// Hands the items of a sequence over, one after the other; `each` must take all of an item.
    pub(super) fn each_item(
        &mut self,
        sequence: &Element,
        each: &mut dyn FnMut(&mut Self, Item) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let outer = self.encoding;
        if &sequence.vr == b"UN" {
            self.encoding = Encoding::ImplicitLittle;
        }
        let end = self.end_of(sequence.length)?;
        while end.is_none_or(|end| self.at < end) {
            match self.element()? {
                Some(Element { tag: SEQUENCE_END, .. }) if end.is_none() => break,
                Some(Element { tag: ITEM, length, .. }) => {
                    let item = Item { end: self.end_of(length)? };
                    each(self, item)?;
                }
                Some(_) => return damaged("a sequence holds something that is no item"),
                None => return damaged("it ends inside a sequence"),
            }
        }
        self.encoding = outer;
        if end.is_none_or(|end| end == self.at) {
            Ok(())
        } else {
            damaged("an item is longer than its sequence")
        }
    }

    /// Hands the elements of an item over, one after the other; `each` must take the value of each.
    pub(super) fn each_element(
        &mut self,
        item: Item,
        each: &mut dyn FnMut(&mut Self, Element) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        while item.end.is_none_or(|end| self.at < end) {
            match self.element()? {
                Some(Element { tag: ITEM_END, .. }) if item.end.is_none() => return Ok(()),
                Some(element) => each(self, element)?,
                None => return damaged("it ends inside a sequence"),
            }
        }
        if item.end == Some(self.at) { Ok(()) } else { damaged("an element is longer than its item") }
    }

    /// Where a value of this length ends; `None` where a delimiter says it.
    pub(super) fn end_of(&self, length: u32) -> Result<Option<u64>, ScanError> {
        match length {
            UNDEFINED => Ok(None),
            length if u64::from(length) <= self.end - self.at => Ok(Some(self.at + u64::from(length))),
            _ => damaged("it is truncated"),
        }
    }

    pub(super) fn skip_value(&mut self, element: &Element, depth: usize) -> Result<(), ScanError> {
        if element.length != UNDEFINED {
            return self.skip(u64::from(element.length));
        }
        // An unknown element of undefined length is a sequence in implicit VR (PS3.5 section 6.2.2 note).
        let outer = self.encoding;
        if &element.vr == b"UN" {
            self.encoding = Encoding::ImplicitLittle;
        }
        self.skip_items(depth + 1)?;
        self.encoding = outer;
        Ok(())
    }

    pub(super) fn skip_items(&mut self, depth: usize) -> Result<(), ScanError> {
        if depth > MAX_DEPTH {
            return damaged("its sequences are nested too deeply");
        }
        loop {
            match self.element()? {
                Some(Element { tag: SEQUENCE_END, .. }) => return Ok(()),
                Some(Element { tag: ITEM, length: UNDEFINED, .. }) => loop {
                    match self.element()? {
                        Some(Element { tag: ITEM_END, .. }) => break,
                        Some(element) => self.skip_value(&element, depth)?,
                        None => return damaged("it ends inside a sequence"),
                    }
                },
                Some(Element { tag: ITEM, length, .. }) => self.skip(u64::from(length))?,
                Some(_) => return damaged("a sequence holds something that is no item"),
                None => return damaged("it ends inside a sequence"),
            }
        }
    }
}
