//! Walks the elements of a DICOM data set without reading their values, and keeps those of a fixed list.
//!
//! Two reasons to look before parsing. Lengths: the parser allocates what a length field claims (up to 4 GiB) before
//! it finds out that the file is shorter; `walk` holds every length against the bytes that are there. Privacy: only
//! the elements in [`WANTED`] are handed to the parser, so that no attribute of the patient is ever in memory as one;
//! the patient's id is the exception, and the header that is made keeps its hash alone.
//!
//! Of the frames of an enhanced object a fixed list is kept too, out of those functional groups that say what a frame
//! is and where it lies.
//!
//! Source: DICOM PS3.5 section 7 (data elements, nesting), section A.4 (fragments) and PS3.10 section 7 (preamble and
//! file meta group); PS3.3 C.7.6.16 (functional groups).

use super::frames::is_enhanced;
pub(super) use super::walk::Encoding;
use super::walk::{Element, ITEM, Item, SEQUENCE_END, UNDEFINED, Walker, damaged, unreadable};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;
use std::io::{Read, Seek, SeekFrom};

/// The elements that are read, and no others. None of them but the id says who the patient is or when they were scanned.
const WANTED: [Tag; 32] = [
    tags::IMAGE_TYPE,
    tags::VOLUME_BASED_CALCULATION_TECHNIQUE,
    tags::SOP_CLASS_UID,
    tags::MODALITY,
    tags::PATIENT_ID, // to see slices of two persons in one series; compared as a hash
    tags::SERIES_INSTANCE_UID, // to group slices; compared, never shown
    tags::FRAME_OF_REFERENCE_UID, // to know whether positions can be compared; compared, never shown
    tags::SERIES_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::MODALITY_LUT_SEQUENCE, // only whether it is there
    tags::FLOAT_PIXEL_DATA,
    tags::DOUBLE_FLOAT_PIXEL_DATA,
    tags::PIXEL_DATA,
    tags::TRANSFER_SYNTAX_UID,
    tags::MEDIA_STORAGE_SOP_CLASS_UID,
];

/// The groups of attributes of an enhanced object that say what a frame is and where it lies, and no others; of each,
/// and of what frames share, the first item counts, which is the only one that the standard allows.
const FRAME_GROUPS: [Tag; 5] = [
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
];
/// The elements that are read inside them.
const WANTED_OF_FRAME: [Tag; 8] = [
    tags::FRAME_TYPE, // kept as the ImageType that a single image would have
    tags::VOLUME_BASED_CALCULATION_TECHNIQUE,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::PIXEL_SPACING,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
];

/// Most frames of one object: twice what a dynamic CT of 26 phases with 320 slices each has.
pub(super) const MAX_FRAMES: usize = 1 << 14;

/// Longest value of a wanted element; the longest legal one (ImageType) has a few dozen bytes.
const MAX_VALUE_BYTES: u32 = 1024;
const PREAMBLE_BYTES: u64 = 128;

/// Why a file gives no object.
#[derive(Debug)]
pub(super) enum ScanError {
    /// Nothing about it looks like DICOM.
    NotDicom,
    /// DICOM, but damaged; a clause for people.
    Damaged(String),
    /// The same, and the wanted elements in front of the damage: they may say where the slice belongs.
    Cut(String, Box<Before>),
}

/// What stands in front of damage.
#[derive(Debug)]
pub(super) struct Before {
    pub object: InMemDicomObject,
    pub frames: Frames,
}

/// Where the pixels lie in the file (or in the inflated data set).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PixelPlace {
    /// Uncompressed: one run of bytes. `words` says that they are 16-bit words even where samples are bytes.
    Native { at: u64, length: u64, words: bool },
    /// Compressed: offsets and lengths of the fragments, without the basic offset table.
    Fragments(Vec<(u64, u64)>),
    /// Pixels as 32 or 64 bit real numbers, which no CT image has.
    Float,
}

/// What is known about a file after walking it.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The wanted elements, parsed.
    pub object: InMemDicomObject,
    /// Transfer syntax UID, empty where the file does not say it.
    pub transfer_syntax: String,
    /// SOP class of the file meta group.
    pub media_class: String,
    pub encoding: Encoding,
    pub pixels: Option<PixelPlace>,
    pub has_modality_lut: bool,
    /// Of an enhanced object what each frame says of itself.
    pub frames: Frames,
    /// Which fragments begin a frame, as the basic offset table says; empty where it says nothing.
    pub frame_starts: Vec<usize>,
    /// The data set where it was deflated; offsets refer to it.
    pub inflated: Option<Vec<u8>>,
}

/// The elements of the frames of an enhanced object: those of the whole object, over them those that all frames share,
/// and over both those of each; so that a frame reads as the single image that it would be.
#[derive(Debug, Default)]
pub(super) struct Frames {
    all: Vec<u8>,
    own: Vec<Vec<u8>>,
}

