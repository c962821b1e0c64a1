//! From spec to voxels: truth first (which voxel centre lies in which organ), then HU with partial volume, blur,
//! motion and noise. Slices are independent, so threads change nothing.

use crate::anatomy::{Anatomy, smooth_min};
use crate::lesions::{BINS, Lesions, bin, bin_start, threshold};
use crate::skeleton::{Skeleton, skeleton};
use crate::spec::PhantomSpec;
use crate::texture::{Texture, blur_plane, lerp, scanner_noise, smoothstep};
use crate::tree::{Trees, trees};
use crate::tubes::{Plane, splat};
use gg_volume::{
    Affine, CtVolume, Grid, Intensity, IntensityKind, LUNG_LEFT, LUNG_RIGHT, LabelVolume, SpacingTrust,
    Volume,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A synthetic scan with its truth, all on one grid (LPS, trusted spacing).
#[derive(Debug, Clone, PartialEq)]
pub struct Phantom {
    /// Whole Hounsfield units from -1024 to 3071.
    pub ct: CtVolume,
    /// 1 right lung, 2 left lung; vessels, airways and infection within the lung belong to it.
    pub lung: LabelVolume,
    /// 1 infection; never outside `lung`.
    pub infection: LabelVolume,
    /// What is known of the two masks.
    pub truth: PhantomTruth,
}

/// Counts of a phantom's truth masks. A voxel counts whole where its centre lies within.
///
/// # Units
/// `_ml` in millilitres; right, left and both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PhantomTruth {
    /// Volume of one voxel.
    pub voxel_ml: f64,
    /// Voxels of the right and the left lung.
    pub lung_voxels: [u64; 2],
    /// Voxels of infection in the right and the left lung.
    pub infection_voxels: [u64; 2],
    /// Both lungs.
    pub lung_ml: f64,
    /// All infection.
    pub infection_ml: f64,
    /// Infection in percent of both lungs; 0 where the grid shows no lung.
    pub percent_of_lung: f64,
}

/// Everything that is known before a voxel is drawn.
struct Scene {
    anatomy: Anatomy,
    trees: Trees,
    skeleton: Skeleton,
    lesions: Lesions,
    texture: Texture,
    /// Field value from which on a voxel is infected; none: no infection.
    threshold: Option<f32>,
    dependent: f32,
}

/// Makes one scan. Shapes with a zero give an empty volume.
pub fn phantom(spec: &PhantomSpec) -> Phantom {
    let shape = spec.shape;
    let anatomy = Anatomy::new(spec.patient);
    let lesions = Lesions::new(&anatomy, spec.seed, spec.percent_of_lung, spec.consolidation);
    let mut scene = Scene {
        trees: trees(&anatomy, spec.patient),
        skeleton: skeleton(&anatomy),
        lesions,
        texture: Texture::new(spec.seed),
        threshold: None,
        dependent: spec.dependent_opacity as f32,
        anatomy,
    };
    let mut values = Volume::filled(shape, 0.0f32);
    let mut lung = Volume::filled(shape, 0u8);
    let mut infection = Volume::filled(shape, 0u8);
    let area = shape[1] * shape[2];
    if area > 0 && shape[0] > 0 {
        find_lungs(spec, &mut scene, &mut values, &mut lung);
        values
            .data_mut()
            .par_chunks_mut(area)
            .zip(lung.data().par_chunks(area))
            .zip(infection.data_mut().par_chunks_mut(area))
            .enumerate()
            .for_each(|(z, ((hu, lung), infection))| {
                draw_slice(&scene, &plane(spec, z), hu, lung, infection)
            });
        values = finish(spec, &scene.anatomy, values);
    }
    let truth = count(spec, &lung, &infection);
    let intensity = Intensity {
        kind: IntensityKind::Hu,
        confidence: 1.0,
        reasons: vec!["made in Hounsfield units".to_owned()],
    };
    Phantom { ct: CtVolume { voxels: values, grid: grid(spec), intensity }, lung, infection, truth }
}

