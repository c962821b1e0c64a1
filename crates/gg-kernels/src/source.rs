//! How a kernel reads a stored tensor: as it is, through batch norm and activation, or as a gradient.
//!
//! Stored are only the raw results of convolutions, `z`. What follows a convolution (batch norm or bias, ReLU) and
//! what precedes it in the backward pass are applied while the reader copies rows into its scratch memory, so that
//! no such tensor is ever written to memory:
//!
//! - [`Read::Active`]: `act(scale z + shift)`, with `act(v) = v` above zero and `slope v` below (0: ReLU, 1: none).
//! - [`Read::Gradient`]: with `g = dy act'(scale z + shift)`, the gradient with respect to `z` is `a g + b z + c`;
//!   for batch norm with batch statistics see [`crate::norm`].

use crate::arith::Arith;
use crate::simd::Simd;

/// A tensor in the blocked layout and the way to read it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Blocked data; for [`Read::Plane`] `[n, 1, h, w]` as it is.
    pub data: &'a [f32],
    /// Channels.
    pub channels: usize,
    /// What to do to each value.
    pub read: Read<'a>,
}

/// What happens to each value while it is read. Slices have one float per channel, padded to whole blocks with zeros.
#[derive(Clone, Copy)]
pub enum Read<'a> {
    /// As it is.
    Plain,
    /// One channel, not blocked.
    Plane,
    /// `act(scale z + shift)`.
    Active {
        /// Factor per channel.
        scale: &'a [f32],
        /// Summand per channel.
        shift: &'a [f32],
        /// Slope of the activation below zero: 0 for ReLU, 1 for none.
        slope: f32,
    },
    /// `a g + b z + c` with `g = dy act'(scale z + shift)`; the data are `dy`.
    Gradient(Gradient<'a>),
}

/// The gradient through batch norm (or bias) and activation, with respect to the raw result of a convolution.
#[derive(Clone, Copy)]
pub struct Gradient<'a> {
    /// The raw result in the forward pass.
    pub z: &'a [f32],
    /// As in [`Read::Active`].
    pub scale: &'a [f32],
    /// As in [`Read::Active`].
    pub shift: &'a [f32],
    /// As in [`Read::Active`].
    pub slope: f32,
    /// Factor of `g` per channel.
    pub a: &'a [f32],
    /// Factor of `z` per channel.
    pub b: &'a [f32],
    /// Summand per channel.
    pub c: &'a [f32],
    /// Slope below zero of an activation that came before the batch norm and was applied to `z` in place; 1 if none.
    pub before: f32,
}

impl<'a> Source<'a> {
    /// A tensor read as it is.
    pub fn plain(data: &'a [f32], channels: usize) -> Self {
        Self { data, channels, read: Read::Plain }
    }

    /// One channel `[n, 1, h, w]`, not blocked.
    pub fn plane(data: &'a [f32]) -> Self {
        Self { data, channels: 1, read: Read::Plane }
    }

    /// A tensor read through scale, shift and activation.
    pub fn active(data: &'a [f32], channels: usize, scale: &'a [f32], shift: &'a [f32], slope: f32) -> Self {
        Self { data, channels, read: Read::Active { scale, shift, slope } }
    }

    /// The same from float `from` on (images further on).
    pub(crate) fn tail(&self, from: usize) -> Self {
        let read = match self.read {
            Read::Gradient(g) => Read::Gradient(Gradient { z: &g.z[from..], ..g }),
            read => read,
        };
        Self { data: &self.data[from..], read, ..*self }
    }

    pub(crate) fn is_plane(&self) -> bool {
        matches!(self.read, Read::Plane)
    }

    /// Checks all lengths against the shape, so that the kernels may trust them.
    pub(crate) fn check(&self, pixels_of_all_images: usize, lanes: usize) {
        let width = self.channels.next_multiple_of(lanes);
        let per_channel = |v: &[f32]| assert!(v.len() >= width, "one float per padded channel");
        let need = if self.is_plane() { 1 } else { width };
        assert!(self.data.len() >= pixels_of_all_images * need, "a tensor as large as its shape");
        match self.read {
            Read::Plain => {}
            Read::Plane => assert_eq!(self.channels, 1),
            Read::Active { scale, shift, .. } => {
                [scale, shift].into_iter().for_each(per_channel);
            }
            Read::Gradient(g) => {
                [g.scale, g.shift, g.a, g.b, g.c].into_iter().for_each(per_channel);
                assert!(g.z.len() >= pixels_of_all_images * need, "z as large as its gradient");
            }
        }
    }
}

/// The per-channel vectors of one block, loaded once per row.
pub(crate) enum Reader<S: Simd> {
    Plain,
    Active {
        scale: S::V,
        shift: S::V,
        slope: S::V,
    },
    /// ReLU needs no multiplication.
    Relu {
        scale: S::V,
        shift: S::V,
    },
    Gradient {
        z: *const f32,
        scale: S::V,
        shift: S::V,
        slope: S::V,
        a: S::V,
        b: S::V,
        c: S::V,
        before: S::V,
    },
}