impl Frames {
    /// How many frames are described.
    pub(super) fn count(&self) -> usize {
        self.own.len()
    }

    /// The elements of one frame, counted from 0.
    pub(super) fn object(&self, frame: usize) -> Result<InMemDicomObject, ScanError> {
        let own = self.own.get(frame).map_or(&[][..], Vec::as_slice);
        parse(&[&self.all, own].concat()) // what comes later counts
    }
}

/// Walks a file of `length` bytes up to and including its pixels' place.
pub(super) fn scan<R: Read + Seek>(mut reader: R, length: u64) -> Result<Scanned, ScanError> {
    let start = data_start(&mut reader, length)?;
    reader.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let mut meta = Meta::default();
    let mut walker = Walker { reader, at: start, end: length, encoding: Encoding::ExplicitLittle };
    if walker.peek_group()? == Some(0x0002) {
        meta = walker.meta_group()?;
    }
    let transfer_syntax = meta.transfer_syntax.as_str();
    if transfer_syntax == dicom_dictionary_std::uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let inflated = walker.inflate()?;
        let size = inflated.len() as u64;
        let inner = Walker {
            reader: std::io::Cursor::new(&inflated),
            at: 0,
            end: size,
            encoding: Encoding::ExplicitLittle,
        };
        let mut scanned = inner.data_set(meta)?;
        scanned.inflated = Some(inflated);
        return Ok(scanned);
    }
    walker.encoding = walker.guess_encoding(transfer_syntax)?;
    walker.data_set(meta)
}

/// Offset of the first element: after preamble and `DICM`, after `DICM` alone, or at once.
fn data_start<R: Read + Seek>(reader: &mut R, length: u64) -> Result<u64, ScanError> {
    reader.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut head = Vec::with_capacity(PREAMBLE_BYTES as usize + 4);
    reader.by_ref().take(PREAMBLE_BYTES + 4).read_to_end(&mut head).map_err(unreadable)?;
    if head.len() as u64 == PREAMBLE_BYTES + 4 && head.ends_with(b"DICM") {
        return Ok(PREAMBLE_BYTES + 4);
    }
    if head.starts_with(b"DICM") {
        return Ok(4);
    }
    // Without any mark: the first element must be a plausible one of group 2 or 8.
    let [a, b, c, d, e, f, ..] = head[..] else { return Err(ScanError::NotDicom) };
    let tag = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let explicit = VR::from_binary([e, f]).is_some();
    let little = matches!(tag, (0x0002, 0..=0x0010) | (0x0008, 0..=0x0018)) && (explicit || tag.0 == 0x0008);
    let big =
        matches!((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), (0x0008, 0..=0x0018)) && explicit;
    let fits = explicit || implicit_length(&head).is_some_and(|n| n <= length);
    if (little || big) && fits { Ok(0) } else { Err(ScanError::NotDicom) }
}

fn implicit_length(head: &[u8]) -> Option<u64> {
    head.get(4..8)?.try_into().ok().map(|b| u64::from(u32::from_le_bytes(b)))
}

/// Parses the elements that were kept.
fn parse(kept: &[u8]) -> Result<InMemDicomObject, ScanError> {
    let syntax = entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
    InMemDicomObject::read_dataset_with_ts(kept, &syntax)
        .map_err(|_| ScanError::Damaged("its elements cannot be parsed".to_owned()))
}

#[derive(Default)]
struct Meta {
    transfer_syntax: String,
    media_class: String,
}

/// Wanted elements one after the other, each once and as implicit little endian.
#[derive(Debug, Default)]
struct Elements {
    bytes: Vec<u8>,
    tags: Vec<Tag>,
}

/// What the walk keeps.
#[derive(Default)]
struct Kept {
    object: Elements,
    /// Of the functional groups that all frames share.
    shared: Elements,
    /// Of those of each frame.
    frames: Vec<Vec<u8>>,
    has_modality_lut: bool,
    frame_starts: Vec<usize>,
}

impl Kept {
    fn frames(self) -> Frames {
        Frames { all: [self.object.bytes, self.shared.bytes].concat(), own: self.frames }
    }
}

impl<R: Read + Seek> Walker<R> {
    /// The file meta group: always explicit little endian, ends where the group number changes.
    fn meta_group(&mut self) -> Result<Meta, ScanError> {
        let mut meta = Meta::default();
        while self.peek_group()? == Some(0x0002) {
            let Some(element) = self.element()? else { break };
            if WANTED.contains(&element.tag) && element.length <= MAX_VALUE_BYTES {
                let text = String::from_utf8_lossy(&self.take_vec(element.length)?).into_owned();
                let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
                match element.tag {
                    tags::TRANSFER_SYNTAX_UID => meta.transfer_syntax = text,
                    _ => meta.media_class = text,
                }
            } else {
                self.skip(u64::from(element.length))?;
            }
        }
        Ok(meta)
    }