/// Labels the lungs, leaves the field of infection in `values`, and finds its threshold.
fn find_lungs(spec: &PhantomSpec, scene: &mut Scene, values: &mut Volume<f32>, lung: &mut LabelVolume) {
    let area = spec.shape[1] * spec.shape[2];
    let infected = spec.infected();
    values.data_mut().par_chunks_mut(area).zip(lung.data_mut().par_chunks_mut(area)).enumerate().for_each(
        |(z, (field, lung))| {
            let plane = plane(spec, z);
            for y in 0..plane.size[1] {
                for x in 0..plane.size[0] {
                    let p = plane.position(x, y);
                    let d = scene.anatomy.lung_distance(p);
                    if d < 0.0 {
                        let i = y * plane.size[0] + x;
                        lung[i] = if p[0] < 0.0 { LUNG_RIGHT } else { LUNG_LEFT };
                        if infected {
                            field[i] = scene.lesions.field(p, -d, &scene.texture).value;
                        }
                    }
                }
            }
        },
    );
    if !infected {
        return;
    }
    let mut counts = vec![0u64; BINS];
    let mut voxels = 0u64;
    for (&v, _) in values.data().iter().zip(lung.data()).filter(|(_, l)| **l != 0) {
        counts[bin(v)] += 1;
        voxels += 1;
    }
    let wanted = (voxels as f64 * spec.percent_of_lung / 100.0).round() as u64;
    scene.threshold = threshold(&counts, wanted).map(bin_start);
}

const AIR_HU: f32 = -1000.0;
const FAT_HU: f32 = -105.0;
const MUSCLE_HU: f32 = 52.0;

fn draw_slice(scene: &Scene, plane: &Plane, hu: &mut [f32], lung: &[u8], infection: &mut [u8]) {
    let area = hu.len();
    let layer = |tubes: &[crate::tubes::Tube], factor: f32, extra: f32| {
        let mut out = vec![0.0; area];
        splat(tubes, plane, factor, extra, &mut out);
        out
    };
    let vessels = layer(&scene.trees.vessels, 1.0, 0.0);
    let bronchus = layer(&scene.trees.bronchi, 1.0, 0.0);
    let bronchus_wall = layer(&scene.trees.bronchi, 1.18, 0.5);
    let trachea = layer(&scene.trees.trachea, 1.0, 0.0);
    let trachea_wall = layer(&scene.trees.trachea, 1.0, 1.6);
    let great = layer(&scene.trees.great, 1.0, 0.0);
    let bone = layer(&scene.skeleton.bones, 1.0, 0.0);
    let marrow = layer(&scene.skeleton.bones, 0.62, 0.0);
    let cartilage = layer(&scene.skeleton.cartilage, 1.0, 0.0);
    let (a, texture) = (&scene.anatomy, &scene.texture);
    let edge = plane.edge();
    let inside = |d: f32| (0.5 - d / edge).clamp(0.0, 1.0);
    for y in 0..plane.size[1] {
        for x in 0..plane.size[0] {
            let i = y * plane.size[0] + x;
            let p = plane.position(x, y);
            let body = a.body_distance(p);
            if body > edge {
                hu[i] = table(a, p, edge);
                continue;
            }
            let cavity = a.cavity_distance(p);
            let mut v = wall(a, texture, p, body, edge);
            v = lerp(v, interior(scene, p, great[i].max(vessels[i]), edge), inside(cavity));
            v = lerp(v, spine(a, texture, p, edge), inside(a.spine_distance(p)).max(canal_cover(a, p, edge)));
            v = lerp(v, 110.0, cartilage[i]);
            v = lerp(v, lerp(620.0, 190.0 + 25.0 * texture.at(p, 4.0, 5), marrow[i]), bone[i]);
            v = lerp(v, 25.0, trachea_wall[i]);
            v = lerp(v, -990.0, trachea[i]);
            let lung_d = if lung[i] != 0 || cavity < edge { a.lung_distance(p) } else { edge };
            if lung_d < 0.5 * edge {
                let over = scene.threshold.map(|t| {
                    let field = scene.lesions.field(p, (-lung_d).max(0.0), texture);
                    (field.value - t, field.core)
                });
                if lung[i] != 0 && over.is_some_and(|(over, _)| over >= 0.0) {
                    infection[i] = 1;
                }
                let tubes = [vessels[i], bronchus[i], bronchus_wall[i]];
                v = lerp(v, parenchyma(scene, p, lung_d, tubes, over), inside(lung_d));
            }
            hu[i] = lerp(table(a, p, edge), v, inside(body));
        }
    }
}