impl<S: Simd> Reader<S> {
    /// # Safety
    /// `source` has passed `check`, `block` is one of its blocks, and the processor has the set `S`.
    #[inline(always)]
    pub(crate) unsafe fn new(source: &Source<'_>, block: usize) -> Self {
        // No closure: it would not be compiled for the instruction set.
        macro_rules! at {
            ($v:expr) => {
                S::load($v.as_ptr().add(block * S::L))
            };
        }
        match source.read {
            Read::Plain | Read::Plane => Self::Plain,
            Read::Active { scale, shift, slope: 0.0 } => Self::Relu { scale: at!(scale), shift: at!(shift) },
            Read::Active { scale, shift, slope } => {
                Self::Active { scale: at!(scale), shift: at!(shift), slope: S::splat(slope) }
            }
            Read::Gradient(g) => Self::Gradient {
                z: g.z.as_ptr(),
                scale: at!(g.scale),
                shift: at!(g.shift),
                slope: S::splat(g.slope),
                a: at!(g.a),
                b: at!(g.b),
                c: at!(g.c),
                before: S::splat(g.before),
            },
        }
    }

    /// The value of the vector that starts at float `i` of `data`.
    ///
    /// # Safety
    /// `i + L` floats are there, in `z` too.
    #[inline(always)]
    pub(crate) unsafe fn get(&self, data: *const f32, i: usize) -> S::V {
        let v = S::load(data.add(i));
        match *self {
            Self::Plain => v,
            Self::Relu { scale, shift } => S::max(S::zero(), S::fma(v, scale, shift)),
            Self::Active { scale, shift, slope } => activate::<S>(S::fma(v, scale, shift), slope),
            Self::Gradient { z, scale, shift, slope, a, b, c, before } => {
                let z = S::load(z.add(i));
                let g = S::where_positive(S::fma(z, scale, shift), v, S::mul(v, slope));
                let d = S::fma(a, g, S::fma(b, z, c));
                S::where_positive(z, d, S::mul(d, before))
            }
        }
    }

    /// `g` (the gradient after the activation's derivative) and `z`; zeros for other readers.
    ///
    /// # Safety
    /// As `get`.
    #[inline(always)]
    pub(crate) unsafe fn gradient(&self, data: *const f32, i: usize) -> (S::V, S::V) {
        match *self {
            Self::Gradient { z, scale, shift, slope, .. } => {
                let (v, z) = (S::load(data.add(i)), S::load(z.add(i)));
                (S::where_positive(S::fma(z, scale, shift), v, S::mul(v, slope)), z)
            }
            _ => (S::zero(), S::zero()),
        }
    }

    /// Copies `w` pixels that lie `step` pixels apart, from float `i` of `data` on, in the precision `A`.
    ///
    /// # Safety
    /// All of them are there, and `w` vectors may be written at `out`.
    #[inline(always)]
    pub(crate) unsafe fn row<A: Arith>(
        &self,
        data: *const f32,
        i: usize,
        step: usize,
        w: usize,
        out: *mut f32,
    ) {
        // One loop per way, so that the choice is made once per row.
        macro_rules! copy {
            () => {
                for x in 0..w {
                    let v = self.get(data, i + x * step * S::L);
                    A::store::<S>(out.add(x * (S::L / A::PER_WORD)), v);
                }
            };
        }
        match self {
            Self::Plain => copy!(),
            Self::Relu { .. } => copy!(),
            Self::Active { .. } => copy!(),
            Self::Gradient { .. } => copy!(),
        }
    }

    /// Of one row with `pad` zeros (0 or 1) before it and zeros behind it, each pixel and its right neighbour as bf16
    /// in each word: from even pixels on to `even`, from odd ones on to `odd`, `pairs` of them. The row has `w` pixels
    /// from float `i` of `data` on, `step` pixels apart.
    ///
    /// # Safety
    /// All of them are there, and `pairs` vectors may be written at `even` and `odd`; the processor has bf16.
    #[inline(always)]
    pub(crate) unsafe fn pairs(
        &self,
        data: *const f32,
        (i, step, w): (usize, usize, usize),
        pad: usize,
        (even, odd): (*mut f32, Option<*mut f32>),
        pairs: usize,
    ) {
        // Pairs that, with the pixel after them, lie before the end of the row.
        let inside = (w + pad).saturating_sub(1) / 2;
        macro_rules! pixel {
            ($p:expr) => {
                if $p < pad || $p >= w + pad {
                    S::zero()
                } else {
                    self.get(data, i + ($p - pad) * step * S::L)
                }
            };
        }
        macro_rules! copy_pair {
            ($pair:expr, $left:expr, $middle:expr, $right:expr) => {
                let (middle, right) = ($middle, $right);
                S::store(even.add($pair * S::L), S::pair_bf16($left, middle));
                if let Some(odd) = odd {
                    S::store(odd.add($pair * S::L), S::pair_bf16(middle, right));
                }
                $left = right;
            };
        }
        macro_rules! copy {
            () => {{
                let mut left = pixel!(0);
                let mut at = i + (1 - pad) * step * S::L;
                for pair in 0..inside.min(pairs) {
                    copy_pair!(pair, left, self.get(data, at), self.get(data, at + step * S::L));
                    at += 2 * step * S::L;
                }
                for pair in inside.min(pairs)..pairs {
                    copy_pair!(pair, left, pixel!(2 * pair + 1), pixel!(2 * pair + 2));
                }
            }};
        }
        match self {
            Self::Plain => copy!(),
            Self::Relu { .. } => copy!(),
            Self::Active { .. } => copy!(),
            Self::Gradient { .. } => copy!(),
        }
    }
}

/// `v` above zero, `slope v` below.
///
/// # Safety
/// The processor has the set `S`.
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(v: S::V, slope: S::V) -> S::V {
    S::where_positive(v, v, S::mul(v, slope))
}
