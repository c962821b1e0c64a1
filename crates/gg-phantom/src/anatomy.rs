//! The body as implicit surfaces: signed distances in mm (negative inside), good near the surface, from which both
//! the truth masks and the partial volume at edges follow.
//!
//! Patient mm, LPS: x to the left, y to the back, z to the head; the origin lies between the lungs at half their
//! height. `t` is the height within the lungs: 0 at the deepest recess, 1 at the apex.

use crate::random::{Purpose, Random};
use crate::texture::{lerp, smoothstep};

/// An ellipsoid turned about z and y.
pub(crate) struct Ellipsoid {
    pub(crate) centre: [f32; 3],
    pub(crate) radii: [f32; 3],
    rows: [[f32; 3]; 3],
}

impl Ellipsoid {
    /// `turn` about z (from x towards y), then `tilt` about y (from x towards z), in radians.
    pub(crate) fn new(centre: [f32; 3], radii: [f32; 3], turn: f32, tilt: f32) -> Self {
        let ((st, ct), (sp, cp)) = (turn.sin_cos(), tilt.sin_cos());
        let rows = [[ct * cp, st * cp, sp], [-st, ct, 0.0], [-ct * sp, -st * sp, cp]];
        Self { centre, radii, rows }
    }

    /// Distance from the centre, in radii.
    pub(crate) fn norm(&self, p: [f32; 3]) -> f32 {
        let d: [f32; 3] = std::array::from_fn(|i| p[i] - self.centre[i]);
        let q = |i: usize| {
            (self.rows[i][0] * d[0] + self.rows[i][1] * d[1] + self.rows[i][2] * d[2]) / self.radii[i]
        };
        let (a, b, c) = (q(0), q(1), q(2));
        (a * a + b * b + c * c).sqrt()
    }

    pub(crate) fn distance(&self, p: [f32; 3]) -> f32 {
        let k = self.norm(p).max(1e-3);
        let d: [f32; 3] = std::array::from_fn(|i| p[i] - self.centre[i]);
        (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt() * (1.0 - 1.0 / k)
    }
}

/// One patient's measures, mm where not said otherwise.
pub(crate) struct Anatomy {
    /// Half width and half depth of the thoracic cavity at its widest.
    pub(crate) cavity: [f32; 2],
    pub(crate) wall: f32,
    pub(crate) fat: f32,
    pub(crate) lung_height: f32,
    /// Half width, apex position and squareness of one lung.
    lung_half: f32,
    apex_x: f32,
    squareness: f32,
    taper: f32,
    /// Height `t` of the right and the left dome of the diaphragm.
    domes: [f32; 2],
    dome_drop: f32,
    pub(crate) heart: Ellipsoid,
    pub(crate) heart_top: Ellipsoid,
    pub(crate) liver_hu: f32,
    pub(crate) stomach: Ellipsoid,
    pub(crate) gas: Ellipsoid,
    pub(crate) spine_radius: f32,
    pub(crate) aorta_radius: f32,
    pub(crate) blood_hu: f32,
    pub(crate) parenchyma_hu: f32,
    pub(crate) carina_t: f32,
    lung_mid: f32,
}

impl Anatomy {
    pub(crate) fn new(patient: u64) -> Self {
        let mut rng = Random::new(patient, Purpose::Anatomy);
        let size = rng.between(0.88, 1.08);
        let cavity = [size * rng.between(124.0, 138.0), size * rng.between(84.0, 102.0)];
        let lung_height = size * rng.between(205.0, 245.0);
        let heart_size = size * rng.between(0.9, 1.18);
        let left = rng.between(18.0, 28.0);
        let z = |t: f32| (t - 0.5) * lung_height;
        let b = cavity[1];
        let heart = Ellipsoid::new(
            [left, -0.30 * b, z(rng.between(0.36, 0.41))],
            [heart_size * 62.0, heart_size * 45.0, heart_size * 44.0],
            -rng.between(0.35, 0.6),
            -rng.between(0.25, 0.5),
        );
        let heart_top = Ellipsoid::new(
            [left * 0.15, -0.16 * b, z(0.53)],
            [heart_size * 36.0, heart_size * 30.0, heart_size * 40.0],
            0.0,
            0.0,
        );
        let domes = [rng.between(0.24, 0.32), rng.between(0.19, 0.26)];
        let a = cavity[0];
        let under = z(domes[1]);
        let stomach = Ellipsoid::new([0.48 * a, -0.1 * b, under - 52.0], [48.0, 44.0, 40.0], 0.5, 0.0);
        let gas = Ellipsoid::new(
            [0.46 * a, -0.42 * b, under - 38.0],
            [rng.between(10.0, 26.0), rng.between(8.0, 16.0), 16.0],
            0.2,
            0.0,
        );
        Self {
            cavity,
            wall: size * rng.between(19.0, 26.0),
            fat: rng.between(6.0, 26.0),
            lung_height,
            lung_half: 0.5 * a - 1.0,
            apex_x: size * rng.between(40.0, 48.0),
            squareness: rng.between(0.45, 0.85),
            taper: rng.between(2.2, 3.2),
            domes,
            dome_drop: size * rng.between(46.0, 62.0),
            heart,
            heart_top,
            liver_hu: rng.between(48.0, 66.0),
            stomach,
            gas,
            spine_radius: size * rng.between(16.5, 19.0),
            aorta_radius: size * rng.between(11.5, 15.0),
            blood_hu: rng.between(36.0, 48.0),
            parenchyma_hu: rng.between(-885.0, -835.0),
            carina_t: rng.between(0.60, 0.65),
            lung_mid: size * rng.between(17.0, 21.0),
        }
    }

