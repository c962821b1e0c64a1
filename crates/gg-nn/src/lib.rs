//! Networks, losses, schedules, the training loop, model bundles and prediction.
//!
//! * [`net`]: each network once, as data;
//! * [`Weights`]: plain named arrays;
//! * [`engine`]: what executes a network; Burn stays inside it.

pub mod engine;
pub mod net;
mod weights;

pub use weights::{Tensor, Weights, WeightsError};