/// Skin, fat and muscle of the chest wall.
fn wall(a: &Anatomy, texture: &Texture, p: [f32; 3], body: f32, edge: f32) -> f32 {
    const SKIN_MM: f32 = 2.0;
    let fat = FAT_HU + 7.0 * texture.at(p, 11.0, 1);
    let deep = body + a.fat_at(p);
    // streaks of fat between the muscles
    let streak = smoothstep(1.1, 1.9, texture.at([p[0], p[1], p[2] * 0.3], 15.0, 2));
    let muscle = lerp(MUSCLE_HU + 6.0 * texture.at(p, 9.0, 3), -60.0, 0.7 * streak);
    let inner = lerp(fat, muscle, (0.5 - deep / edge).clamp(0.0, 1.0));
    lerp(inner, 20.0, (0.5 + (body + SKIN_MM) / edge).clamp(0.0, 1.0))
}

/// What lies in the chest beside lungs, spine and airways, and what lies under the diaphragm.
fn interior(scene: &Scene, p: [f32; 3], vessels: f32, edge: f32) -> f32 {
    let (a, texture) = (&scene.anatomy, &scene.texture);
    let inside = |d: f32| (0.5 - d / edge).clamp(0.0, 1.0);
    let tissue = smoothstep(0.1, 1.2, texture.at(p, 8.0, 4));
    let mut v = lerp(-92.0, 20.0, tissue);
    v = lerp(v, a.blood_hu, vessels);
    let heart = smooth_min(a.heart.distance(p), a.heart_top.distance(p), 14.0);
    v = lerp(
        v,
        a.blood_hu - 2.0 + 4.0 * texture.at(p, 16.0, 6),
        inside(heart + 3.0 + 1.5 * texture.at(p, 20.0, 7)),
    );
    v = lerp(v, a.blood_hu, inside(a.aorta_distance(p)));
    let under = p[2] - a.diaphragm_z(p[0], p[1]);
    let below = inside(under.max(4.0 - heart));
    if below > 0.0 {
        v = lerp(v, abdomen(a, texture, p, edge), below);
    }
    v
}

fn abdomen(a: &Anatomy, texture: &Texture, p: [f32; 3], edge: f32) -> f32 {
    let inside = |d: f32| (0.5 - d / edge).clamp(0.0, 1.0);
    let side = smoothstep(18.0, 34.0, p[0] - 0.15 * p[1]);
    let liver = a.liver_hu + 5.0 * texture.at(p, 12.0, 8);
    let spleen = 46.0 + 5.0 * texture.at(p, 12.0, 9);
    let fat = -98.0;
    let behind = smoothstep(0.05, 0.25, p[1] / a.cavity[1]);
    let mut v = lerp(liver, lerp(fat, spleen, behind), side);
    let stomach = inside(a.stomach.distance(p));
    v = lerp(v, 28.0 + 10.0 * texture.at(p, 7.0, 10), stomach);
    v = lerp(v, -960.0, inside(a.gas.distance(p)) * stomach);
    lerp(v, a.blood_hu, inside(a.aorta_distance(p)))
}

