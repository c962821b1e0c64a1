//! Networks, losses, schedules, the training loop, model bundles and prediction.
//!
//! * [`net`]: each network once, as data;
//! * [`Weights`]: plain named arrays;
//! * [`engine`]: what executes a network; Burn stays inside it;
//! * [`Loss`], [`Adam`], [`Schedule`]: on plain arrays, once for all engines.

pub mod engine;
mod loss;
pub mod net;
mod optim;
mod schedule;
mod weights;

pub use loss::{Loss, sigmoid};
pub use optim::{Adam, AdamConfig, Clip, update_average, update_running_stats};
pub use schedule::{EarlyStopping, Position, Progress, Schedule, Unit};
pub use weights::{Tensor, Weights, WeightsError};
