//! Slices with their masks, as the reports show them.

use anyhow::Result;
use gg_imaging::Display;
use gg_report::{CoronalRow, Grey, Sides, SlicePicture};
use gg_volume::{AxisMap, CtVolume, LabelVolume};
use rayon::prelude::*;

/// A CT with one pair of masks on its stored grid.
pub(crate) struct Shown<'a> {
    pub(crate) ct: &'a CtVolume,
    pub(crate) map: AxisMap,
    /// Whether sides and ends are known, so that letters may be drawn.
    pub(crate) oriented: bool,
    pub(crate) lung: Option<&'a LabelVolume>,
    pub(crate) infection: Option<&'a LabelVolume>,
}

impl Shown<'_> {
    /// Axial slice `z`, counted from the feet.
    pub(crate) fn axial(&self, z: usize, caption: String) -> Result<SlicePicture> {
        let display = Display::new(self.ct, self.map);
        let [_, h, w] = display.shape();
        Ok(SlicePicture {
            grey: Grey::new(w, h, display.slice(z))?,
            lung: self.lung.map(|l| self.labels(l, z)),
            infection: self.infection.map(|l| self.labels(l, z)),
            pixel_mm: self.spacing().map(|[_, y, x]| [y, x]),
            sides: self.oriented.then_some(Sides::AXIAL),
            caption,
        })
    }

    /// The coronal plane through row `y`, head on top.
    pub(crate) fn coronal(&self, y: usize, caption: String) -> Result<SlicePicture> {
        let display = Display::new(self.ct, self.map);
        let [n, _, w] = display.shape();
        let labels = |labels: Option<&LabelVolume>, z: usize| {
            labels.map_or(Vec::new(), |l| self.labels(l, z)[y * w..(y + 1) * w].to_vec())
        };
        let rows: Vec<CoronalRow> = (0..n)
            .into_par_iter()
            .map(|z| CoronalRow {
                grey: display.row(z, y),
                lung: labels(self.lung, z),
                infection: labels(self.infection, z),
            })
            .collect();
        let pixel_mm = self.spacing().map(|[z, _, x]| [z, x]);
        let sides = self.oriented.then_some(Sides::CORONAL);
        Ok(gg_report::coronal_picture(&rows, pixel_mm, sides, caption)?)
    }

    fn labels(&self, labels: &LabelVolume, z: usize) -> Vec<u8> {
        let [_, h, w] = self.map.canonical_shape(labels.shape());
        let mut slice = vec![0; h * w];
        self.map.read_slice(labels, z, &mut slice);
        slice
    }

    /// The proportions of the picture, also where the spacing is not good enough for millilitres.
    fn spacing(&self) -> Option<[f64; 3]> {
        self.ct.grid.spacing_mm.map(|s| self.map.canonical(s))
    }
}