/// Vertebrae with a hard rim, and the discs between them.
fn spine(a: &Anatomy, texture: &Texture, p: [f32; 3], edge: f32) -> f32 {
    const VERTEBRA_MM: f32 = 25.0;
    let d = a.spine_distance(p);
    let phase = (p[2] / VERTEBRA_MM).rem_euclid(1.0);
    let disc = smoothstep(0.10, 0.04, (phase - 0.5).abs());
    let rim = smoothstep(-3.5, -0.5, d);
    let body = lerp(165.0 + 30.0 * texture.at(p, 4.0, 16), 420.0, rim);
    let v = lerp(body, 85.0, disc);
    let cover = canal_cover(a, p, edge);
    lerp(v, 32.0, cover)
}

/// The canal of the spinal cord.
fn canal_cover(a: &Anatomy, p: [f32; 3], edge: f32) -> f32 {
    const RADIUS: f32 = 8.5;
    let [x, y] = a.spine_centre(p[2]);
    let d = (p[0] - x).hypot(p[1] - (y + a.spine_radius + RADIUS)) - RADIUS;
    (0.5 - d / edge).clamp(0.0, 1.0)
}

/// Lung tissue: air and capillaries, heavier at the back, with vessels, bronchi and infection.
fn parenchyma(scene: &Scene, p: [f32; 3], d: f32, tubes: [f32; 3], over: Option<(f32, f32)>) -> f32 {
    let (a, texture) = (&scene.anatomy, &scene.texture);
    let [vessel, lumen, wall] = tubes;
    let [_, b, y0] = a.cavity_at(a.t(p[2]));
    let back = (p[1] - y0) / b;
    let low = 1.0 - a.t(p[2]);
    let mut v = a.parenchyma_hu
        + 32.0 * back
        + 14.0 * low
        + 13.0 * texture.at(p, 5.5, 17)
        + 12.0 * texture.at(p, 24.0, 18);
    if scene.dependent > 0.0 {
        let band = smoothstep(0.45, 0.95, back + 0.05 * texture.at(p, 20.0, 19)) * smoothstep(22.0, 0.0, -d);
        v += scene.dependent * 190.0 * band;
    }
    let mut vessel = vessel;
    if let Some((over, core)) = over {
        (v, vessel) = scene.lesions.apply(v, vessel, over, core, p, texture);
    }
    v = lerp(v, a.blood_hu, vessel);
    v = lerp(v, v.max(-150.0), wall);
    lerp(v, -985.0, lumen)
}

/// The table under the patient: a curved shell with a light core. Air elsewhere.
fn table(a: &Anatomy, p: [f32; 3], edge: f32) -> f32 {
    const HALF_WIDTH: f32 = 215.0;
    const THICK: f32 = 22.0;
    const SHELL: f32 = 2.0;
    const CURVE: f32 = 1500.0;
    let top = a.cavity[1] * 1.05 + a.wall + a.fat * 0.8 + 3.0 - p[0] * p[0] / CURVE;
    let d = (p[1] - top - 0.5 * THICK).abs() - 0.5 * THICK;
    let d = d.max(p[0].abs() - HALF_WIDTH);
    let cover = (0.5 - d / edge).clamp(0.0, 1.0);
    let core = (0.5 - (d + SHELL) / edge).clamp(0.0, 1.0);
    lerp(lerp(AIR_HU, -120.0, cover), -900.0, core * cover)
}

