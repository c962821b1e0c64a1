//! The real sets: the kind of grey values, spacing and orientation of each. Skipped where they are not there.

use gg_io::{ReadOptions, detect_intensity, inspect, read_ct, read_ct_files, read_labels};
use gg_testkit::real_data;
use gg_volume::{IntensityKind, SpacingTrust, Volume};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

fn kind(path: &Path) -> IntensityKind {
    read_ct(path, &ReadOptions::default()).unwrap().value.ct.intensity.kind
}

/// Share of the files in which each kind was found.
fn shares(paths: &[PathBuf]) -> BTreeMap<&'static str, f64> {
    let mut counts = BTreeMap::new();
    for path in paths {
        *counts.entry(kind(path).name()).or_insert(0.0) += 1.0 / paths.len() as f64;
    }
    counts
}

#[test]
fn medseg_is_a_lung_window_with_known_directions_and_untrusted_spacing() {
    let Some(data) = real_data("medseg") else { return };
    for path in files(&data.join("medseg/ct_scans")) {
        let ct = read_ct(&path, &ReadOptions::default()).unwrap().value.ct;
        assert_eq!(ct.intensity.kind, IntensityKind::LungWindow8bit, "{path:?}: {:?}", ct.intensity.reasons);
        assert!(ct.intensity.confidence >= 0.7);
        assert_eq!(ct.grid.orientation().unwrap().to_string(), "LPS", "{path:?}");
        assert!((ct.grid.spacing_mm.unwrap()[2] - 1.367_188).abs() < 1e-5);
        assert!(matches!(&ct.grid.trust, SpacingTrust::Untrusted(r) if r.contains("Hounsfield")), "{path:?}");
        let name = path.file_name().unwrap();
        let lung =
            read_labels(&data.join("medseg/lung_mask").join(name), &ReadOptions::default()).unwrap().value;
        let infection = read_labels(&data.join("medseg/infection_mask").join(name), &ReadOptions::default())
            .unwrap()
            .value;
        assert_eq!((lung.1.affine, infection.1.affine), (ct.grid.affine, ct.grid.affine), "one grid");
        let (inside, all) = infection
            .0
            .data()
            .iter()
            .zip(lung.0.data())
            .filter(|(i, _)| **i != 0)
            .fold((0usize, 0usize), |(inside, all), (_, l)| (inside + usize::from(*l != 0), all + 1));
        assert!(
            inside as f64 > 0.9 * all as f64,
            "{path:?}: {inside} of {all} infected voxels lie inside the lung"
        );
    }
}

#[test]
fn covid20_is_contrast_by_volume() {
    let Some(data) = real_data("covid20") else { return };
    let table = std::fs::read_to_string(data.join("covid20/slices.csv")).unwrap();
    let mut volumes: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split(',');
        let (file, volume) = (fields.next().unwrap(), fields.next().unwrap());
        volumes
            .entry(volume)
            .or_default()
            .push(data.join("covid20/ct").join(Path::new(file).file_name().unwrap()));
    }
    assert_eq!(volumes.len(), 14);
    for (volume, paths) in volumes {
        let intensity = read_ct_files(&paths, &ReadOptions::default()).unwrap().value.ct.intensity;
        assert_eq!(intensity.kind, IntensityKind::Contrast8bit, "{volume}: {:?}", intensity.reasons);
    }
}

#[test]
fn covid20_is_contrast_in_nearly_every_single_slice() {
    let Some(data) = real_data("covid20") else { return };
    let slices: Vec<PathBuf> = files(&data.join("covid20/ct")).into_iter().step_by(5).collect();
    let found = shares(&slices);
    assert!(found["contrast_8bit"] > 0.93, "{found:?}");
}

#[test]
fn figures_of_papers_are_never_hounsfield_units() {
    let Some(data) = real_data("covidct and medseg100") else { return };
    for (set, least) in [("covidct/train", 0.8), ("covidct/val", 0.8), ("medseg100/image", 0.7)] {
        let found = shares(&files(&data.join(set)));
        let grey: f64 =
            ["lung_window_8bit", "contrast_8bit", "unknown"].iter().filter_map(|k| found.get(k)).sum();
        assert!(grey > 0.999, "{set}: {found:?}");
        assert!(found["lung_window_8bit"] > least, "{set}: {found:?}");
    }
}

/// 8-bit grey of a window, as viewers and scripts make it.
fn windowed(voxels: &Volume<f32>, [low, high]: [f32; 2]) -> Volume<f32> {
    voxels.map(|hu| ((hu - low) / (high - low) * 255.0).clamp(0.0, 255.0).round())
}