    pub(crate) fn t(&self, z: f32) -> f32 {
        z / self.lung_height + 0.5
    }

    pub(crate) fn z(&self, t: f32) -> f32 {
        (t - 0.5) * self.lung_height
    }

    /// Half width, half depth and centre y of the thoracic cavity at a height.
    pub(crate) fn cavity_at(&self, t: f32) -> [f32; 3] {
        let narrow = smoothstep(0.40, 1.18, t);
        let base = smoothstep(0.25, -0.35, t);
        [
            self.cavity[0] * (1.0 - 0.46 * narrow + 0.02 * base),
            self.cavity[1] * (1.0 - 0.40 * narrow),
            0.16 * self.cavity[1] * narrow,
        ]
    }

    /// Outside of the ribs' inner side.
    pub(crate) fn cavity_distance(&self, p: [f32; 3]) -> f32 {
        let [a, b, y0] = self.cavity_at(self.t(p[2]));
        oval(p[0], p[1] - y0, a, b, 0.35)
    }

    /// Outside of the skin.
    pub(crate) fn body_distance(&self, p: [f32; 3]) -> f32 {
        let t = self.t(p[2]);
        let up = smoothstep(0.55, 1.15, t);
        let a = self.cavity[0] * (1.0 - 0.10 * up) + self.wall + self.fat;
        let b = self.cavity[1] * (1.0 - 0.24 * up) + self.wall + self.fat * 0.8;
        // the groove over the spine, and a chest that is flatter than an oval
        let groove = 5.0 * (-(p[0] / 16.0).powi(2)).exp() * smoothstep(0.0, 1.0, p[1] / b);
        oval(p[0], p[1] - 0.05 * b, a, b, 0.55) + groove
    }

    /// Thickness of the fat under the skin, more at the front and the flanks low down.
    pub(crate) fn fat_at(&self, p: [f32; 3]) -> f32 {
        let front = smoothstep(0.0, 1.0, -p[1] / self.cavity[1]);
        let low = smoothstep(0.5, -0.1, self.t(p[2]));
        2.0 + self.fat * (0.62 + 0.28 * front + 0.2 * low)
    }

    pub(crate) fn spine_centre(&self, z: f32) -> [f32; 2] {
        let t = self.t(z);
        let [_, b, y0] = self.cavity_at(t);
        [0.0, y0 + b - self.spine_radius * 0.72]
    }

    /// Outside of the vertebral bodies.
    pub(crate) fn spine_distance(&self, p: [f32; 3]) -> f32 {
        let [x, y] = self.spine_centre(p[2]);
        oval(p[0] - x, p[1] - y, self.spine_radius * 1.1, self.spine_radius, 0.3)
    }

    /// Axis of the descending aorta, to the left of the spine and a little before it.
    pub(crate) fn aorta_centre(&self, z: f32) -> [f32; 2] {
        let [x, y] = self.spine_centre(z);
        let low = smoothstep(0.35, -0.1, self.t(z));
        [x + lerp(self.spine_radius + 7.0, 8.0, low), y - self.spine_radius * lerp(0.55, 1.35, low)]
    }

    pub(crate) fn aorta_distance(&self, p: [f32; 3]) -> f32 {
        let [x, y] = self.aorta_centre(p[2]);
        let top = p[2] - self.z(self.carina_t + 0.09);
        ((p[0] - x).hypot(p[1] - y) - self.aorta_radius).max(top)
    }

    /// Height of the diaphragm over a point.
    pub(crate) fn diaphragm_z(&self, x: f32, y: f32) -> f32 {
        let [a, b, _] = self.cavity_at(0.2);
        let side = f32::from(u8::from(x > 0.0));
        let cx = lerp(-0.48 * a, 0.5 * a, side);
        let top = lerp(self.domes[0], self.domes[1], smoothstep(-0.15 * a, 0.2 * a, x));
        let u = (x - cx) / (0.50 * a);
        let v = (y + 0.22 * b) / (0.80 * b);
        // towards the middle the dome stays high (the heart lies on it), to the flanks and the back it falls
        let flank = if u * (side - 0.5) > 0.0 { u * u } else { 0.15 * u * u };
        let back = if v > 0.0 { 0.42 * v * v } else { 0.45 * v * v };
        self.z(top) - self.dome_drop * (0.85 * flank + back)
    }

