//! Plain Rust: the definition of what the other sets do.

use super::simd::{Int8, Work, sum_of};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

const L: usize = 16;

#[inline(always)]
fn each<U: Copy + Default>(f: impl Fn(usize) -> U) -> [U; L] {
    let mut out = [U::default(); L];
    for (i, o) in out.iter_mut().enumerate() {
        *o = f(i);
    }
    out
}

impl Int8 for Portable {
    const TILE: usize = 2;
    const BLOCKS: usize = 1;
    const COUNT: usize = 1;
    type Acc = [i32; L];
    type Floats = [f32; L];
    type Weights = [[i8; 4]; L];
    type Word = [u8; 4];

    unsafe fn enter<W: Work>(work: W) -> W::Out {
        work.run::<Self>()
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::Acc {
        p.cast::<Self::Acc>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        [0; L]
    }
    #[inline(always)]
    unsafe fn add(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        each(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn sub(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        each(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        p.cast::<Self::Weights>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn word(p: *const u8) -> Self::Word {
        p.cast::<Self::Word>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn dot(acc: Self::Acc, word: Self::Word, weights: Self::Weights) -> Self::Acc {
        let mut acc = acc;
        for (a, w) in acc.iter_mut().zip(weights) {
            for (x, w) in word.iter().zip(w) {
                *a += i32::from(*x) * i32::from(w);
            }
        }
        acc
    }
    #[inline(always)]
    unsafe fn floats(acc: Self::Acc, floor: i32) -> Self::Floats {
        each(|i| acc[i].max(floor) as f32)
    }
    #[inline(always)]
    unsafe fn from_bytes(p: *const u8) -> Self::Floats {
        let bytes = p.cast::<[u8; L]>().read_unaligned();
        each(|i| f32::from(bytes[i]))
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Self::Floats {
        p.cast::<Self::Floats>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::Floats {
        [x; L]
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn sum(v: Self::Floats) -> f32 {
        sum_of(v)
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::Floats, top: f32) {
        let bytes: [u8; L] = each(|i| v[i].clamp(0.0, top).round_ties_even() as u8);
        p.cast::<[u8; L]>().write_unaligned(bytes)
    }
    #[inline(always)]
    unsafe fn max_bytes(p: [*const u8; 4], out: *mut u8) {
        let [a, b, c, d] = p.map(|p| p.cast::<[u8; L]>().read_unaligned());
        let most: [u8; L] = each(|i| a[i].max(b[i]).max(c[i]).max(d[i]));
        out.cast::<[u8; L]>().write_unaligned(most)
    }
    #[inline(always)]
    unsafe fn widen(p: *const u8, out: [*mut u8; 4]) {
        let [d0, d1, d2, d3] = [0, 1, 2, 3].map(|x| p.add(x * L).cast::<[u8; L]>().read_unaligned());
        let minus =
            |a: [u8; L], b: [u8; L]| -> [u8; L] { each(|i| a[i].wrapping_sub(b[i]).wrapping_add(128)) };
        let sum: [u8; L] = each(|i| d1[i].wrapping_add(d2[i]));
        for (to, v) in out.into_iter().zip([sum, minus(d2, d1), minus(d0, d2), minus(d1, d3)]) {
            to.cast::<[u8; L]>().write_unaligned(v);
        }
    }
}
