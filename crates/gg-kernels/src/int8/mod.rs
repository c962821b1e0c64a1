//! Convolutions of bytes for prediction: activations are unsigned bytes, weights signed ones, sums 32-bit integers.
//!
//! A stored byte q means `scale (q - zero)`, one scale and one zero per tensor ([`Quant`]). Tensors lie in memory as
//! `[image][block of 16 channels][row][column][channel]` with a frame of one pixel around each plane that holds `zero`
//! ([`ByteShape`]): four neighbouring channels are one 32-bit word, and a convolution reads its neighbours without asking
//! where the image ends. Batch norm, ReLU and the rounding back to bytes happen in registers ([`After8`]).
//!
//! 3x3 convolutions go through Winograd's F(2, 3) along the rows: two results from four products in place of six. With
//! activations of 7 bits ([`TOP`]) the sums and differences of two inputs still fit a byte, so this loses nothing:
//! all is exact in integers, and the few floating-point operations are the same single ones on every processor. So every
//! instruction set gives the same bytes.
//!
//! Source of the transform: Lavin and Gray 2016 (arXiv 1509.09308).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod conv;
mod image;
mod layout;
mod portable;
mod reduce;
mod simd;
mod task;
mod tile;
mod weights;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2, Vnni};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub use conv::{Source8, convolve8};
pub use image::{ImageConv, convolve_image};
pub use layout::{ByteShape, Quant, TOP};
pub(crate) use portable::Portable;
pub use reduce::{add8, logits8, max_pool8, means8};
pub(crate) use simd::{Int8, Work};
pub use weights::{After8, Conv8, Kind8};
