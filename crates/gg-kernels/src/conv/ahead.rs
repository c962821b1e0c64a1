//! What the next task will read, fetched into the second-level cache a little at a time while the multiply-add
//! units are busy; otherwise a task would begin with waiting for memory.

use super::panel::Block;
use crate::simd::Simd;
use crate::source::{Read, Source};

/// Floats of a cache line.
const LINE: usize = 16;

/// Pieces of tensors, fetched in equal shares.
#[derive(Default)]
pub(super) struct Ahead {
    /// First float and number of lines.
    pieces: Vec<(*const f32, usize)>,
    /// The piece and the line in it that come next.
    next: (usize, usize),
    share: usize,
}

impl Ahead {
    /// Adds `len` floats from `from` on; they are not read, so others may write them.
    pub(super) fn add(&mut self, from: *const f32, len: usize) {
        if len > 0 {
            self.pieces.push((from, len.div_ceil(LINE)));
        }
    }

    /// Adds what `fill` reads for `rows` rows of one block from `y` on, as far as they lie in the image.
    pub(super) fn add_rows(
        &mut self,
        source: &Source<'_>,
        block: &Block,
        (h, w): (usize, usize),
        image: usize,
        (y, rows): (usize, usize),
        lanes: usize,
    ) {
        let rows = rows.min(h.saturating_sub(y));
        if source.is_plane() {
            return self.add(source.data[(image * h + y) * w..].as_ptr(), rows * w);
        }
        // The four phases of a fine grid lie in the same lines.
        if block.phase != (0, 0) {
            return;
        }
        let fine = if block.double { 4 } else { 1 };
        let (from, len) = (block.at(image, y, 0, (h, w), lanes), rows * w * fine * lanes);
        self.add(source.data[from..].as_ptr(), len);
        if let Read::Gradient(g) = source.read {
            self.add(g.z[from..].as_ptr(), len);
        }
    }

    /// To be fetched in so many shares.
    pub(super) fn in_shares(mut self, shares: usize) -> Self {
        let lines: usize = self.pieces.iter().map(|p| p.1).sum();
        self.share = lines.div_ceil(shares.max(1));
        self
    }

    /// Fetches the next share.
    ///
    /// # Safety
    /// The processor has the set `S`.
    #[inline(always)]
    pub(super) unsafe fn fetch<S: Simd>(&mut self) {
        self.advance(|line| S::prefetch(line));
    }

    /// Fetches the next share for writing: no other processor's cache holds it then.
    ///
    /// # Safety
    /// As `fetch`.
    #[inline(always)]
    pub(super) unsafe fn fetch_to_write<S: Simd>(&mut self) {
        self.advance(|line| S::prefetch_to_write(line));
    }

    #[inline(always)]
    fn advance(&mut self, fetch: impl Fn(*const f32)) {
        let mut left = self.share;
        while left > 0
            && let Some(&(from, lines)) = self.pieces.get(self.next.0)
        {
            let count = left.min(lines - self.next.1);
            for line in self.next.1..self.next.1 + count {
                // A hint that reads nothing; the last line may end behind the piece.
                fetch(from.wrapping_add(line * LINE));
            }
            left -= count;
            self.next.1 += count;
            if self.next.1 == lines {
                self.next = (self.next.0 + 1, 0);
            }
        }
    }
}
