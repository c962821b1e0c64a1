//! One sample on its way into a batch: its pictures and those of its masks that somebody looks at.

use crate::augment::{AugmentConfig, Augmented, augment, lesions};

/// Pictures and masks that move together, `size * size` pixels each.
pub(super) struct Shown {
    /// The channels.
    pub(super) images: Vec<Vec<u8>>,
    pub(super) lung: Option<Vec<u8>>,
    pub(super) infection: Option<Vec<u8>>,
    /// Whether the slice shows infection.
    pub(super) infected: bool,
}

impl Shown {
    /// The random changes of one sample.
    pub(super) fn change(&mut self, size: usize, changes: &AugmentConfig, seed: [u64; 3]) {
        let images: Vec<&[u8]> = self.images.iter().map(Vec::as_slice).collect();
        let masks: Vec<&[u8]> =
            [&self.lung, &self.infection].into_iter().flatten().map(Vec::as_slice).collect();
        let Augmented { images, masks } = augment(&images, &masks, size, changes, seed);
        self.images = images;
        let mut changed = masks.into_iter();
        for mask in [&mut self.lung, &mut self.infection].into_iter().flatten() {
            if let Some(new) = changed.next() {
                *mask = new;
            }
        }
    }

    /// Lays the lesions of another sample into the lungs of this one, where both are known.
    pub(super) fn transplant(&mut self, from: &Self, size: usize) {
        let (Some(lung), Some(theirs)) = (&self.lung, &from.infection) else { return };
        let Some(region) = lesions::region(theirs, lung) else { return };
        for (onto, from) in self.images.iter_mut().zip(&from.images) {
            lesions::lay(from, onto, &region, size);
        }
        if let Some(mask) = &mut self.infection {
            mask.iter_mut().zip(&region).for_each(|(m, &r)| *m |= r);
        }
        self.infected = true;
    }
}
