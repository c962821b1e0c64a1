//! Small synthetic data sets, written with the project's own writers.

use gg_volume::{Affine, CtVolume, Grid, Intensity, IntensityKind, LabelVolume, SpacingTrust, Volume};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Side of all slices.
pub(crate) const SIDE: usize = 48;

/// A folder that cleans itself up, and where things stand in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// A place below the folder whose parents exist.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn text(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    pub(crate) fn png(&self, name: &str, height: usize, width: usize, pixel: impl Fn(usize, usize) -> u8) {
        let image = image::GrayImage::from_fn(width as u32, height as u32, |x, y| {
            image::Luma([pixel(y as usize, x as usize)])
        });
        image.save(self.at(name)).unwrap();
    }

    pub(crate) fn ct(&self, name: &str, slices: usize) {
        gg_io::write_ct_nifti(&self.at(name), &ct(slices)).unwrap();
    }

    pub(crate) fn labels(&self, name: &str, labels: &LabelVolume) {
        gg_io::write_labels_nifti(&self.at(name), labels, &grid(labels.shape())).unwrap();
    }
}

/// 1 x 1 x 2 mm voxels, axes to the left, posterior and head.
pub(crate) fn grid(shape: [usize; 3]) -> Grid {
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]];
    let affine = Affine::new(columns, [-20.0, -20.0, 5.0]).unwrap();
    Grid { shape, spacing_mm: Some(affine.spacing_mm()), affine: Some(affine), trust: SpacingTrust::Trusted }
}

/// A body with two lungs in HU; no two slices are equal.
pub(crate) fn ct(slices: usize) -> CtVolume {
    let shape = [slices, SIDE, SIDE];
    let mut voxels = Volume::filled(shape, -1000.0f32);
    for z in 0..slices {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let body = (4..44).contains(&x) && (8..42).contains(&y);
                let value = match (body, side_of(y, x)) {
                    (_, 1 | 2) => -850.0 + ((x + y + 3 * z) % 5) as f32 * 8.0,
                    (true, _) => 40.0 + z as f32,
                    _ => -1000.0,
                };
                let at = voxels.index(z, y, x);
                voxels.data_mut()[at] = value;
            }
        }
    }
    CtVolume { voxels, grid: grid(shape), intensity: Intensity::stated(IntensityKind::Hu) }
}

/// 1 in the lung at the left of the picture, 2 in the other, else 0.
pub(crate) fn side_of(y: usize, x: usize) -> u8 {
    let inside = |cx: f64| ((x as f64 - cx) / 7.5).powi(2) + ((y as f64 - 25.0) / 11.0).powi(2) < 1.0;
    if inside(14.0) { 1 } else { u8::from(inside(33.0)) * 2 }
}

/// A mask from a rule of (z, y, x).
pub(crate) fn mask(slices: usize, rule: impl Fn(usize, usize, usize) -> u8) -> LabelVolume {
    let n = SIDE * SIDE;
    let data = (0..slices * n).map(|i| rule(i / n, i % n / SIDE, i % SIDE)).collect();
    Volume::from_vec([slices, SIDE, SIDE], data).unwrap()
}

pub(crate) fn lungs(slices: usize) -> LabelVolume {
    mask(slices, |_, y, x| side_of(y, x))
}

/// Infected: a square of 4 x 4 in the right lung of every slice from `from` on.
pub(crate) fn infected(z: usize, y: usize, x: usize, from: usize) -> bool {
    z >= from && (24..28).contains(&y) && (12..16).contains(&x)
}

/// The Kaggle layout with `n` cases of 6 slices, infected from slice 4 on; with patients `p0`, `p1`, ... where told.
pub(crate) fn kaggle(n: usize, patients: Option<&[usize]>) -> Folder {
    let folder = Folder::new();
    let mut table = String::from("ct_scan,lung_mask,infection_mask");
    table.push_str(if patients.is_some() { ",patient\n" } else { "\n" });
    for i in 0..n {
        let mut scan = ct(6 + i % 2);
        scan.voxels.data_mut()[0] += i as f32; // no two cases are the same scan
        gg_io::write_ct_nifti(&folder.at(&format!("ct_scans/scan_{i}.nii")), &scan).unwrap();
        folder.labels(&format!("lung_mask/mask_{i}.nii"), &lungs(6 + i % 2));
        let infection = mask(6 + i % 2, |z, y, x| infected(z, y, x, 4).into());
        folder.labels(&format!("infection_mask/mask_{i}.nii"), &infection);
        let input = "../input/covid19-ct-scans";
        table.push_str(&format!(
            "{input}/ct_scans/scan_{i}.nii,{input}/lung_mask/mask_{i}.nii,{input}/infection_mask/mask_{i}.nii"
        ));
        table.push_str(&patients.map_or("\n".to_owned(), |p| format!(",p{}\n", p[i])));
    }
    folder.text("metadata.csv", &table);
    folder
}
