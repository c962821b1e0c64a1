//! Plots, figures and reports for people to look at.
//!
//! Everything is a pure function of plain data: the same input gives the same bytes, and nothing appears in an
//! output that the caller did not pass in (no time, no path, no identifier).
//!
//! A drawing is a [`Scene`]; [`Scene::to_svg`] and [`Scene::to_png`] show the same shapes and letters. Pages are
//! single HTML files that refer to nothing outside themselves.

mod contour;
mod encode;
mod font;
mod html;
mod ink;
mod inputs;
mod network;
mod picture;
mod raster;
mod scene;
mod svg;

pub use font::{Weight, text_width};
pub use html::{analysis_report, evaluation_report, prepare_report, quickstart_report, training_report};
pub use ink::{BLUE, GREEN, INFECTION, Ink, LUNG, SERIES, VERMILION};
pub use inputs::*;
pub use network::{LayerKind, LayerRow, UnetLevel, cnn_drawing, layer_table, unet_drawing};
pub use picture::{
    CoronalRow, Grey, Overlay, PictureError, PixelBox, Sides, SlicePicture, comparison_panels, coronal_picture,
    lung_box, montage, pick_slices, slice_scene,
};
pub use scene::{Anchor, Fill, Item, Scene, Stroke, Text, TextStyle};
