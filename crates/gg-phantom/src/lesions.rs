//! Where infection lies: blobs strewn mostly under the pleura, low and at the back, as COVID-19 pneumonia prefers,
//! with ragged rims. The threshold of their field that gives the wanted share of the lung is found by counting.

use crate::anatomy::{Anatomy, Ellipsoid};
use crate::random::{Purpose, Random};
use crate::texture::Texture;

/// Range and resolution of the field in which the threshold is searched.
const FIELD: [f32; 2] = [-4.0, 3.0];
pub(crate) const BINS: usize = 1 << 16;

struct Lesion {
    shape: Ellipsoid,
    weight: f32,
    /// Field above the threshold from which on the lesion is consolidated; 0 at once, large: never.
    core: f32,
}

pub(crate) struct Lesions {
    list: Vec<Lesion>,
    /// How much of the field follows the pleura.
    rim: f32,
    opacity_hu: f32,
    solid_hu: f32,
}

/// Strength of infection at a point, and from what margin above the threshold it is consolidated.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) value: f32,
    pub(crate) core: f32,
}

impl Lesions {
    pub(crate) fn new(anatomy: &Anatomy, seed: u64, percent: f64, consolidation: f64) -> Self {
        const MOST: f32 = 26.0;
        let mut rng = Random::new(seed, Purpose::Lesions);
        let extent = (percent / 100.0) as f32;
        let few = 1.0 + rng.between(1.0, 5.0) + 30.0 * extent * rng.between(0.4, 1.0);
        let count = few.min(MOST) as usize;
        let one_sided = rng.chance(0.15).then(|| if rng.chance(0.5) { -1.0f32 } else { 1.0 });
        let central = rng.between(0.05, 0.35);
        let mean_radius = 12.0 + 60.0 * (extent / count as f32).cbrt();
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            let centre = place(anatomy, one_sided, central, &mut rng);
            let radius = mean_radius * rng.between(0.55, 1.25);
            let radii = [
                radius * rng.between(0.7, 1.2),
                radius * rng.between(0.6, 1.0),
                radius * rng.between(0.7, 1.3),
            ];
            let turn = rng.between(0.0, std::f32::consts::PI);
            let tilt = rng.between(-0.6, 0.6);
            let solid = f64::from(rng.unit()) < consolidation;
            let core = match (solid, consolidation) {
                (true, c) if c >= 1.0 => 0.0,
                (true, _) => rng.between(0.05, 0.30),
                (false, _) => 1e3,
            };
            list.push(Lesion {
                shape: Ellipsoid::new(centre, radii, turn, tilt),
                weight: rng.between(0.9, 1.15),
                core,
            });
        }
        Self {
            list,
            rim: rng.between(0.1, 0.5),
            opacity_hu: rng.between(-620.0, -480.0),
            solid_hu: rng.between(-30.0, 40.0),
        }
    }

    /// The field at a point of the lung whose surface is `depth` mm away.
    pub(crate) fn field(&self, p: [f32; 3], depth: f32, texture: &Texture) -> Field {
        /// Beyond this nothing is added: far from all lesions the field falls off steeply.
        const COARSE_MM: f32 = 17.0;
        const FINE_MM: f32 = 6.5;
        let mut best = Field { value: f32::MIN, core: 1e3 };
        for lesion in &self.list {
            let value = lesion.weight - lesion.shape.norm(p);
            if value > best.value {
                best = Field { value, core: lesion.core };
            }
        }
        best.value += self.rim * (-depth / 14.0).exp()
            + 0.22 * texture.at(p, COARSE_MM, 11)
            + 0.09 * texture.at(p, FINE_MM, 12);
        best
    }

    /// HU of aerated lung after infection, and how much of the vessels can still be seen.
    ///
    /// `over` is the field less the threshold.
    pub(crate) fn apply(
        &self,
        lung_hu: f32,
        vessel: f32,
        over: f32,
        core: f32,
        p: [f32; 3],
        texture: &Texture,
    ) -> (f32, f32) {
        use crate::texture::{lerp, smoothstep};
        const SOFT: f32 = 0.13;
        let glass = smoothstep(-SOFT, SOFT, over);
        if glass <= 0.0 {
            return (lung_hu, vessel);
        }
        let grain = 45.0 * texture.at(p, 5.0, 13) + 40.0 * texture.at(p, 14.0, 14);
        let mut hu = lerp(lung_hu, self.opacity_hu + grain, glass);
        let solid = smoothstep(core - 0.08, core + 0.10, over);
        let target = self.solid_hu + 18.0 * texture.at(p, 9.0, 15);
        hu = lerp(hu, target, solid);
        (hu, vessel * (1.0 - solid))
    }
}

/// A point in the lung, likelier low, at the back, and under the pleura.
fn place(anatomy: &Anatomy, side: Option<f32>, central: f32, rng: &mut Random) -> [f32; 3] {
    const TRIES: usize = 4000;
    let [a, b] = anatomy.cavity;
    let mut last = [0.5 * a, 0.3 * b, 0.0];
    for _ in 0..TRIES {
        let mut p = [rng.between(-a, a), rng.between(-b, 1.1 * b), anatomy.z(rng.unit())];
        if let Some(side) = side {
            p[0] = p[0].abs() * side;
        }
        let depth = -anatomy.lung_distance(p);
        let accept = rng.unit();
        if depth <= 0.0 {
            continue;
        }
        last = p;
        let under = central + (1.0 - central) * (-depth / 9.0).exp();
        let low = 1.0 - 0.65 * anatomy.t(p[2]);
        let back = 0.55 + 0.45 * (p[1] / b).clamp(-1.0, 1.0);
        if accept < under * low * back {
            break;
        }
    }
    last
}

/// Bin of a field value in the counting of [`threshold`].
pub(crate) fn bin(value: f32) -> usize {
    let f = (value - FIELD[0]) / (FIELD[1] - FIELD[0]) * BINS as f32;
    (f.max(0.0) as usize).min(BINS - 1)
}

/// The lowest bin such that the voxels in it and above number at most about `wanted`; no bin where `wanted` is 0.
pub(crate) fn threshold(counts: &[u64], wanted: u64) -> Option<usize> {
    let mut above = 0;
    for (i, &n) in counts.iter().enumerate().rev() {
        // stop where one more bin would lead further away than staying
        if above + n > wanted && above + n - wanted > wanted - above.min(wanted) {
            return (above > 0).then_some(i + 1);
        }
        above += n;
    }
    (above > 0).then_some(0)
}

/// Lower end of a bin.
pub(crate) fn bin_start(bin: usize) -> f32 {
    FIELD[0] + (FIELD[1] - FIELD[0]) * bin as f32 / BINS as f32
}
