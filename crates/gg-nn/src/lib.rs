//! Networks, losses, schedules, the training loop, model bundles and prediction.
//!
//! * [`net`]: each network once, as data; [`Weights`]: plain named arrays;
//! * [`engine`]: what executes a network; Burn stays inside it;
//! * [`explain`]: where a classifier looks;
//! * [`Loss`], [`Supervision`], [`Adam`], [`Schedule`]: on plain arrays, once for all engines;
//! * [`train()`]: batches in, the best weights and their threshold out, resumable to the byte;
//! * [`Bundle`]: a model as one file; [`Predictor`]: slices in, probabilities out.

mod bundle;
mod calibration;
mod checkpoint;
pub mod engine;
mod ensemble;
pub mod explain;
mod loss;
mod mirror;
pub mod net;
mod optim;
mod predict;
mod schedule;
mod scoring;
mod store;
mod supervision;
mod teacher;
mod train;
mod train_config;
mod weights;

pub use bundle::{BUNDLE_FORMAT, Bundle, BundleError, BundleInfo, weights_sha256};
pub use calibration::{CALIBRATION_FORMAT, CALIBRATION_SLICES, Calibration};
pub use engine::{Engine, EngineError, engine_for};
pub use ensemble::{JoinError, Member, join};
pub use gg_dataset::Task;
pub use loss::{Loss, sigmoid, tempered};
pub use mirror::Mirror;
pub use net::NetConfig;
pub use optim::{Adam, AdamConfig, Clip, update_average, update_running_stats};
pub use predict::{PREDICT_BATCH, Predictor};
pub use schedule::{EarlyStopping, Position, Progress, Schedule, Unit};
pub use scoring::PartScores;
pub use store::{Precision, StoreError};
pub use supervision::Supervision;
pub use teacher::Teacher;
pub use train::{EpochRow, Observer, StepInfo, TrainError, TrainOutcome, TrainRun, train};
pub use train_config::{ClassWeights, Select, TrainConfig};
pub use weights::{Tensor, Weights, WeightsError};
