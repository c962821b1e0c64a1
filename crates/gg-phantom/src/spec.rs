//! What a phantom shall be, and cohorts of such wishes.

use crate::random::{Purpose, Random};
use serde::{Deserialize, Serialize};

/// Field of view that holds the largest patient, along z and in the axial plane.
const FIELD_MM: [f64; 2] = [300.0, 420.0];

/// One scan to be made. Two specs of one `patient` show the same body at another time.
///
/// # Units
/// `spacing_mm` in mm between voxel centres `[z, y, x]`, `noise_hu` in HU, `motion_mm` in mm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomSpec {
    /// Seed of this scan: lesions, noise.
    pub seed: u64,
    /// Seed of the body: size, shape of the lungs, heart, vessels. Also names the patient in a cohort.
    pub patient: u64,
    /// `[z, y, x]`.
    pub shape: [usize; 3],
    /// Distance between voxel centres, `[z, y, x]`.
    pub spacing_mm: [f64; 3],
    /// Infection in percent of the lungs' volume, 0 (none) to 80; met to the nearest few voxels.
    pub percent_of_lung: f64,
    /// Share of consolidation among the lesions: 0 ground-glass only, 1 consolidation only, between: mixed.
    pub consolidation: f64,
    /// Standard deviation of the scanner's noise at the centre of the body.
    pub noise_hu: f64,
    /// Opacity of the lowest parts of the lungs while lying on the back, 0 to 1; it is no infection.
    pub dependent_opacity: f64,
    /// Displacement by the heart's and the diaphragm's motion; 0 for none.
    pub motion_mm: f64,
}

impl PhantomSpec {
    /// A spec with everything but seed, shape and extent at its usual value; the thorax fills the field of view.
    pub fn new(seed: u64, shape: [usize; 3], percent_of_lung: f64) -> Self {
        Self {
            seed,
            patient: seed,
            shape,
            spacing_mm: fit_spacing(shape),
            percent_of_lung,
            consolidation: 0.25,
            noise_hu: 15.0,
            dependent_opacity: 0.0,
            motion_mm: 0.0,
        }
    }

    /// Whether there is any infection to draw.
    pub fn infected(&self) -> bool {
        self.percent_of_lung > 0.0
    }
}

/// The spacing `[z, y, x]` in mm at which a grid of this shape holds the whole thorax.
fn fit_spacing(shape: [usize; 3]) -> [f64; 3] {
    let steps = |n: usize| n.max(1) as f64;
    // two decimals, as scanners state it
    let plane = (FIELD_MM[1] / steps(shape[1].min(shape[2])) * 100.0).round() / 100.0;
    let z = (FIELD_MM[0] / steps(shape[0]) * 100.0).round() / 100.0;
    [z, plane, plane]
}

/// A mix of patients: about two thirds of the scans show infection of 1 to 60 % (most below 25 %), one patient in
/// four is scanned twice, some scans have dependent opacity or motion. Both classes occur from two patients on.
pub fn cohort(seed: u64, count: usize, shape: [usize; 3]) -> Vec<PhantomSpec> {
    const TWICE: f32 = 0.25;
    let mut rng = Random::new(seed, Purpose::Cohort);
    let mut specs: Vec<PhantomSpec> = Vec::with_capacity(count);
    let mut patients = 0usize;
    while specs.len() < count {
        let infected = patients % 3 != 1; // fixed, so that both classes occur in small cohorts
        patients += 1;
        let patient = rng.next_u64() >> 16;
        let scans = if rng.chance(TWICE) { 2 } else { 1 };
        for _ in 0..scans.min(count - specs.len()) {
            specs.push(draw(&mut rng, patient, infected, shape));
        }
    }
    specs
}

fn draw(rng: &mut Random, patient: u64, infected: bool, shape: [usize; 3]) -> PhantomSpec {
    const MOST: f32 = 60.0;
    const MOST_SOLID: f32 = 15.0;
    let seed = rng.next_u64() >> 16;
    let extent = rng.unit();
    let kind = rng.unit();
    let consolidation = match kind {
        k if k < 0.35 => 0.0,
        k if k < 0.45 => 1.0,
        _ => rng.between(0.1, 0.6),
    };
    let noise_hu = rng.between(8.0, 35.0);
    let dependent = if rng.chance(0.3) { rng.between(0.3, 1.0) } else { 0.0 };
    let motion = if rng.chance(0.15) { rng.between(1.5, 5.0) } else { 0.0 };
    // lungs that are consolidated throughout have no visible edge left: no fair task
    let most = if consolidation >= 1.0 { MOST_SOLID } else { MOST };
    let percent = if infected { 1.0 + (most - 1.0) * extent * extent } else { 0.0 };
    PhantomSpec {
        patient,
        percent_of_lung: f64::from(percent),
        consolidation: f64::from(consolidation),
        noise_hu: f64::from(noise_hu),
        dependent_opacity: f64::from(dependent),
        motion_mm: f64::from(motion),
        ..PhantomSpec::new(seed, shape, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_has_both_classes_and_patients_with_two_scans() {
        let specs = cohort(1, 24, [32, 96, 96]);
        assert_eq!(specs.len(), 24);
        let infected = specs.iter().filter(|s| s.infected()).count();
        assert!((10..22).contains(&infected), "{infected}");
        let mut patients: Vec<u64> = specs.iter().map(|s| s.patient).collect();
        patients.dedup();
        assert!(patients.len() < 24 && patients.len() > 12, "{}", patients.len());
        assert!(specs.iter().all(|s| s.percent_of_lung <= 60.0));
    }

    #[test]
    fn a_longer_cohort_begins_with_the_shorter_one() {
        assert_eq!(cohort(3, 4, [8, 8, 8])[..3], cohort(3, 9, [8, 8, 8])[..3]);
    }

    #[test]
    fn the_field_of_view_holds_the_thorax() {
        assert_eq!(fit_spacing([30, 100, 100]), [10.0, 4.2, 4.2]);
    }
}