    /// The encoding that the transfer syntax names; implicit and explicit are told apart by the first element,
    /// because some files name the wrong one.
    fn guess_encoding(&mut self, transfer_syntax: &str) -> Result<Encoding, ScanError> {
        if self.end - self.at < 8 {
            return damaged("it holds no data set");
        }
        let [a, b, _, _, e, f, _, _] = self.take::<8>()?;
        self.back(8)?;
        let explicit = VR::from_binary([e, f]).is_some();
        let big = u16::from_le_bytes([a, b]) > 0xFF && u16::from_be_bytes([a, b]) <= 0xFF;
        let named_big = transfer_syntax == super::transfer_syntax::BIG_ENDIAN;
        Ok(match (explicit, named_big || (transfer_syntax.is_empty() && big)) {
            (_, true) => Encoding::ExplicitBig,
            (true, false) => Encoding::ExplicitLittle,
            (false, false) => Encoding::ImplicitLittle,
        })
    }

    fn data_set(mut self, meta: Meta) -> Result<Scanned, ScanError> {
        let mut kept = Kept::default();
        let pixels = match self.up_to_pixels(&mut kept, is_enhanced(&meta.media_class)) {
            Ok(pixels) => pixels,
            Err(ScanError::Damaged(words)) => {
                return Err(match parse(&kept.object.bytes) {
                    Ok(object) => ScanError::Cut(words, Box::new(Before { object, frames: kept.frames() })),
                    Err(_) => ScanError::Damaged(words),
                });
            }
            Err(e) => return Err(e),
        };
        let frame_starts = std::mem::take(&mut kept.frame_starts);
        Ok(Scanned {
            object: parse(&kept.object.bytes)?,
            transfer_syntax: meta.transfer_syntax,
            media_class: meta.media_class,
            encoding: self.encoding,
            pixels,
            has_modality_lut: kept.has_modality_lut,
            frames: kept.frames(),
            frame_starts,
            inflated: None,
        })
    }

    /// Keeps the wanted elements, and says where the pixels lie, at which the walk ends.
    ///
    /// The groups of frames are walked in an enhanced CT alone: what else has many frames is left out for what it is.
    fn up_to_pixels(&mut self, kept: &mut Kept, mut enhanced: bool) -> Result<Option<PixelPlace>, ScanError> {
        while let Some(element) = self.element()? {
            match element.tag {
                tags::PIXEL_DATA => return self.pixel_place(&element, &mut kept.frame_starts).map(Some),
                tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA => {
                    return Ok(Some(PixelPlace::Float));
                }
                tags::MODALITY_LUT_SEQUENCE => {
                    kept.has_modality_lut = element.length != 0;
                    self.skip_value(&element, 0)?;
                }
                tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE if enhanced && element.is_sequence() => {
                    let (shared, mut first) = (&mut kept.shared, true);
                    self.each_item(&element, &mut |walker, item| {
                        let mut others = Elements::default();
                        let counts = std::mem::take(&mut first);
                        walker.functional_groups(item, if counts { &mut *shared } else { &mut others })
                    })?;
                }
                tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE if enhanced && element.is_sequence() => {
                    let frames = &mut kept.frames;
                    self.each_item(&element, &mut |walker, item| {
                        if frames.len() == MAX_FRAMES {
                            let words =
                                format!("it describes more than {MAX_FRAMES} frames, and no more are read");
                            return Err(ScanError::Damaged(words));
                        }
                        let mut own = Elements::default();
                        walker.functional_groups(item, &mut own)?;
                        frames.push(own.bytes);
                        Ok(())
                    })?;
                }
                tag if WANTED.contains(&tag) && element.length <= MAX_VALUE_BYTES => {
                    let from = kept.object.bytes.len();
                    self.keep(&element, element.tag, &mut kept.object)?;
                    if element.tag == tags::SOP_CLASS_UID {
                        let class = kept.object.bytes.get(from + 8..).unwrap_or_default();
                        let class = String::from_utf8_lossy(class);
                        let class = class.trim_matches(|c: char| c == '\0' || c.is_whitespace());
                        if !class.is_empty() {
                            enhanced = is_enhanced(class);
                        }
                    }
                }
                _ => self.skip_value(&element, 0)?,
            }
        }
        Ok(None)
    }