    /// Outside of the lung on the side of `p`; the lungs are what truth says they are: negative here.
    pub(crate) fn lung_distance(&self, p: [f32; 3]) -> f32 {
        const ROUND: f32 = 7.0;
        let t = self.t(p[2]);
        if !(-0.02..1.0).contains(&t) {
            return 1e3;
        }
        let [a, b, y0] = self.cavity_at(t);
        let side = if p[0] < 0.0 { -1.0 } else { 1.0 };
        let x = p[0] * side;
        // narrow towards the apex, which lies nearer to the middle
        let s = (1.0 - t.powf(self.taper)).max(0.0).powf(0.55);
        let half = (self.lung_half * s).max(0.5);
        let cx = lerp(self.apex_x, self.lung_half + 3.0, s);
        let deep = (b * 1.02 * s.powf(0.8)).max(0.5);
        let own = oval(x - cx, p[1] - y0 - 2.0, half, deep, self.squareness);
        let chest = oval(p[0], p[1] - y0, a - 3.0, b - 3.0, 0.35);
        let medial = self.mediastinum(t, (p[1] - y0) / b, side) - x;
        let heart = 3.0 - smooth_min(self.heart.distance(p), self.heart_top.distance(p), 14.0);
        let spine = 3.5 - self.spine_distance(p);
        let floor = (self.diaphragm_z(p[0], p[1]) - p[2]) * 0.75;
        let mut d = smooth_max(own, chest, ROUND);
        d = smooth_max(d, medial, ROUND);
        d = smooth_max(d, heart, ROUND);
        d = smooth_max(d, spine, ROUND);
        d = smooth_max(d, floor, 3.0);
        if side > 0.0 {
            d = smooth_max(d, 2.5 - self.aorta_distance(p), 4.0);
        }
        d
    }

    /// Half width of what lies between the lungs, by height, depth (-1 front, 1 back) and side.
    fn mediastinum(&self, t: f32, v: f32, side: f32) -> f32 {
        let middle = self.lung_mid;
        let front = smoothstep(-0.35, -0.75, v) * smoothstep(0.92, 0.75, t);
        let back = smoothstep(0.35, 0.75, v);
        let mut width = lerp(middle, 5.0, front);
        width = lerp(width, 9.0, back * smoothstep(0.95, 0.7, t));
        let hilum = (-((t - 0.53) / 0.09).powi(2) - ((v - 0.08) / 0.28).powi(2)).exp();
        let arch = (-((t - self.carina_t - 0.10) / 0.055).powi(2) - ((v - 0.05) / 0.45).powi(2)).exp();
        width += 13.0 * hilum + if side > 0.0 { 12.0 * arch } else { 2.0 * arch };
        width + 8.0 * smoothstep(0.82, 0.98, t)
    }

    /// Where vessels and bronchi enter the lung on a side (-1 right, 1 left).
    pub(crate) fn hilum(&self, side: f32) -> [f32; 3] {
        let [_, b, y0] = self.cavity_at(0.53);
        [side * (self.lung_mid + 6.0), y0 + 0.06 * b, self.z(if side < 0.0 { 0.52 } else { 0.55 })]
    }

    /// The windpipe at a height.
    pub(crate) fn trachea(&self, t: f32) -> [f32; 3] {
        let [_, b, y0] = self.cavity_at(t);
        [-2.0, y0 + lerp(0.18, 0.02, smoothstep(0.6, 1.2, t)) * b, self.z(t)]
    }
}

/// Distance along the ray from the centre to an oval with half axes `a`, `b`: an ellipse for `square` 0, a rounded
/// rectangle (fourth power) for 1.
pub(crate) fn oval(x: f32, y: f32, a: f32, b: f32, square: f32) -> f32 {
    let (u, v) = ((x / a) * (x / a), (y / b) * (y / b));
    let k = lerp((u + v).sqrt(), (u * u + v * v).sqrt().sqrt(), square).max(1e-3);
    (x * x + y * y).sqrt() * (1.0 - 1.0 / k)
}

fn smooth_max(a: f32, b: f32, width: f32) -> f32 {
    let h = (width - (a - b).abs()).max(0.0) / width;
    a.max(b) + h * h * width * 0.25
}

pub(crate) fn smooth_min(a: f32, b: f32, width: f32) -> f32 {
    -smooth_max(-a, -b, width)
}
