//! A phantom's slices as pictures.

use gg_phantom::{PhantomSpec, phantom};
use gg_report::*;
use gg_volume::{AxisMap, Volume};

/// Everything that is shown of one phantom.
pub(crate) struct Case {
    pub(crate) slices: Vec<SlicePicture>,
    pub(crate) coronal: SlicePicture,
    pub(crate) contrast: Grey,
    pub(crate) steps: Vec<Captioned>,
    pub(crate) prepared: Vec<Vec<Captioned>>,
    /// Infected share per slice in per cent.
    pub(crate) share: Vec<Option<f64>>,
}

pub(crate) fn case() -> Case {
    let spec = PhantomSpec::new(7, [64, 192, 192], 12.0);
    let made = phantom(&spec);
    let map = AxisMap::from_affine(made.ct.grid.affine.as_ref());
    let [depth, h, w] = map.canonical_shape(made.ct.grid.shape);
    let window = made.ct.voxels.map(|v| ((v + 1350.0) / 1500.0 * 255.0).clamp(0.0, 255.0) as u8);
    let read = |volume: &Volume<u8>, z: usize| {
        let mut out = vec![0u8; h * w];
        map.read_slice(volume, z, &mut out);
        out
    };
    let count = |v: &[u8]| v.iter().filter(|&&l| l != 0).count() as u64;
    let lung_n: Vec<u64> = (0..depth).map(|z| count(&read(&made.lung, z))).collect();
    let infected_n: Vec<u64> = (0..depth).map(|z| count(&read(&made.infection, z))).collect();
    let [dz, dy, dx] = spec.spacing_mm;
    let grey = |pixels: Vec<u8>| Grey::new(w, h, pixels).unwrap_or_else(|e| unreachable!("{e}"));
    let picture = |z: usize| SlicePicture {
        grey: grey(read(&window, z)),
        lung: Some(read(&made.lung, z)),
        infection: Some(read(&made.infection, z)),
        pixel_mm: Some([dy, dx]),
        sides: Some(Sides::AXIAL),
        caption: format!("slice {z} · {:.0} mm", z as f64 * dz),
    };
    let slices: Vec<SlicePicture> = pick_slices(&lung_n, &infected_n, 12).into_iter().map(picture).collect();
    let y = h / 2;
    let line = |volume: &Volume<u8>, z: usize| read(volume, z)[y * w..(y + 1) * w].to_vec();
    let row = |z| CoronalRow {
        grey: line(&window, z),
        lung: line(&made.lung, z),
        infection: line(&made.infection, z),
    };
    let rows: Vec<CoronalRow> = (0..depth).map(row).collect();
    let coronal =
        coronal_picture(&rows, Some([dz, dx]), Some(Sides::CORONAL), "coronal, 96 mm from the front");
    let middle = &slices[4];
    let contrast = grey(gg_imaging::clahe(middle.grey.pixels(), h, w, 3.0, 8, 8));
    let area = lung_box(&slices).unwrap_or(PixelBox { x0: 0, y0: 0, x1: w, y1: h });
    let cropped = SlicePicture { grey: contrast.clone(), ..middle.clone() }.cropped(area);
    let lung = middle.lung.clone().unwrap_or_default();
    let mask = |labels: &[u8], name: &str| {
        Captioned::mask(w, h, labels, name).unwrap_or_else(|e| unreachable!("{e}"))
    };
    let below: Vec<u8> = middle.grey.pixels().iter().map(|&v| u8::from(v < 120)).collect();
    let steps = vec![
        Captioned::new(middle.grey.clone(), "original"),
        Captioned::new(contrast.clone(), "contrast (CLAHE)"),
        mask(&below, "air by k-means"),
        mask(&lung, "eroded, dilated, chosen"),
        Captioned::new(cropped.grey, "cropped"),
    ];
    let prepared = slices[3..6]
        .iter()
        .map(|s| {
            let infection = s.infection.clone().unwrap_or_default();
            vec![
                Captioned::new(s.grey.clone(), "CT"),
                mask(&s.lung.clone().unwrap_or_default(), "lung"),
                mask(&infection, "infection"),
            ]
        })
        .collect();
    let share =
        lung_n.iter().zip(&infected_n).map(|(&l, &i)| (l > 0).then(|| i as f64 * 100.0 / l as f64)).collect();
    Case {
        slices,
        coronal: coronal.unwrap_or_else(|e| unreachable!("{e}")),
        contrast,
        steps,
        prepared,
        share,
    }
}
