//! Ribs, breastbone, shoulder blades, collar bones and the spine's processes, as tubes.

use crate::anatomy::Anatomy;
use crate::tubes::Tube;

pub(crate) struct Skeleton {
    /// Drawn with a hard rim and marrow within.
    pub(crate) bones: Vec<Tube>,
    /// Ends of the ribs at the front.
    pub(crate) cartilage: Vec<Tube>,
}

/// Height between two ribs as a share of the lungs' height, and of the first rib's head.
const RIB_STEP: f32 = 0.115;
const FIRST_RIB: f32 = 1.03;

pub(crate) fn skeleton(anatomy: &Anatomy) -> Skeleton {
    let mut bones = Vec::new();
    let mut cartilage = Vec::new();
    for side in [-1.0f32, 1.0] {
        for rib in 0..12 {
            add_rib(anatomy, side, rib, &mut bones, &mut cartilage);
        }
        add_shoulder(anatomy, side, &mut bones);
    }
    add_midline(anatomy, &mut bones);
    Skeleton { bones, cartilage }
}

/// A rib runs along the cavity from the spine outwards and down to the front.
fn add_rib(anatomy: &Anatomy, side: f32, rib: usize, bones: &mut Vec<Tube>, cartilage: &mut Vec<Tube>) {
    const PIECES: usize = 26;
    /// Share of the way at which bone becomes cartilage; the last two ribs end early.
    const BONE: f32 = 0.84;
    let head = FIRST_RIB - RIB_STEP * rib as f32;
    let drop = 0.10 + 0.035 * rib.min(6) as f32;
    let end = match rib {
        0..7 => 1.0,
        7..10 => 0.93,
        _ => 0.5,
    };
    let radius = if rib == 0 { 4.0 } else { 4.6 };
    let point = |f: f32| -> [f32; 3] {
        let t = head - drop * (f * f * (3.0 - 2.0 * f));
        let [a, b, y0] = anatomy.cavity_at(t);
        // from beside the spine (0.16 pi off the back) to beside the breastbone
        let angle = std::f32::consts::PI * (0.10 + 0.82 * f);
        let (sin, cos) = angle.sin_cos();
        let (u, v) = (sin, cos);
        let k = (u * u + v * v).sqrt() * 0.65 + 0.35 * (u.powi(4) + v.powi(4)).sqrt().sqrt();
        [side * (a + 6.5) * u / k, y0 + (b + 6.5) * v / k, anatomy.z(t)]
    };
    let mut last = point(0.0);
    for i in 1..=PIECES {
        let f = i as f32 / PIECES as f32;
        if f > end {
            break;
        }
        let next = point(f);
        let tube = Tube { a: last, b: next, radius_a: radius, radius_b: radius };
        if f <= BONE {
            bones.push(tube)
        } else {
            cartilage.push(tube)
        }
        last = next;
    }
}

fn add_shoulder(anatomy: &Anatomy, side: f32, bones: &mut Vec<Tube>) {
    // the blade: a thin plate outside the ribs at the back, as a fan of tubes
    let plate = |t: f32, angle: f32| -> [f32; 3] {
        let [a, b, y0] = anatomy.cavity_at(t);
        let (sin, cos) = (std::f32::consts::PI * angle).sin_cos();
        [side * (a + 19.0) * sin * 1.08, y0 + (b + 19.0) * cos * 1.05, anatomy.z(t)]
    };
    for i in 0..12 {
        let t = 0.66 + 0.032 * i as f32;
        let wide = 0.05 + 0.012 * i as f32;
        let (inner, outer) = (plate(t, 0.28), plate(t, 0.28 + wide));
        bones.push(Tube { a: inner, b: outer, radius_a: 2.0, radius_b: 2.8 });
    }
    // head of the arm bone (arms raised) and collar bone
    let [a, _, y0] = anatomy.cavity_at(1.0);
    let joint = [side * (a + 46.0), y0 + 10.0, anatomy.z(1.10)];
    bones.push(Tube {
        a: joint,
        b: [joint[0] + side * 6.0, joint[1], joint[2] + 60.0],
        radius_a: 20.0,
        radius_b: 13.0,
    });
    let [_, b, y0] = anatomy.cavity_at(0.95);
    let inner = [side * 18.0, y0 - b - 4.0, anatomy.z(0.93)];
    bones.push(Tube {
        a: inner,
        b: [side * (a + 24.0), y0 - 8.0, anatomy.z(1.08)],
        radius_a: 6.0,
        radius_b: 5.0,
    });
}

/// Breastbone in front, arches and thorny processes behind the spine.
fn add_midline(anatomy: &Anatomy, bones: &mut Vec<Tube>) {
    const STEPS: usize = 14;
    let front = |t: f32, x: f32| -> [f32; 3] {
        let [_, b, y0] = anatomy.cavity_at(t);
        [x, y0 - b - 7.0, anatomy.z(t)]
    };
    for i in 0..STEPS {
        let (t, u) = (0.34 + 0.6 * i as f32 / STEPS as f32, 0.34 + 0.6 * (i + 1) as f32 / STEPS as f32);
        let half = if t > 0.82 { 17.0 } else { 11.0 };
        for k in 0..5 {
            let x = half * (k as f32 / 2.0 - 1.0);
            bones.push(Tube { a: front(t, x), b: front(u, x), radius_a: 5.5, radius_b: 5.5 });
        }
    }
    for rib in -1..14 {
        let t = FIRST_RIB - RIB_STEP * rib as f32;
        let z = anatomy.z(t);
        let [x, y] = anatomy.spine_centre(z);
        let r = anatomy.spine_radius;
        let tip = [x, y + r + 36.0, z - 16.0];
        bones.push(Tube { a: [x, y + r + 17.0, z], b: tip, radius_a: 3.6, radius_b: 2.8 });
        for side in [-1.0f32, 1.0] {
            let wing = [x + side * (r + 14.0), y + r + 9.0, z];
            let root = [x + side * (r - 4.0), y + r * 0.7, z];
            bones.push(Tube { a: root, b: [x + side * 12.0, y + r + 10.0, z], radius_a: 3.8, radius_b: 3.6 });
            bones.push(Tube { a: [x + side * 12.0, y + r + 10.0, z], b: wing, radius_a: 3.6, radius_b: 3.4 });
            bones.push(Tube {
                a: [x + side * 12.0, y + r + 10.0, z],
                b: [x, y + r + 18.0, z],
                radius_a: 3.2,
                radius_b: 3.4,
            });
        }
    }
}
