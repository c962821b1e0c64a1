//! Tubes (capsules) drawn into a slice with partial volume: vessels, airways and bones.

/// A straight piece of tube between two points in patient mm `[x, y, z]`, with round ends.
#[derive(Clone, Copy)]
pub(crate) struct Tube {
    pub(crate) a: [f32; 3],
    pub(crate) b: [f32; 3],
    pub(crate) radius_a: f32,
    pub(crate) radius_b: f32,
}

/// The plane of one slice: position of pixel (0, 0), steps in mm, thickness.
#[derive(Clone, Copy)]
pub(crate) struct Plane {
    pub(crate) z: f32,
    pub(crate) thickness: f32,
    pub(crate) origin: [f32; 2],
    pub(crate) step: [f32; 2],
    pub(crate) size: [usize; 2],
}

impl Plane {
    /// Position of pixel `(x, y)`.
    pub(crate) fn position(&self, x: usize, y: usize) -> [f32; 3] {
        [self.origin[0] + self.step[0] * x as f32, self.origin[1] + self.step[1] * y as f32, self.z]
    }

    /// Width over which an edge is spread in the plane.
    pub(crate) fn edge(&self) -> f32 {
        0.5 * (self.step[0] + self.step[1])
    }
}

/// Writes into `out` the share of each voxel that lies in a tube whose radius is `factor * radius + extra`, keeping
/// the larger of what was there and what is new.
pub(crate) fn splat(tubes: &[Tube], plane: &Plane, factor: f32, extra: f32, out: &mut [f32]) {
    for tube in tubes {
        splat_one(tube, plane, factor, extra, out);
    }
}

fn splat_one(tube: &Tube, plane: &Plane, factor: f32, extra: f32, out: &mut [f32]) {
    let (ra, rb) = (tube.radius_a * factor + extra, tube.radius_b * factor + extra);
    let widest = ra.max(rb);
    let half = 0.5 * plane.thickness;
    let (low, high) = (tube.a[2].min(tube.b[2]), tube.a[2].max(tube.b[2]));
    if widest <= 0.0 || plane.z + half < low - widest || plane.z - half > high + widest {
        return;
    }
    // the part of the axis within the slab of the slice
    let dz = tube.b[2] - tube.a[2];
    let (mut t0, mut t1) = (0.0f32, 1.0f32);
    if dz.abs() > 1e-6 {
        let (u, v) = ((plane.z - half - tube.a[2]) / dz, (plane.z + half - tube.a[2]) / dz);
        (t0, t1) = (u.min(v).clamp(0.0, 1.0), u.max(v).clamp(0.0, 1.0));
    }
    let point = |t: f32| -> [f32; 3] { std::array::from_fn(|i| tube.a[i] + (tube.b[i] - tube.a[i]) * t) };
    let (p, q) = (point(t0), point(t1));
    let (rp, rq) = (ra + (rb - ra) * t0, ra + (rb - ra) * t1);
    let outside =
        (p[2].max(q[2]) - (plane.z - half)).min(0.0).abs() + (p[2].min(q[2]) - (plane.z + half)).max(0.0);
    let mean_radius = 0.5 * (rp + rq);
    let filled = (((p[2] - q[2]).abs() + 2.0 * (mean_radius - outside).max(0.0)) / plane.thickness).min(1.0);
    let edge = plane.edge();
    let reach = rp.max(rq) + edge;
    let bounds = |axis: usize| {
        let (low, high) = (p[axis].min(q[axis]) - reach, p[axis].max(q[axis]) + reach);
        let first = ((low - plane.origin[axis]) / plane.step[axis]).ceil().max(0.0) as usize;
        let last = ((high - plane.origin[axis]) / plane.step[axis]).floor();
        (first, if last < 0.0 { 0 } else { (last as usize + 1).min(plane.size[axis]) })
    };
    let ((x0, x1), (y0, y1)) = (bounds(0), bounds(1));
    let (dx, dy) = (q[0] - p[0], q[1] - p[1]);
    let length2 = dx * dx + dy * dy;
    for y in y0..y1 {
        for x in x0..x1 {
            let at = plane.position(x, y);
            let (ux, uy) = (at[0] - p[0], at[1] - p[1]);
            let t = if length2 > 1e-6 { ((ux * dx + uy * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
            let d = ((ux - t * dx).powi(2) + (uy - t * dy).powi(2) + outside * outside).sqrt();
            let r = rp + (rq - rp) * t;
            let share = ((r - d) / edge + 0.5).clamp(0.0, 1.0) * (2.0 * r / edge).min(1.0) * filled;
            let old = &mut out[y * plane.size[0] + x];
            *old = old.max(share);
        }
    }
}
