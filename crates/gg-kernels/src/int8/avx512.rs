//! AVX-512 with VNNI: one instruction multiplies and adds 64 bytes.

use super::simd::{Int8, Work};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Int8 for Avx512 {
    const TILE: usize = 14;
    const BLOCKS: usize = 2;
    const COUNT: usize = 4;
    type Acc = __m512i;
    type Floats = __m512;
    type Weights = __m512i;
    type Word = __m512i;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn enter<W: Work>(work: W) -> W::Out {
        work.run::<Self>()
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn zero() -> __m512i {
        _mm512_setzero_si512()
    }
    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512i, b: __m512i) -> __m512i {
        _mm512_sub_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn word(p: *const u8) -> __m512i {
        _mm512_set1_epi32(p.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn dot(acc: __m512i, word: __m512i, weights: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, word, weights)
    }
    #[inline(always)]
    unsafe fn floats(acc: __m512i, floor: i32) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_max_epi32(acc, _mm512_set1_epi32(floor)))
    }
    #[inline(always)]
    unsafe fn from_bytes(p: *const u8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_add_ps(_mm512_mul_ps(a, b), c)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        let v = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: __m512, top: f32) {
        let cut = _mm512_min_ps(_mm512_max_ps(v, _mm512_setzero_ps()), _mm512_set1_ps(top));
        _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(cut)))
    }
    #[inline(always)]
    unsafe fn max_bytes(p: [*const u8; 4], out: *mut u8) {
        // No closure: it would not be compiled for the instruction set.
        let (a, b) = (_mm_loadu_si128(p[0].cast()), _mm_loadu_si128(p[1].cast()));
        let (c, d) = (_mm_loadu_si128(p[2].cast()), _mm_loadu_si128(p[3].cast()));
        _mm_storeu_si128(out.cast(), _mm_max_epu8(_mm_max_epu8(a, b), _mm_max_epu8(c, d)))
    }
    #[inline(always)]
    unsafe fn widen(p: *const u8, out: [*mut u8; 4]) {
        // Pixels 0 to 3, 4 to 7; the even and the odd ones of 0 to 7 and of 2 to 9.
        let (a, b) = (_mm512_loadu_si512(p.cast()), _mm512_loadu_si512(p.add(64).cast()));
        let (c, d) = (_mm512_loadu_si512(p.add(32).cast()), _mm512_loadu_si512(p.add(96).cast()));
        let (d0, d1) = (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xDD>(a, b));
        let (d2, d3) = (_mm512_shuffle_i64x2::<0x88>(c, d), _mm512_shuffle_i64x2::<0xDD>(c, d));
        let half = _mm512_set1_epi8(-128);
        _mm512_storeu_si512(out[0].cast(), _mm512_add_epi8(d1, d2));
        _mm512_storeu_si512(out[1].cast(), _mm512_xor_si512(_mm512_sub_epi8(d2, d1), half));
        _mm512_storeu_si512(out[2].cast(), _mm512_xor_si512(_mm512_sub_epi8(d0, d2), half));
        _mm512_storeu_si512(out[3].cast(), _mm512_xor_si512(_mm512_sub_epi8(d1, d3), half));
    }
}