/// Blur of the imaging chain, motion, noise, rounding.
fn finish(spec: &PhantomSpec, anatomy: &Anatomy, mut values: Volume<f32>) -> Volume<f32> {
    /// Side weights of the three-tap kernels in the plane and between slices.
    const IN_PLANE: f32 = 0.11;
    const BETWEEN: f32 = 0.10;
    const FEWEST: f32 = -1024.0;
    const MOST: f32 = 3071.0;
    let [nz, ny, nx] = spec.shape;
    let area = ny * nx;
    values.data_mut().par_chunks_mut(area).enumerate().for_each(|(z, slice)| {
        blur_plane(slice, ny, nx, IN_PLANE);
        if spec.motion_mm > 0.0 {
            ghost(spec, anatomy.t(plane(spec, z).z), slice);
        }
    });
    let mut out = Volume::filled(spec.shape, 0.0f32);
    out.data_mut().par_chunks_mut(area).enumerate().for_each(|(z, slice)| {
        let (above, below) = (values.slice((z + 1).min(nz - 1)), values.slice(z.saturating_sub(1)));
        let here = values.slice(z);
        let noise = scanner_noise(spec.seed, z, ny, nx);
        let plane = plane(spec, z);
        let shoulders = 1.0 + 0.5 * smoothstep(0.85, 1.05, anatomy.t(plane.z));
        for y in 0..ny {
            for x in 0..nx {
                let i = y * nx + x;
                let v = lerp(here[i], 0.5 * (above[i] + below[i]), 2.0 * BETWEEN);
                let p = plane.position(x, y);
                let r = (p[0] * p[0] + p[1] * p[1]) / (anatomy.cavity[0] * anatomy.cavity[0]);
                let sigma = spec.noise_hu as f32 * shoulders * (1.0 - 0.45 * smoothstep(0.0, 2.0, r));
                slice[i] = (v + sigma * noise[i]).round().clamp(FEWEST, MOST);
            }
        }
    });
    out
}

/// Motion: a faint second picture beside the first, in the lower half of the lungs.
fn ghost(spec: &PhantomSpec, t: f32, slice: &mut [f32]) {
    let share = 0.4 * smoothstep(0.6, 0.3, t);
    let shift = (spec.motion_mm / spec.spacing_mm[1]).round() as usize;
    let width = spec.shape[2];
    if share <= 0.0 || shift == 0 {
        return;
    }
    for y in 0..spec.shape[1].saturating_sub(shift) {
        for x in 0..width {
            slice[y * width + x] = lerp(slice[y * width + x], slice[(y + shift) * width + x], share);
        }
    }
}

/// Position of voxel (0, 0, 0) as `[x, y, z]`: the centre of the thorax lies in the middle of the grid.
fn origin(spec: &PhantomSpec) -> [f64; 3] {
    let half = |axis: usize| -0.5 * spec.spacing_mm[axis] * (spec.shape[axis].max(1) - 1) as f64;
    [half(2), half(1) + TABLE_MM, half(0)]
}

/// The body is moved up in the picture by this much, so that the table is seen.
const TABLE_MM: f64 = 12.0;

fn plane(spec: &PhantomSpec, z: usize) -> Plane {
    let first = origin(spec);
    Plane {
        z: (first[2] + spec.spacing_mm[0] * z as f64) as f32,
        thickness: spec.spacing_mm[0] as f32,
        origin: [first[0] as f32, first[1] as f32],
        step: [spec.spacing_mm[2] as f32, spec.spacing_mm[1] as f32],
        size: [spec.shape[2], spec.shape[1]],
    }
}

fn grid(spec: &PhantomSpec) -> Grid {
    let [z, y, x] = spec.spacing_mm;
    let affine = Affine::new([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], origin(spec)).ok();
    Grid { shape: spec.shape, spacing_mm: Some(spec.spacing_mm), affine, trust: SpacingTrust::Trusted }
}

fn count(spec: &PhantomSpec, lung: &LabelVolume, infection: &LabelVolume) -> PhantomTruth {
    let mut lung_voxels = [0u64; 2];
    let mut infection_voxels = [0u64; 2];
    for (&l, &i) in lung.data().iter().zip(infection.data()).filter(|(l, _)| **l != 0) {
        let side = usize::from(l == LUNG_LEFT);
        lung_voxels[side] += 1;
        infection_voxels[side] += u64::from(i != 0);
    }
    let voxel_ml = spec.spacing_mm.iter().product::<f64>() / 1000.0;
    let (lungs, infected) = (lung_voxels[0] + lung_voxels[1], infection_voxels[0] + infection_voxels[1]);
    PhantomTruth {
        voxel_ml,
        lung_voxels,
        infection_voxels,
        lung_ml: lungs as f64 * voxel_ml,
        infection_ml: infected as f64 * voxel_ml,
        percent_of_lung: if lungs == 0 { 0.0 } else { 100.0 * infected as f64 / lungs as f64 },
    }
}