#[test]
fn lung_windows_of_real_ct_are_told_from_windows_that_go_up_to_bone() {
    let Some(data) = real_data("lungs2d and hu_dicom") else { return };
    let mut scans: Vec<PathBuf> = files(&data.join("lungs2d/ct")).into_iter().step_by(7).collect();
    scans.extend(["P001", "normal001"].map(|name| data.join("hu_dicom").join(name)));
    let lung = |level: f32, width: f32| [level - width / 2.0, level + width / 2.0];
    for path in scans {
        let voxels = read_ct(&path, &ReadOptions::default()).unwrap().value.ct.voxels;
        for window in [lung(-700.0, 1000.0), lung(-600.0, 1500.0), lung(-500.0, 1400.0), lung(-400.0, 2000.0)]
        {
            let found = detect_intensity(&windowed(&voxels, window));
            assert_ne!(found.kind, IntensityKind::Unknown, "{path:?} {window:?}: {:?}", found.reasons);
        }
        for window in [[-1024.0, 3071.0], [-3024.0, 3071.0], [-1024.0, 1500.0], [-1000.0, 1000.0]] {
            let found = detect_intensity(&windowed(&voxels, window));
            // A single slice that is noisy may have two of the traces of CLAHE.
            let noisy = found.kind == IntensityKind::Contrast8bit && voxels.shape()[0] == 1;
            assert!(noisy || found.kind == IntensityKind::Unknown, "{path:?} {window:?}: {found:?}");
        }
    }
}

#[test]
fn lungs2d_is_in_hu_without_orientation_or_spacing() {
    let Some(data) = real_data("lungs2d") else { return };
    for path in files(&data.join("lungs2d/ct")) {
        let read = read_ct(&path, &ReadOptions::default()).unwrap();
        assert!(read.warnings.iter().any(|w| w.code == "invented_geometry"));
        let ct = read.value.ct;
        assert_eq!(ct.intensity.kind, IntensityKind::Hu, "{path:?}: {:?}", ct.intensity.reasons);
        assert_eq!((ct.grid.affine, ct.grid.spacing_mm, ct.voxels.shape()), (None, None, [1, 256, 256]));
    }
}

#[test]
fn lungs3d_is_in_hu_despite_padding_and_ringing_and_its_spacing_is_trusted() {
    let Some(data) = real_data("lungs3d") else { return };
    for (name, spacing) in
        [("id001", [5.0, 3.007_812, 3.007_812]), ("id002", [4.765_625, 3.257_812, 3.257_812])]
    {
        let path = data.join("lungs3d/ct").join(name).with_extension("nii.gz");
        let ct = read_ct(&path, &ReadOptions::default()).unwrap().value.ct;
        assert_eq!(ct.intensity.kind, IntensityKind::Hu, "{:?}", ct.intensity.reasons);
        assert_eq!(ct.grid.orientation().unwrap().to_string(), "LAS");
        let found = ct.grid.trusted_spacing_mm().unwrap();
        assert!(found.iter().zip(&spacing).all(|(f, s)| (f - s).abs() < 1e-5), "{found:?}");
    }
}

#[test]
fn small_nifti_files_are_told_apart() {
    let Some(data) = real_data("formats") else { return };
    let folder = data.join("formats/small_nifti");
    for name in ["example_ct", "example_ct_sm"] {
        let found = inspect(&folder.join(name).with_extension("nii.gz"), &ReadOptions::default()).unwrap();
        let volume = found.volume.unwrap();
        assert_eq!(volume.intensity.kind, IntensityKind::Hu, "{:?}", volume.intensity.reasons);
        assert_eq!(volume.orientation.unwrap().to_string(), "RAS");
        assert_eq!(volume.spacing_mm, Some([3.0; 3]));
        assert!(matches!(volume.spacing, SpacingTrust::Untrusted(r) if r.contains("no unit")));
    }
    for name in ["example_seg", "example_seg_fast", "example_ct_sm_T300_output"] {
        let found = inspect(&folder.join(name).with_extension("nii.gz"), &ReadOptions::default()).unwrap();
        let volume = found.volume.unwrap();
        if volume.labels.is_some() {
            assert_eq!(volume.intensity.kind, IntensityKind::Unknown, "{name}");
        }
        assert!(!matches!(volume.intensity.kind, IntensityKind::Hu | IntensityKind::HuPlus1024), "{name}");
    }
}
