//! The kernel: some pixels of one row, for one or two blocks of 16 outputs, from the first product to the bytes.

use super::layout::LANES;
use super::simd::{Int8, Work};
use super::weights::{WORD, WORDS};

/// What a tile reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Per input block (and before that per place): where its first row begins.
    pub(super) blocks: *const *const u8,
    /// Input blocks.
    pub(super) count: usize,
    /// Bytes from there to the tile's first pixel.
    pub(super) offset: usize,
    /// Bytes from row to row.
    pub(super) row: usize,
    pub(super) weights: *const i8,
    /// Per output block: the first pixel written.
    pub(super) out: [*mut u8; 2],
    /// Bytes between pixels.
    pub(super) step: usize,
    /// Starts of even and odd columns of the first output block; those of the second follow.
    pub(super) start: [*const i32; 2],
    pub(super) scale: *const f32,
    pub(super) shift: *const f32,
    pub(super) floor: i32,
    pub(super) top: f32,
    /// Odd columns that are written.
    pub(super) odd: usize,
}

/// Adds the products of `ROWS` rows of all input blocks; gives back where the weights end.
///
/// # Safety
/// All that the tile points at is there, and the processor has the set `S`.
#[inline(always)]
unsafe fn accumulate<S: Int8, const ROWS: usize, const K: usize, const W: usize>(
    t: &Tile,
    blocks: *const *const u8,
    mut weights: *const i8,
    acc: &mut [[S::Acc; W]; K],
) -> *const i8 {
    for b in 0..t.count {
        let mut row = (*blocks.add(b)).add(t.offset);
        for _ in 0..ROWS {
            for word in 0..WORDS {
                let mut w = [S::weights(weights); K];
                for k in 1..K {
                    w[k] = S::weights(weights.add(k * WORD));
                }
                weights = weights.add(K * WORD);
                for x in 0..W {
                    let word = S::word(row.add(x * LANES + 4 * word));
                    for k in 0..K {
                        acc[k][x] = S::dot(acc[k][x], word, w[k]);
                    }
                }
            }
            row = row.add(t.row);
        }
    }
    weights
}

/// Rounds the first `count` pixels to bytes.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn finish<S: Int8, const K: usize, const W: usize>(
    t: &Tile,
    acc: &[[S::Acc; W]; K],
    offset: usize,
    count: usize,
) {
    for k in 0..K {
        let (scale, shift) = (S::load_floats(t.scale.add(k * LANES)), S::load_floats(t.shift.add(k * LANES)));
        let out = t.out[k].add(offset);
        for x in 0..W {
            if x < count {
                let v = S::mul_add(S::floats(acc[k][x], t.floor), scale, shift);
                S::store_bytes(out.add(x * t.step), v, t.top);
            }
        }
    }
}

/// `W` pairs of pixels through the transform.
struct Pairs<const K: usize, const W: usize>(Tile);

impl<const K: usize, const W: usize> Work for Pairs<K, W> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        let t = &self.0;
        // SAFETY: whoever calls `tile` has checked all lengths; entered through an `Isa`.
        unsafe {
            let mut kept = [[S::zero(); W]; K];
            let mut acc = [[S::zero(); W]; K];
            let weights = accumulate::<S, 3, K, W>(t, t.blocks, t.weights, &mut acc);
            for k in 0..K {
                for x in 0..W {
                    kept[k][x] = acc[k][x];
                    acc[k][x] = S::zero();
                }
            }
            // Hidden from the compiler, which would otherwise try to keep these in registers too.
            let kept = std::hint::black_box(&mut kept);
            let weights = accumulate::<S, 3, K, W>(t, t.blocks.add(t.count), weights, &mut acc);
            for k in 0..K {
                let (even, odd) = (S::load(t.start[0].add(k * LANES)), S::load(t.start[1].add(k * LANES)));
                for x in 0..W {
                    let (first, second) = (kept[k][x], acc[k][x]);
                    kept[k][x] = S::add(S::sub(first, second), odd);
                    acc[k][x] = S::add(S::add(first, second), even);
                }
            }
            let kept = std::hint::black_box(kept);
            let weights = accumulate::<S, 3, K, W>(t, t.blocks.add(2 * t.count), weights, &mut acc);
            finish::<S, K, W>(t, &acc, 0, W);
            for k in 0..K {
                for x in 0..W {
                    acc[k][x] = kept[k][x];
                }
            }
            accumulate::<S, 3, K, W>(t, t.blocks.add(3 * t.count), weights, &mut acc);
            finish::<S, K, W>(t, &acc, t.step / 2, t.odd);
        }
    }
}

/// `W` pixels of a 1x1 convolution.
struct Points<const K: usize, const W: usize>(Tile);

impl<const K: usize, const W: usize> Work for Points<K, W> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        let t = &self.0;
        // SAFETY: as above.
        unsafe {
            let mut acc = [[S::zero(); W]; K];
            for k in 0..K {
                acc[k] = [S::load(t.start[0].add(k * LANES)); W];
            }
            accumulate::<S, 1, K, W>(t, t.blocks, t.weights, &mut acc);
            finish::<S, K, W>(t, &acc, 0, W);
        }
    }
}

/// Computes one tile of `width` pixels, or pairs of pixels (at most `S::TILE`), for `k` output blocks (at most
/// `S::BLOCKS`).
///
/// # Safety
/// All that the tile points at is there, and no other task touches what it writes; the processor has the set `S`.
#[inline(always)]
pub(super) unsafe fn tile<S: Int8>(pairs: bool, k: usize, width: usize, t: Tile) {
    macro_rules! by_width {
        ($kind:ident, $k:literal: $($w:literal)*) => {
            match width {
                $($w if $w <= S::TILE && $k <= S::BLOCKS => S::enter($kind::<$k, $w>(t)),)*
                _ => debug_assert!(false, "a tile of {width}"),
            }
        };
    }
    match (pairs, k) {
        (true, 1) => by_width!(Pairs, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (true, _) => by_width!(Pairs, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (false, 1) => by_width!(Points, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (false, _) => by_width!(Points, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    }
}
