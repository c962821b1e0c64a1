//! Folds of patients, both classes spread evenly.

use crate::bootstrap::below;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;

/// Deals patients into folds: those with the outcome first, each class in an order drawn by the seed.
pub(super) fn deal<'a>(
    positive_of: &BTreeMap<&'a str, bool>,
    folds: usize,
    seed: u64,
) -> BTreeMap<&'a str, usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dealt = BTreeMap::new();
    for class in [true, false] {
        let mut of_class: Vec<&str> =
            positive_of.iter().filter(|(_, p)| **p == class).map(|(name, _)| *name).collect();
        for i in (1..of_class.len()).rev() {
            of_class.swap(i, below(&mut rng, i + 1));
        }
        for patient in of_class {
            let next = dealt.len() % folds;
            dealt.insert(patient, next);
        }
    }
    dealt
}
