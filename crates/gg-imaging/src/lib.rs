//! CT preparation: windows, CLAHE, lung region, morphology, resizing, and the way back.
//!
//! Pictures are row-major `u8` or `f32` slices with their height and width beside them; masks are `u8` where
//! non-zero means inside. Nothing here reads a file.

mod apex_base;
mod clahe;
mod clean;
mod components;
mod config;
mod display;
mod edt;
mod fill;
mod fingerprint;
mod grey;
mod kmeans;
mod labels;
mod morphology;
mod prepare;
mod resize;
mod restore;
mod roi;
mod split_lungs;
mod steps;
mod turn;
mod way;
mod window;

pub use apex_base::{ApexBase, apex_base_check};
pub use clahe::{ClaheTile, clahe, clahe_tile};
pub use clean::CleanUp;
pub use components::{Component, Components, Connectivity, label_2d, label_3d};
pub use config::{PrepareConfig, RoiConfig, RoiMode};
pub use display::Display;
pub use edt::distance_edt;
pub use fill::fill_holes_3d;
pub use fingerprint::{Fingerprint, fingerprint};
pub use kmeans::{kmeans_two, kmeans_two_histogram};
pub use labels::resize_labels_majority_u8;
pub use morphology::{binary_dilation, binary_erosion};
pub use prepare::{DropReason, Prepared, prepare, prepare_in_boxes, prepare_labels, prepare_sizes};
pub use resize::{resize_area_u8, resize_linear_f32, resize_linear_u8, resize_u8};
pub use restore::{restore_labels_slice, restore_probabilities_slice};
pub use roi::find_lung_box;
pub use split_lungs::split_lungs;
pub use steps::{PrepareSteps, StepPicture, prepare_steps};
pub use turn::turn_quarters;
pub use way::{Rect, SliceWay};
pub use window::{min_max_to_u8, window_to_u8};