    /// Keeps the wanted elements of an item of functional groups, as if they stood side by side.
    fn functional_groups(&mut self, item: Item, kept: &mut Elements) -> Result<(), ScanError> {
        self.each_element(item, &mut |walker, group| {
            if !FRAME_GROUPS.contains(&group.tag) || !group.is_sequence() {
                return walker.skip_value(&group, 1);
            }
            let mut first = true;
            walker.each_item(&group, &mut |walker, item| {
                let counts = std::mem::take(&mut first);
                walker.each_element(item, &mut |walker, element| {
                    if counts && WANTED_OF_FRAME.contains(&element.tag) && element.length <= MAX_VALUE_BYTES {
                        let tag = match element.tag {
                            tags::FRAME_TYPE => tags::IMAGE_TYPE,
                            tag => tag,
                        };
                        return walker.keep(&element, tag, kept);
                    }
                    walker.skip_value(&element, 2)
                })
            })
        })
    }

    /// Rewrites an element as implicit little endian: its type then comes from the dictionary, even where the file
    /// says UN, and the parser cannot take the file's lengths in another way than they were checked here.
    fn keep(&mut self, element: &Element, tag: Tag, kept: &mut Elements) -> Result<(), ScanError> {
        if kept.tags.contains(&tag) {
            return self.skip(u64::from(element.length)); // an element stands once; the first counts
        }
        let mut value = self.take_vec(element.length)?;
        if self.encoding == Encoding::ExplicitBig && matches!(&element.vr, b"US" | b"SS") {
            value.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
        }
        kept.tags.push(tag);
        let bytes = &mut kept.bytes;
        bytes.extend_from_slice(&tag.0.to_le_bytes());
        bytes.extend_from_slice(&tag.1.to_le_bytes());
        bytes.extend_from_slice(&element.length.to_le_bytes());
        bytes.extend_from_slice(&value);
        Ok(())
    }

    /// Where the pixels lie, and which fragments begin a frame as far as the basic offset table says.
    fn pixel_place(&mut self, element: &Element, starts: &mut Vec<usize>) -> Result<PixelPlace, ScanError> {
        if element.length != UNDEFINED {
            let length = u64::from(element.length);
            if length > self.end - self.at {
                return damaged("its pixel data is truncated");
            }
            let words = &element.vr == b"OW" || self.encoding == Encoding::ImplicitLittle;
            return Ok(PixelPlace::Native { at: self.at, length, words });
        }
        let mut fragments: Vec<(u64, u64)> = Vec::new();
        // Offsets of frames, counted from the item behind the table.
        let mut table: Option<(u64, Vec<u32>)> = None;
        loop {
            let at = self.at;
            match self.element() {
                Ok(Some(Element { tag: SEQUENCE_END, .. })) => break,
                Ok(Some(Element { tag: ITEM, length, .. })) if length != UNDEFINED => {
                    if u64::from(length) > self.end - self.at {
                        return damaged("its pixel data is truncated");
                    }
                    let Some((first, offsets)) = &table else {
                        let offsets = self.offset_table(length)?;
                        table = Some((self.at, offsets));
                        continue;
                    };
                    if offsets.get(starts.len()).is_some_and(|o| at - first == u64::from(*o)) {
                        starts.push(fragments.len());
                    }
                    fragments.push((self.at, u64::from(length)));
                    self.skip(u64::from(length))?;
                }
                Ok(None) if !fragments.is_empty() => break,
                _ => return damaged("its pixel data is truncated"),
            }
        }
        if table.is_some_and(|(_, offsets)| offsets.len() != starts.len()) {
            starts.clear(); // a table that does not fit says nothing
        }
        Ok(PixelPlace::Fragments(fragments))
    }

    /// The basic offset table; empty where it is longer than any CT's.
    fn offset_table(&mut self, length: u32) -> Result<Vec<u32>, ScanError> {
        if length as usize > 4 * MAX_FRAMES {
            self.skip(u64::from(length))?;
            return Ok(Vec::new());
        }
        let bytes = self.take_vec(length)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_frame_nothing_is_kept_but_what_it_is_and_where_it_lies() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dicom_fixtures/enhanced_per_frame/a.dcm");
        let bytes = std::fs::read(file).unwrap();
        let scanned = scan(std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
        let holds = |kept: &[u8]| kept.windows(6).any(|w| w == b"SECRET");
        assert!(holds(&bytes) && scanned.frames.count() == 5);
        // The patient's id is the exception at the top, and no frame has one.
        assert!(!holds(&scanned.frames.own.concat()));
        let names = scanned.frames.all.windows(13).filter(|w| w == b"SECRET^MARKER").count();
        assert_eq!(names, 0);
        let tags = |kept: &[u8]| parse(kept).unwrap().tags().collect::<Vec<_>>();
        for own in &scanned.frames.own {
            let allowed = |tag| tag == tags::IMAGE_TYPE || WANTED_OF_FRAME.contains(&tag);
            assert!(tags(own).into_iter().all(allowed), "{:?}", tags(own));
            assert!(tags(own).contains(&tags::IMAGE_POSITION_PATIENT));
        }
    }
}
