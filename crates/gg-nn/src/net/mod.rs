//! Each network once, as data: a [`NetConfig`] becomes a [`Graph`] of layers that any engine can execute.

mod classifier;
mod config;
mod encoder;
mod graph;
mod table;
mod unet;

pub use config::{
    ClassifierAConfig, ClassifierBConfig, EncoderConfig, Init, NetConfig, NetError, Norm, UnetConfig,
};
pub use graph::{Graph, Layer, Op, Param, ParamKind, Shape};
pub use table::{LayerRow, NetTable};
