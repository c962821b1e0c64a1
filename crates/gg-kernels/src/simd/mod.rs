//! One vector of floats, in three instruction sets.
//!
//! A [`Kernel`] is written once over [`Simd`]; [`crate::Isa::run`] compiles it three times, each inside a function
//! that has the set's target features. For that everything down to the intrinsics is `#[inline(always)]`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

/// Work that is compiled for each instruction set.
pub(crate) trait Kernel {
    /// What it gives back.
    type Out;
    /// The work; mark the implementation `#[inline(always)]`.
    fn run<S: Simd>(self) -> Self::Out;
}

/// The vector operations of one instruction set.
///
/// # Safety
/// All functions: only where the processor has the set, which [`crate::Isa`] proves. Pointers: `L` floats that may
/// be read (written); no alignment is asked for.
pub(crate) trait Simd: Copy + 'static {
    /// Floats per vector.
    const L: usize;
    /// The widest tile of pixels of the forward convolution, for two output blocks at once.
    const TILE: usize;
    /// Output blocks at once in the backward pass of the weights.
    const WEIGHT_BLOCKS: usize;
    /// The vector.
    type V: Copy;

    /// Runs a kernel as a function of its own that has this set's target features.
    unsafe fn enter<K: Kernel>(kernel: K) -> K::Out;

    /// As `enter`, with the features for bf16; only where [`crate::Isa::has_bf16`].
    unsafe fn enter_bf16<K: Kernel>(kernel: K) -> K::Out {
        Self::enter(kernel)
    }
    /// `acc` plus the products of the two bf16 numbers in each lane of `a` and `b`, which hold them as bits.
    unsafe fn dot2(acc: Self::V, _a: Self::V, _b: Self::V) -> Self::V {
        debug_assert!(false, "a processor with bf16");
        acc
    }
    /// Rounds to bf16 and stores side by side: `L / 2` floats of bits.
    unsafe fn store_bf16(_p: *mut f32, _v: Self::V) {
        debug_assert!(false, "a processor with bf16");
    }
    /// Rounds to bf16; each lane holds the bits of `low` below those of `high`.
    unsafe fn pair_bf16(low: Self::V, _high: Self::V) -> Self::V {
        debug_assert!(false, "a processor with bf16");
        low
    }

    unsafe fn zero() -> Self::V;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sqrt(a: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Where `x > 0`: `yes`, else `no`.
    unsafe fn where_positive(x: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// Where `a == b`: `yes`, else `no`.
    unsafe fn where_equal(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// A square of `L` rows, each read from its own place, to its columns, each written to its own.
    unsafe fn transpose(from: impl Fn(usize) -> *const f32, to: impl Fn(usize) -> *mut f32);
    /// Asks for the cache line of `p` in the second-level cache, where that is one instruction.
    unsafe fn prefetch(_p: *const f32) {}
    /// As `prefetch`, for a line that will be written.
    unsafe fn prefetch_to_write(_p: *const f32) {}
    /// The lanes added in a fixed order.
    unsafe fn sum(v: Self::V) -> f32;
}
