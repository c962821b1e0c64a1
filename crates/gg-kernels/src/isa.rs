//! Which instruction set the kernels use: found at run time, or forced by name.
//!
//! An [`Isa`] value is a proof: it can only be made for a set that this processor has, so every safe kernel that
//! takes one may call the code compiled for it.

use crate::int8::{Int8, Work};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Portable, Simd};
use std::fmt;

/// An instruction set that this processor has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Isa {
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        bf16: bool,
        vnni: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2 {
        vnni: bool,
    },
    Portable,
}

/// The set asked for cannot be used here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsaError {
    /// No such name.
    #[error("found instruction set \"{0}\", right would be avx512, avx2 or portable")]
    Unknown(String),
    /// The processor lacks it.
    #[error("found a processor without {0}, right would be one of: {1}")]
    Missing(String, String),
}

impl Isa {
    /// The fastest set of this processor.
    pub fn detect() -> Self {
        Self::available().first().copied().unwrap_or(Self { kind: Kind::Portable })
    }

    /// All sets of this processor, the fastest first; the last is always the portable one.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                let bf16 = is_x86_feature_detected!("avx512bf16");
                let vnni = is_x86_feature_detected!("avx512vnni");
                sets.push(Self { kind: Kind::Avx512 { bf16, vnni } });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self { kind: Kind::Avx2 { vnni: is_x86_feature_detected!("avxvnni") } });
            }
        }
        sets.push(Self { kind: Kind::Portable });
        sets
    }

    /// The set called `avx512`, `avx2` or `portable`.
    ///
    /// # Errors
    /// When the name is not one of these, or the processor lacks the set.
    pub fn force(name: &str) -> Result<Self, IsaError> {
        let sets = Self::available();
        if let Some(isa) = sets.iter().find(|isa| isa.name() == name) {
            return Ok(*isa);
        }
        match name {
            "avx512" | "avx2" => {
                let names: Vec<_> = sets.iter().map(|isa| isa.name()).collect();
                Err(IsaError::Missing(name.into(), names.join(", ")))
            }
            _ => Err(IsaError::Unknown(name.into())),
        }
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { .. } => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 { .. } => "avx2",
            Kind::Portable => "portable",
        }
    }

    /// Channels per block of the blocked layout: the floats of one vector register.
    pub fn lanes(self) -> usize {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { .. } => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 { .. } => 8,
            Kind::Portable => 8,
        }
    }

    /// Whether the processor multiplies bf16 numbers with fp32 sums.
    pub fn has_bf16(self) -> bool {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { bf16, .. } => bf16,
            _ => false,
        }
    }

    /// Whether the processor multiplies and adds four bytes at once; without, int8 is exact too, but slower.
    pub fn has_vnni(self) -> bool {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { vnni, .. } | Kind::Avx2 { vnni } => vnni,
            Kind::Portable => false,
        }
    }

    /// Output blocks that one tile of bytes computes at once.
    pub(crate) fn int8_blocks(self) -> usize {
        struct Blocks;
        impl Work for Blocks {
            type Out = usize;
            #[inline(always)]
            fn run<S: Int8>(self) -> usize {
                S::BLOCKS
            }
        }
        self.run_int8(Blocks)
    }

    /// Runs work on bytes compiled for this set.
    #[inline]
    pub(crate) fn run_int8<W: Work>(self, work: W) -> W::Out {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { vnni: true, .. } => {
                // SAFETY: an `Isa` of this kind exists only where the processor has these features.
                unsafe { crate::int8::Avx512::enter(work) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 { vnni: true } => {
                // SAFETY: as above.
                unsafe { crate::int8::Vnni::enter(work) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { vnni: false, .. } | Kind::Avx2 { vnni: false } => {
                // SAFETY: as above; whoever has AVX-512 has AVX2.
                unsafe { crate::int8::Avx2::enter(work) }
            }
            Kind::Portable => {
                // SAFETY: it needs no features.
                unsafe { crate::int8::Portable::enter(work) }
            }
        }
    }

    /// Runs a kernel compiled for this set with bf16.
    ///
    /// # Panics
    /// On a processor without it.
    #[inline]
    pub(crate) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Out {
        assert!(self.has_bf16(), "a processor with bf16");
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { .. } => {
                // SAFETY: an `Isa` of this kind exists only where the processor has the set, and it has bf16.
                unsafe { Avx512::enter_bf16(kernel) }
            }
            _ => unreachable!("bf16 is AVX-512's"),
        }
    }

    /// Runs a kernel compiled for this set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.kind {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 { .. } => {
                // SAFETY: an `Isa` of this kind exists only where the processor has these features.
                unsafe { Avx512::enter(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 { .. } => {
                // SAFETY: as above.
                unsafe { Avx2::enter(kernel) }
            }
            Kind::Portable => {
                // SAFETY: it needs no features.
                unsafe { Portable::enter(kernel) }
            }
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_set_is_always_there_and_unknown_names_are_refused() {
        assert_eq!(Isa::force("portable").unwrap().name(), "portable");
        assert_eq!(Isa::force("sse9"), Err(IsaError::Unknown("sse9".into())));
        assert_eq!(Isa::available()[0], Isa::detect());
    }
}
