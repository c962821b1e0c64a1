//! 3x3 and 1x1 convolutions (stride 1, zero padding that keeps the size) and the 2x2 transposed convolution of
//! stride 2, forward and backward, on the blocked layout.
//!
//! One tile kernel does nearly all of it. It holds a tile of output pixels for two blocks of output channels in
//! registers, and adds input value times weight vector for every input channel and tap. The backward pass of the
//! data is the same kernel with the weights flipped and transposed; the transposed convolution is a 1x1 convolution
//! with four times as many outputs, and its backward pass one with four times as many inputs. Where images and channels
//! are large enough, all three passes of a 3x3 convolution have a second way with a quarter of the multiplications
//! ([`forward_winograd`], [`backward_weights_winograd`]); small images of many channels go another order of work.
//!
//! A task is some rows of one image: it copies the rows it needs, with a border of zeros, into scratch memory that
//! stays in the second-level cache, reading them through whatever stands between two convolutions (see
//! [`crate::Source`]).

mod ahead;
mod few;
mod few_weights;
mod forward;
mod pack;
mod panel;
mod plan;
mod tile;
mod transform;
mod weights;
mod winograd;
mod winograd_walk;
mod winograd_weights;

pub use forward::{After, ChannelSums, Dest, forward};
pub use plan::{ConvPlan, Sampling};
pub use weights::backward_weights;
pub use winograd::{WinogradWeights, forward_winograd};
pub use winograd_weights::backward_weights_winograd;
