//! The numbers that convolutions multiply: fp32, or bf16 with fp32 sums.
//!
//! In bf16 two neighbouring channels (or pixels) share one 32-bit word of scratch memory and of the packed weights, and
//! one instruction multiplies and adds both. All else stays fp32.

use crate::simd::{Kernel, Simd};

/// What convolutions multiply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Fp32,
    /// The upper 16 bits of an fp32 number, rounded to nearest; sums are fp32. Needs [`crate::Isa::has_bf16`].
    Bf16,
}

impl Precision {
    /// Numbers in a 32-bit word.
    pub(crate) fn per_word(self) -> usize {
        match self {
            Self::Fp32 => Fp32::PER_WORD,
            Self::Bf16 => Bf16::PER_WORD,
        }
    }

    /// `fp32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }
}

/// The instructions of one [`Precision`].
///
/// # Safety
/// As [`Simd`]; for [`Bf16`] the processor must have it.
pub(crate) trait Arith: Copy + 'static {
    /// Numbers per 32-bit word.
    const PER_WORD: usize;
    /// Runs a kernel as a function with the features it needs.
    unsafe fn enter<S: Simd, K: Kernel>(kernel: K) -> K::Out;
    /// `acc` plus the products of the numbers of each word.
    unsafe fn dot<S: Simd>(acc: S::V, words: S::V, weights: S::V) -> S::V;
    /// The word of two numbers: the first alone where a word holds one.
    unsafe fn word<S: Simd>(low: S::V, high: S::V) -> S::V;
    /// Stores the channels of one pixel as words.
    unsafe fn store<S: Simd>(p: *mut f32, v: S::V);
}

#[derive(Clone, Copy)]
pub(crate) struct Fp32;

#[derive(Clone, Copy)]
pub(crate) struct Bf16;

impl Arith for Fp32 {
    const PER_WORD: usize = 1;
    #[inline(always)]
    unsafe fn enter<S: Simd, K: Kernel>(kernel: K) -> K::Out {
        S::enter(kernel)
    }
    #[inline(always)]
    unsafe fn dot<S: Simd>(acc: S::V, words: S::V, weights: S::V) -> S::V {
        S::fma(words, weights, acc)
    }
    #[inline(always)]
    unsafe fn word<S: Simd>(low: S::V, _high: S::V) -> S::V {
        low
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut f32, v: S::V) {
        S::store(p, v)
    }
}

impl Arith for Bf16 {
    const PER_WORD: usize = 2;
    #[inline(always)]
    unsafe fn enter<S: Simd, K: Kernel>(kernel: K) -> K::Out {
        S::enter_bf16(kernel)
    }
    #[inline(always)]
    unsafe fn dot<S: Simd>(acc: S::V, words: S::V, weights: S::V) -> S::V {
        S::dot2(acc, words, weights)
    }
    #[inline(always)]
    unsafe fn word<S: Simd>(low: S::V, high: S::V) -> S::V {
        S::pair_bf16(low, high)
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(p: *mut f32, v: S::V) {
        S::store_bf16(p, v)
    }
}
