//! Branching trees of vessels and airways: a stem that splits towards points strewn over the lung, thinner at each
//! fork (Murray's law, exponent 2.7 for the lung's arteries).

use crate::anatomy::Anatomy;
use crate::random::{Purpose, Random};
use crate::tubes::Tube;

const MURRAY: f32 = 2.7;

/// Everything in the chest that is drawn as tubes filled with blood or air.
pub(crate) struct Trees {
    pub(crate) vessels: Vec<Tube>,
    /// Lumen of bronchi within the lungs; the wall is drawn around it.
    pub(crate) bronchi: Vec<Tube>,
    /// Windpipe and main bronchi.
    pub(crate) trachea: Vec<Tube>,
    /// Aortic arch, ascending aorta, pulmonary trunk, vena cava, and branches to the head.
    pub(crate) great: Vec<Tube>,
}

pub(crate) fn trees(anatomy: &Anatomy, patient: u64) -> Trees {
    const ARTERY_TIPS: usize = 260;
    const VEIN_TIPS: usize = 200;
    const AIRWAY_TIPS: usize = 36;
    let mut rng = Random::new(patient, Purpose::Tree);
    let (mut vessels, mut bronchi) = (Vec::new(), Vec::new());
    let trachea_radius = rng.between(7.5, 9.5);
    for side in [-1.0f32, 1.0] {
        let hilum = anatomy.hilum(side);
        let artery = rng.between(6.0, 7.5);
        let vein = rng.between(5.0, 6.5);
        let tips = strew(anatomy, side, ARTERY_TIPS, 2.5, &mut rng);
        grow(hilum, tips, artery, 0.45, &mut rng, &mut vessels);
        let tips = strew(anatomy, side, VEIN_TIPS, 2.5, &mut rng);
        let low = [hilum[0] + side * 2.0, hilum[1] - 14.0, hilum[2] - 20.0];
        grow(low, tips, vein, 0.45, &mut rng, &mut vessels);
        let tips = strew(anatomy, side, AIRWAY_TIPS, 16.0, &mut rng);
        let behind = [hilum[0], hilum[1] + 8.0, hilum[2]];
        grow(behind, tips, 4.6, 0.6, &mut rng, &mut bronchi);
    }
    Trees { vessels, bronchi, trachea: trachea(anatomy, trachea_radius), great: great(anatomy) }
}

fn trachea(anatomy: &Anatomy, radius: f32) -> Vec<Tube> {
    let carina = anatomy.trachea(anatomy.carina_t);
    let mut tubes = vec![even(anatomy.trachea(1.4), anatomy.trachea(0.9), radius)];
    tubes.push(even(anatomy.trachea(0.9), carina, radius));
    for side in [-1.0f32, 1.0] {
        let hilum = anatomy.hilum(side);
        let end = [hilum[0], hilum[1] + 8.0, hilum[2]];
        tubes.push(Tube { a: carina, b: end, radius_a: radius * 0.78, radius_b: radius * 0.6 });
    }
    tubes
}

fn great(anatomy: &Anatomy) -> Vec<Tube> {
    let r = anatomy.aorta_radius;
    let top = anatomy.carina_t + 0.10;
    let mut tubes = Vec::new();
    // ascending aorta, arch from front right to back left
    let b = anatomy.cavity[1];
    let start = [-8.0, -0.30 * b, anatomy.z(0.48)];
    let rise = [-12.0, -0.30 * b, anatomy.z(top - 0.03)];
    tubes.push(even(start, rise, r * 1.12));
    let [x, y] = anatomy.aorta_centre(anatomy.z(top));
    let mut last = rise;
    for i in 1..=6 {
        let f = i as f32 / 6.0;
        let up = (f * std::f32::consts::PI).sin() * 12.0;
        let next = [rise[0] + (x - rise[0]) * f, rise[1] + (y - rise[1]) * f, anatomy.z(top - 0.03) + up];
        tubes.push(even(last, next, r));
        last = next;
    }
    // three branches to head and arms, the vena cava, the pulmonary trunk and its two arteries
    for (from, to) in [(0.25, -14.0f32), (0.55, 2.0), (0.85, 20.0)] {
        let p = [rise[0] + (x - rise[0]) * from, rise[1] + (y - rise[1]) * from, anatomy.z(top)];
        tubes.push(even(p, [to, -0.05 * b, anatomy.z(1.15)], 4.5));
    }
    tubes.push(even([-26.0, -0.10 * b, anatomy.z(0.45)], [-20.0, -0.12 * b, anatomy.z(1.0)], 9.0));
    let trunk = [12.0, -0.28 * b, anatomy.z(0.56)];
    tubes.push(even([14.0, -0.38 * b, anatomy.z(0.47)], trunk, 12.5));
    for side in [-1.0f32, 1.0] {
        tubes.push(Tube { a: trunk, b: anatomy.hilum(side), radius_a: 11.0, radius_b: 7.5 });
    }
    // the gullet behind the windpipe
    let behind = |t: f32| {
        let [x, y] = anatomy.spine_centre(anatomy.z(t));
        [x + 4.0, y - anatomy.spine_radius - 6.0, anatomy.z(t)]
    };
    tubes.push(even(behind(0.1), behind(1.2), 6.0));
    tubes
}

