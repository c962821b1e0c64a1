//! What convolutions multiply, by name.

use super::EngineError;

/// What convolutions multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Fp32,
    /// 16 bits, with fp32 sums.
    Bf16,
    /// 8 bits, with whole numbers as sums: prediction alone, and only with a [`crate::Calibration`].
    Int8,
}

impl Precision {
    /// `fp32`, `bf16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The same for the kernels of floats.
    ///
    /// # Errors
    /// int8.
    pub fn of_floats(self) -> Result<gg_kernels::Precision, EngineError> {
        match self {
            Self::Fp32 => Ok(gg_kernels::Precision::Fp32),
            Self::Bf16 => Ok(gg_kernels::Precision::Bf16),
            Self::Int8 => Err(EngineError::NoCalibration),
        }
    }
}

impl From<gg_kernels::Precision> for Precision {
    fn from(precision: gg_kernels::Precision) -> Self {
        match precision {
            gg_kernels::Precision::Fp32 => Self::Fp32,
            gg_kernels::Precision::Bf16 => Self::Bf16,
        }
    }
}
