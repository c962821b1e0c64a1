//! CPU kernels for convolution networks, forward and backward: the only crate of the project with `unsafe`.
//!
//! * [`Isa`]: AVX-512, AVX2 + FMA or portable Rust, found at run time or forced;
//! * [`Buffer`], [`Shape`], [`to_blocked`]: aligned memory and the channel-blocked layout;
//! * [`Source`]: how a kernel reads a tensor, with batch norm, activation or their backward pass applied on the way;
//! * [`forward`], [`backward_weights`], [`ConvPlan`]: 3x3, 1x1 and transposed 2x2 convolutions;
//! * [`forward_winograd`], [`backward_weights_winograd`]: 3x3 convolutions with a quarter of the multiplications;
//! * [`Conv8`], [`convolve8`]: prediction in bytes; [`ImageConv`], [`max_pool8`], [`logits8`], [`means8`];
//! * [`channel_sums`], [`norm_of_batch`], [`norm_backward`]: batch norm; [`max_pool`], [`average_pool`], [`dense`];
//!   [`adam_step`];
//! * [`logits`], [`logits_backward`]: the 1x1 convolution to one channel at a network's end;
//! * [`add`], [`add8`], [`gate`]: what residual blocks and attention gates join tensors with.
//!
//! Work is cut by shapes alone, and all sums are added in a fixed order: the same bytes at any number of threads
//! (rayon's current pool), for one instruction set.
#![allow(clippy::needless_range_loop)] // lanes, blocks and pixels are indices into several arrays at once

mod adam;
mod arith;
mod buffer;
mod conv;
mod dense;
mod int8;
mod isa;
mod join;
mod layout;
mod logits;
mod norm;
mod peak;
mod pool;
mod reduce;
mod simd;
mod source;

pub use adam::{AdamStep, adam_step};
pub use arith::Precision;
pub use buffer::Buffer;
pub use conv::{
    After, ChannelSums, ConvPlan, Dest, Sampling, WinogradWeights, backward_weights,
    backward_weights_winograd, forward, forward_winograd,
};
pub use dense::{dense, dense_backward};
pub use int8::{
    After8, ByteShape, Conv8, ImageConv, Kind8, Quant, Source8, TOP, add8, convolve_image, convolve8,
    logits8, max_pool8, means8,
};
pub use isa::{Isa, IsaError};
pub use join::{add, gate, gate_backward};
pub use layout::{Shape, from_blocked, padded, to_blocked};
pub use logits::{LogitsGradient, logits, logits_backward};
pub use norm::{Norm, NormGradient, norm_backward, norm_of_batch, norm_of_running};
pub use peak::fma_peak;
pub use pool::{average_pool, average_pool_backward, max_pool, max_pool_backward, multiply};
pub use reduce::{channel_sums, gradient_sums};
pub use source::{Gradient, Read, Source};
