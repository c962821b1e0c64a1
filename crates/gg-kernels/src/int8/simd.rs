//! What one instruction set does with 16 channels of bytes.

/// Work that is compiled for each instruction set.
pub(crate) trait Work {
    /// What it gives back.
    type Out;
    /// The work; mark the implementation `#[inline(always)]`.
    fn run<S: Int8>(self) -> Self::Out;
}

/// The operations of one instruction set, on 16 lanes whatever its vectors are.
///
/// # Safety
/// All functions: only where the processor has the set, which [`crate::Isa`] proves. Pointers: as many bytes as are named
/// may be read (written); no alignment is asked for.
pub(crate) trait Int8: Copy + 'static {
    /// The widest tile of pixels.
    const TILE: usize;
    /// Blocks of outputs of one tile, at most 2.
    const BLOCKS: usize;
    /// 16 sums.
    type Acc: Copy;
    /// 16 floats.
    type Floats: Copy;
    /// The weights from four inputs to 16 outputs, `[output][input]`.
    type Weights: Copy;
    /// Four inputs, for all outputs.
    type Word: Copy;

    /// Runs work as a function of its own that has this set's target features.
    unsafe fn enter<W: Work>(work: W) -> W::Out;
    /// 16 integers.
    unsafe fn load(p: *const i32) -> Self::Acc;
    unsafe fn zero() -> Self::Acc;
    unsafe fn add(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    unsafe fn sub(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// 64 bytes.
    unsafe fn weights(p: *const i8) -> Self::Weights;
    /// 4 bytes.
    unsafe fn word(p: *const u8) -> Self::Word;
    /// `acc` plus the four products of each output, exactly.
    unsafe fn dot(acc: Self::Acc, word: Self::Word, weights: Self::Weights) -> Self::Acc;
    /// `max(acc, floor)` as floats.
    unsafe fn floats(acc: Self::Acc, floor: i32) -> Self::Floats;
    /// 16 bytes as floats.
    unsafe fn from_bytes(p: *const u8) -> Self::Floats;
    /// 16 floats.
    unsafe fn load_floats(p: *const f32) -> Self::Floats;
    unsafe fn splat(x: f32) -> Self::Floats;
    /// `a * b + c`, rounded twice.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The lanes added in the order of [`sum_of`].
    unsafe fn sum(v: Self::Floats) -> f32;
    /// Cut to 0 ..= top, rounded to the nearest (of two the even one), as 16 bytes.
    unsafe fn store_bytes(p: *mut u8, v: Self::Floats, top: f32);
    /// The larger ones of four times 16 bytes.
    unsafe fn max_bytes(p: [*const u8; 4], out: *mut u8);
    /// From four neighbouring pixels of 16 bytes, the first at `p`, the four inputs of Winograd's F(2, 3): `d1 + d2`,
    /// `d2 - d1 + 128`, `d0 - d2 + 128`, `d1 - d3 + 128`, each for `COUNT` pairs of pixels side by side.
    unsafe fn widen(p: *const u8, out: [*mut u8; 4]);
    /// Pairs of pixels that `widen` does at once.
    const COUNT: usize;
}

/// The sum of 16 lanes: halves on halves.
#[inline(always)]
pub(super) fn sum_of(v: [f32; 16]) -> f32 {
    let mut v = v;
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            v[i] += v[i + half];
        }
    }
    v[0]
}
