//! AVX2, and AVX2 with VNNI: two vectors of 8 channels.
//!
//! Without VNNI the even and the odd bytes are widened to 16 bits and multiplied apart (`vpmaddwd`): unlike
//! `vpmaddubsw` this never saturates.

use super::simd::{Int8, Work};
use std::arch::x86_64::*;

/// `NEW`: with the instruction of VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Set<const NEW: bool>;

pub(crate) type Avx2 = Set<false>;
pub(crate) type Vnni = Set<true>;

impl<const NEW: bool> Set<NEW> {
    #[target_feature(enable = "avx2")]
    unsafe fn enter_old<W: Work>(work: W) -> W::Out {
        work.run::<Self>()
    }
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn enter_new<W: Work>(work: W) -> W::Out {
        work.run::<Self>()
    }
}

#[inline(always)]
unsafe fn dot_of_words(acc: __m256i, word: __m256i, weights: __m256i) -> __m256i {
    let (even, odd) = (_mm256_and_si256(word, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16::<8>(word));
    let even_weights = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights));
    let odd_weights = _mm256_srai_epi16::<8>(weights);
    let acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, even_weights));
    _mm256_add_epi32(acc, _mm256_madd_epi16(odd, odd_weights))
}

impl<const NEW: bool> Int8 for Set<NEW> {
    const TILE: usize = if NEW { 6 } else { 4 };
    const BLOCKS: usize = 1;
    const COUNT: usize = 1;
    type Acc = [__m256i; 2];
    type Floats = [__m256; 2];
    type Weights = [__m256i; 2];
    type Word = __m256i;

    #[inline(always)]
    unsafe fn enter<W: Work>(work: W) -> W::Out {
        if NEW { Self::enter_new(work) } else { Self::enter_old(work) }
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::Acc {
        [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(8).cast())]
    }
    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        [_mm256_setzero_si256(); 2]
    }
    #[inline(always)]
    unsafe fn add(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn sub(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        Self::load(p.cast())
    }
    #[inline(always)]
    unsafe fn word(p: *const u8) -> __m256i {
        _mm256_set1_epi32(p.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn dot(acc: Self::Acc, word: __m256i, weights: Self::Weights) -> Self::Acc {
        if NEW {
            let low = _mm256_dpbusd_avx_epi32(acc[0], word, weights[0]);
            [low, _mm256_dpbusd_avx_epi32(acc[1], word, weights[1])]
        } else {
            [dot_of_words(acc[0], word, weights[0]), dot_of_words(acc[1], word, weights[1])]
        }
    }
    #[inline(always)]
    unsafe fn floats(acc: Self::Acc, floor: i32) -> Self::Floats {
        let floor = _mm256_set1_epi32(floor);
        let low = _mm256_cvtepi32_ps(_mm256_max_epi32(acc[0], floor));
        [low, _mm256_cvtepi32_ps(_mm256_max_epi32(acc[1], floor))]
    }
    #[inline(always)]
    unsafe fn from_bytes(p: *const u8) -> Self::Floats {
        let bytes = _mm_loadu_si128(p.cast());
        let low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
        [low, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)))]
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Self::Floats {
        [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::Floats {
        [_mm256_set1_ps(x); 2]
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        let low = _mm256_add_ps(_mm256_mul_ps(a[0], b[0]), c[0]);
        [low, _mm256_add_ps(_mm256_mul_ps(a[1], b[1]), c[1])]
    }
    #[inline(always)]
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn sum(v: Self::Floats) -> f32 {
        let v = _mm256_add_ps(v[0], v[1]);
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::Floats, top: f32) {
        let (zero, top) = (_mm256_setzero_ps(), _mm256_set1_ps(top));
        let low = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[0], zero), top));
        let high = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v[1], zero), top));
        // Packing works in each half: afterwards the halves are put in order.
        let words = _mm256_permute4x64_epi64::<0xD8>(_mm256_packus_epi32(low, high));
        let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        _mm_storeu_si128(p.cast(), _mm_packus_epi16(low, high))
    }
    #[inline(always)]
    unsafe fn max_bytes(p: [*const u8; 4], out: *mut u8) {
        let (a, b) = (_mm_loadu_si128(p[0].cast()), _mm_loadu_si128(p[1].cast()));
        let (c, d) = (_mm_loadu_si128(p[2].cast()), _mm_loadu_si128(p[3].cast()));
        _mm_storeu_si128(out.cast(), _mm_max_epu8(_mm_max_epu8(a, b), _mm_max_epu8(c, d)))
    }
    #[inline(always)]
    unsafe fn widen(p: *const u8, out: [*mut u8; 4]) {
        let (d0, d1) = (_mm_loadu_si128(p.cast()), _mm_loadu_si128(p.add(16).cast()));
        let (d2, d3) = (_mm_loadu_si128(p.add(32).cast()), _mm_loadu_si128(p.add(48).cast()));
        let half = _mm_set1_epi8(-128);
        _mm_storeu_si128(out[0].cast(), _mm_add_epi8(d1, d2));
        _mm_storeu_si128(out[1].cast(), _mm_xor_si128(_mm_sub_epi8(d2, d1), half));
        _mm_storeu_si128(out[2].cast(), _mm_xor_si128(_mm_sub_epi8(d0, d2), half));
        _mm_storeu_si128(out[3].cast(), _mm_xor_si128(_mm_sub_epi8(d1, d3), half));
    }
}
