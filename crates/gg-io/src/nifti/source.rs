//! The bytes of a NIfTI file: hashed as they lie on the disk, inflated where they are gzip.

use crate::ReadError;
use crate::hash::hex;
use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// The two bytes every gzip member starts with.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes that wait to be hashed.
const MOST_UNHASHED: usize = 1 << 22;
/// Bytes that may be read for one piece while another thread has the hash: far more than the piece is compressed to.
const MOST_FOR_PIECE: usize = 1 << if cfg!(test) { 16 } else { 27 };
/// Bytes asked from the operating system at once.
const BUFFER_BYTES: usize = 1 << 17;

/// Hashes everything that is read through it, at the latest at the end: until then the bytes are kept, so that they can
/// be hashed on another thread.
pub(super) struct Hashed<R> {
    inner: R,
    hash: Unhashed,
    /// Whether another thread has the hash.
    lent: bool,
}

/// A hash, and the bytes that are not in it yet.
#[derive(Default)]
pub(super) struct Unhashed {
    hash: Sha256,
    bytes: Vec<u8>,
}

impl Unhashed {
    pub(super) fn hash(&mut self) {
        self.hash.update(&self.bytes);
        self.bytes.clear();
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.lent && self.hash.bytes.len() > MOST_UNHASHED {
            self.hash.hash();
        }
        if self.lent && self.hash.bytes.len() > MOST_FOR_PIECE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "endless gzip members without content"));
        }
        let n = self.inner.read(out)?;
        self.hash.bytes.extend_from_slice(&out[..n]);
        Ok(n)
    }
}

/// A stream of bytes as they were before compression.
pub(super) enum Source<R: Read> {
    Plain(BufReader<Hashed<R>>),
    Gzip(Box<GzDecoder<BufReader<Hashed<R>>>>),
    /// After the last gzip member.
    Ended(BufReader<Hashed<R>>),
    /// While one decoder is exchanged for the next.
    Moving,
}

impl<R: Read> Source<R> {
    /// Looks at the first bytes, not at the name; `must_be_gzip` where the name promises it.
    pub(super) fn open(inner: R, must_be_gzip: bool) -> Result<Self, ReadError> {
        let mut buffer =
            BufReader::with_capacity(BUFFER_BYTES, Hashed { inner, hash: Unhashed::default(), lent: false });
        if buffer.fill_buf()?.starts_with(&GZIP_MAGIC) {
            Ok(Self::Gzip(Box::new(GzDecoder::new(buffer))))
        } else if must_be_gzip {
            Err(ReadError::NotGzip)
        } else {
            Ok(Self::Plain(buffer))
        }
    }

    pub(super) fn is_gzip(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Reads the rest of the file and gives the hash of all of it. Second value: bytes after the last gzip member.
    pub(super) fn finish(self) -> io::Result<(String, u64)> {
        let mut buffer = match self {
            Self::Plain(b) | Self::Ended(b) => b,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Moving => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        let rest = io::copy(&mut buffer, &mut io::sink())?;
        let mut unhashed = buffer.into_inner().hash;
        unhashed.hash();
        Ok((hex(&unhashed.hash.finalize()), rest))
    }

    /// What is not hashed yet, for another thread; [`Source::give_hashed`] takes it back before the end.
    pub(super) fn take_unhashed(&mut self) -> Unhashed {
        self.hashed().map_or_else(Unhashed::default, |h| {
            h.lent = true;
            std::mem::take(&mut h.hash)
        })
    }

    /// The hash up to here, and what was read meanwhile.
    pub(super) fn give_hashed(&mut self, mut hashed: Unhashed) {
        if let Some(h) = self.hashed() {
            hashed.bytes.append(&mut h.hash.bytes);
            h.hash = hashed;
            h.lent = false;
        }
    }

    fn hashed(&mut self) -> Option<&mut Hashed<R>> {
        match self {
            Self::Plain(b) | Self::Ended(b) => Some(b.get_mut()),
            Self::Gzip(decoder) => Some(decoder.get_mut().get_mut()),
            Self::Moving => None,
        }
    }

    /// A gzip file may hold several members in a row; what follows the last one is not ours.
    fn next_member(&mut self) -> io::Result<bool> {
        let Self::Gzip(decoder) = std::mem::replace(self, Self::Moving) else { return Ok(false) };
        let mut buffer = decoder.into_inner();
        let another = buffer.fill_buf()?.starts_with(&GZIP_MAGIC);
        *self = if another { Self::Gzip(Box::new(GzDecoder::new(buffer))) } else { Self::Ended(buffer) };
        Ok(another)
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self {
                Self::Plain(buffer) => return buffer.read(out),
                Self::Gzip(decoder) => {
                    let n = decoder.read(out)?;
                    if n > 0 || out.is_empty() || !self.next_member()? {
                        return Ok(n);
                    }
                }
                Self::Ended(_) | Self::Moving => return Ok(0),
            }
        }
    }
}

/// Fills `out` as far as the stream goes and says how far.
pub(super) fn read_up_to(source: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let (filled, end) = fill(source, out);
    end.map(|()| filled)
}

/// The same, where what came before a damage counts.
pub(super) fn fill(source: &mut impl Read, out: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < out.len() {
        match source.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (filled, Err(e)),
        }
    }
    (filled, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_members_without_content_are_refused_while_another_thread_has_the_hash() {
        let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap();
        let members = empty.repeat(1 << 15);
        assert!(members.len() > 4 * MOST_FOR_PIECE);
        let mut source = Source::open(members.as_slice(), true).unwrap();
        let unhashed = source.take_unhashed();
        let error = source.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        source.give_hashed(unhashed);
        assert!(source.hashed().unwrap().hash.bytes.len() < MOST_FOR_PIECE + 2 * BUFFER_BYTES);
    }
}
