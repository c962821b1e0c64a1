//! Plain Rust that the compiler turns into whatever vectors the target has (SSE2, NEON).

use super::{Kernel, Simd};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

const LANES: usize = 8;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = a;
    for (o, y) in out.iter_mut().zip(b) {
        *o = f(*o, y);
    }
    out
}

/// One multiply-add, fused only where that is one instruction (without it `mul_add` is a slow library call).
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

impl Simd for Portable {
    const L: usize = LANES;
    const TILE: usize = if cfg!(target_arch = "aarch64") { 6 } else { 3 };
    const WEIGHT_BLOCKS: usize = 1;
    type V = [f32; LANES];

    unsafe fn enter<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Self>()
    }
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        p.cast::<Self::V>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        p.cast::<Self::V>().write_unaligned(v)
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn sqrt(a: Self::V) -> Self::V {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = c;
        for i in 0..LANES {
            out[i] = multiply_add(a[i], b[i], c[i]);
        }
        out
    }
    #[inline(always)]
    unsafe fn where_positive(x: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        let mut out = no;
        for i in 0..LANES {
            out[i] = if x[i] > 0.0 { yes[i] } else { no[i] };
        }
        out
    }
    #[inline(always)]
    unsafe fn where_equal(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        let mut out = no;
        for i in 0..LANES {
            out[i] = if a[i] == b[i] { yes[i] } else { no[i] };
        }
        out
    }
    #[inline(always)]
    unsafe fn transpose(from: impl Fn(usize) -> *const f32, to: impl Fn(usize) -> *mut f32) {
        for i in 0..LANES {
            for j in 0..LANES {
                *to(j).add(i) = *from(i).add(j);
            }
        }
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        v.iter().sum()
    }
}
