//! Plots, figures and reports for people to look at.
//!
//! Everything is a pure function of plain data: the same input gives the same bytes, and nothing appears in an
//! output that the caller did not pass in (no time, no path, no identifier).
//!
//! A drawing is a [`Scene`]; [`Scene::to_svg`] and [`Scene::to_png`] show the same shapes and letters. Pages are
//! single HTML files that refer to nothing outside themselves.

mod axis;
mod chart;
mod contour;
mod encode;
mod figures;
mod font;
mod heat;
mod html;
mod ink;
mod inputs;
mod interval;
mod network;
mod numbers;
mod picture;
mod plots;
mod raster;
mod scene;
mod study;
mod svg;
mod zones;

pub use axis::Axis;
pub use chart::{Chart, Mark};
pub use figures::{
    Captioned, ClaheFlow, clahe_figure, classification_figure, contrast_figure, prepared_figure,
    sample_figure, segmentation_figure, sheet_figure, slice_figure, steps_figure,
};
pub use font::Weight;
pub use heat::{Colour, HeatPanel, heat_figure, heat_picture};
pub use html::{
    analysis_report, audit_report, evaluation_report, prepare_report, quickstart_report, study_report,
    summary_sentence, training_report,
};
pub use ink::{BLUE, Ink};
pub use inputs::*;
pub use interval::interval_bar;
pub use network::{LayerKind, LayerRow, UnetLevel, cnn_drawing, layer_table, unet_drawing};
pub use picture::{
    CoronalRow, Grey, Overlay, PictureError, PixelBox, Sides, SlicePicture, comparison_panels,
    coronal_picture, lung_box, montage, pick_slices, slice_scene,
};
pub use plots::{
    agreement_scatter, bland_altman, confusion_matrix, dice_strip, pr_plot, reliability_plot, roc_plot,
    shows_agreement, slice_strip, training_curves,
};
pub use scene::{Anchor, Fill, Item, Scene, Stroke, Text, TextStyle};
pub use study::{
    EffectPair, EffectRow, ODDS_EDGE, Section, StudyReport, TextTable, dependence_figure, importance_figure,
    odds_figure, pairs_figure,
};
pub use zones::zone_bars;
