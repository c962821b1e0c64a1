//! AVX-512: 16 floats, 32 registers.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const L: usize = 16;
    const TILE: usize = 14;
    const WEIGHT_BLOCKS: usize = 2;
    type V = __m512;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn enter<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Self>()
    }
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    unsafe fn enter_bf16<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Self>()
    }
    #[inline(always)]
    unsafe fn dot2(acc: __m512, a: __m512, b: __m512) -> __m512 {
        // The same 512 bits under another name.
        _mm512_dpbf16_ps(
            acc,
            std::mem::transmute::<__m512, __m512bh>(a),
            std::mem::transmute::<__m512, __m512bh>(b),
        )
    }
    #[inline(always)]
    unsafe fn store_bf16(p: *mut f32, v: __m512) {
        let bits = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
        _mm256_storeu_si256(p.cast(), bits)
    }
    #[inline(always)]
    unsafe fn pair_bf16(low: __m512, high: __m512) -> __m512 {
        // The two halves are the sixteen low and the sixteen high numbers; they are wanted in turns.
        let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
        let turns = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
            18, 2, 17, 1, 16, 0,
        );
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(turns, halves))
    }
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        _mm512_setzero_ps()
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        _mm512_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m512) -> __m512 {
        _mm512_sqrt_ps(a)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn where_positive(x: __m512, yes: __m512, no: __m512) -> __m512 {
        let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps());
        _mm512_mask_blend_ps(positive, no, yes)
    }
    #[inline(always)]
    unsafe fn where_equal(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        _mm512_mask_blend_ps(equal, no, yes)
    }
    #[inline(always)]
    unsafe fn transpose(from: impl Fn(usize) -> *const f32, to: impl Fn(usize) -> *mut f32) {
        // `column[4 i + j]` holds, in its quarter q, rows 4 i .. 4 i + 4 of column 4 q + j.
        let mut column = [_mm512_setzero_ps(); 16];
        for i in 0..4 {
            let mut row = [_mm512_setzero_ps(); 4];
            for r in 0..4 {
                row[r] = _mm512_loadu_ps(from(4 * i + r));
            }
            let (low, high) = (_mm512_unpacklo_ps(row[0], row[1]), _mm512_unpackhi_ps(row[0], row[1]));
            let (low2, high2) = (_mm512_unpacklo_ps(row[2], row[3]), _mm512_unpackhi_ps(row[2], row[3]));
            column[4 * i] = _mm512_shuffle_ps::<0b01_00_01_00>(low, low2);
            column[4 * i + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(low, low2);
            column[4 * i + 2] = _mm512_shuffle_ps::<0b01_00_01_00>(high, high2);
            column[4 * i + 3] = _mm512_shuffle_ps::<0b11_10_11_10>(high, high2);
        }
        // Quarters 0 and 2, or 1 and 3, of two vectors.
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        for j in 0..4 {
            let (a, b, c, d) = (column[j], column[4 + j], column[8 + j], column[12 + j]);
            let (even, even2) = (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d));
            let (odd, odd2) = (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d));
            _mm512_storeu_ps(to(j), _mm512_shuffle_f32x4::<EVEN>(even, even2));
            _mm512_storeu_ps(to(4 + j), _mm512_shuffle_f32x4::<EVEN>(odd, odd2));
            _mm512_storeu_ps(to(8 + j), _mm512_shuffle_f32x4::<ODD>(even, even2));
            _mm512_storeu_ps(to(12 + j), _mm512_shuffle_f32x4::<ODD>(odd, odd2));
        }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast())
    }
    #[inline(always)]
    unsafe fn prefetch_to_write(p: *const f32) {
        _mm_prefetch::<_MM_HINT_ET0>(p.cast())
    }
    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        _mm512_reduce_add_ps(v)
    }
}