fn even(a: [f32; 3], b: [f32; 3], radius: f32) -> Tube {
    Tube { a, b, radius_a: radius, radius_b: radius }
}

/// Points in one lung at least `depth` under its surface, evenly by rejection.
fn strew(anatomy: &Anatomy, side: f32, count: usize, depth: f32, rng: &mut Random) -> Vec<[f32; 3]> {
    /// Far more than needed: a lung fills about a quarter of its box.
    const TRIES: usize = 60;
    let [a, b] = anatomy.cavity;
    let mut points = Vec::with_capacity(count);
    for _ in 0..count * TRIES {
        let p = [side * rng.between(0.0, a), rng.between(-b, b * 1.1), anatomy.z(rng.unit())];
        if anatomy.lung_distance(p) < -depth {
            points.push(p);
            if points.len() == count {
                break;
            }
        }
    }
    points
}

/// Grows a tree from `from` to all `tips`; `thinnest` ends it.
fn grow(
    from: [f32; 3],
    tips: Vec<[f32; 3]>,
    radius: f32,
    thinnest: f32,
    rng: &mut Random,
    out: &mut Vec<Tube>,
) {
    if tips.is_empty() {
        return;
    }
    let all = tips.len() as f32;
    let mut open = vec![(from, tips)];
    while let Some((from, mut tips)) = open.pop() {
        let width = |n: usize| (radius * (n as f32 / all).powf(1.0 / MURRAY)).max(thinnest);
        if let [tip] = tips[..] {
            let mid: [f32; 3] = std::array::from_fn(|i| {
                0.5 * (from[i] + tip[i]) + rng.normal() * 0.06 * (tip[i] - from[i]).abs()
            });
            out.push(Tube { a: from, b: mid, radius_a: width(1), radius_b: width(1) * 0.85 });
            out.push(Tube { a: mid, b: tip, radius_a: width(1) * 0.85, radius_b: thinnest * 0.7 });
            continue;
        }
        let n = tips.len();
        let centre: [f32; 3] = std::array::from_fn(|i| tips.iter().map(|p| p[i]).sum::<f32>() / n as f32);
        let share = rng.between(0.28, 0.45);
        let fork: [f32; 3] = std::array::from_fn(|i| {
            let d = centre[i] - from[i];
            from[i] + d * share + rng.normal() * 1.2
        });
        out.push(Tube { a: from, b: fork, radius_a: width(n), radius_b: width(n) * 0.93 });
        // split along the direction in which the tips spread most
        let spread: [f32; 3] = std::array::from_fn(|i| tips.iter().map(|p| (p[i] - centre[i]).powi(2)).sum());
        let axis = if spread[0] >= spread[1] && spread[0] >= spread[2] {
            0
        } else if spread[1] >= spread[2] {
            1
        } else {
            2
        };
        tips.sort_by(|p, q| p[axis].total_cmp(&q[axis]));
        let cut = ((n as f32 * rng.between(0.35, 0.65)) as usize).clamp(1, n - 1);
        let rest = tips.split_off(cut);
        open.push((fork, tips));
        open.push((fork, rest));
    }
}
