//! AVX2 with FMA: 8 floats, 16 registers.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    const L: usize = 8;
    const TILE: usize = 6;
    const WEIGHT_BLOCKS: usize = 1;
    type V = __m256;

    #[target_feature(enable = "avx2,fma")]
    unsafe fn enter<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Self>()
    }
    #[inline(always)]
    unsafe fn zero() -> __m256 {
        _mm256_setzero_ps()
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        _mm256_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        _mm256_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        _mm256_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m256) -> __m256 {
        _mm256_sqrt_ps(a)
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn where_positive(x: __m256, yes: __m256, no: __m256) -> __m256 {
        let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_setzero_ps());
        _mm256_blendv_ps(no, yes, positive)
    }
    #[inline(always)]
    unsafe fn where_equal(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        let equal = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        _mm256_blendv_ps(no, yes, equal)
    }
    #[inline(always)]
    unsafe fn transpose(from: impl Fn(usize) -> *const f32, to: impl Fn(usize) -> *mut f32) {
        // `column[4 i + j]` holds, in its half q, rows 4 i .. 4 i + 4 of column 4 q + j.
        let mut column = [_mm256_setzero_ps(); 8];
        for i in 0..2 {
            let mut row = [_mm256_setzero_ps(); 4];
            for r in 0..4 {
                row[r] = _mm256_loadu_ps(from(4 * i + r));
            }
            let (low, high) = (_mm256_unpacklo_ps(row[0], row[1]), _mm256_unpackhi_ps(row[0], row[1]));
            let (low2, high2) = (_mm256_unpacklo_ps(row[2], row[3]), _mm256_unpackhi_ps(row[2], row[3]));
            column[4 * i] = _mm256_shuffle_ps::<0b01_00_01_00>(low, low2);
            column[4 * i + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(low, low2);
            column[4 * i + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(high, high2);
            column[4 * i + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(high, high2);
        }
        for j in 0..4 {
            _mm256_storeu_ps(to(j), _mm256_permute2f128_ps::<0x20>(column[j], column[4 + j]));
            _mm256_storeu_ps(to(4 + j), _mm256_permute2f128_ps::<0x31>(column[j], column[4 + j]));
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
    unsafe fn sum(v: __m256) -> f32 {
        let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    }
}
