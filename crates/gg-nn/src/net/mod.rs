//! Each network once, as data: a [`NetConfig`] becomes a [`Graph`] of layers that any engine can execute.

mod classifier;
mod config;
mod graph;
mod table;
mod unet;
mod unet_classifier;

pub use config::{
    Block, ClassifierAConfig, ClassifierBConfig, Init, NetConfig, NetError, Norm, Skips,
    UnetClassifierConfig, UnetConfig,
};
pub use graph::{Graph, Layer, Op, Param, ParamKind, Shape};
pub use table::{LayerRow, NetTable};
