//! NIfTI files that are read, with a remark.

use crate::raw::{Raw, codes, read, read_as};
use gg_io::{ReadOptions, inspect};
use gg_volume::{IntensityKind, LabelVolume, SpacingTrust};

/// A small body in HU: air, lung, soft tissue.
fn body(n: usize) -> Vec<u8> {
    (0..n)
        .map(|i| match i % 10 {
            0..3 => -1000 + (i % 7) as i16,
            3..6 => -800 + (i % 90) as i16,
            _ => (i % 70) as i16 - 20,
        })
        .flat_map(i16::to_le_bytes)
        .collect()
}

/// 16 x 16 x 4 voxels of it.
fn ct() -> Raw {
    let mut raw = Raw::new();
    raw.i16(42, 16).i16(44, 16).i16(46, 4);
    raw.data = body(16 * 16 * 4);
    raw
}

#[track_caller]
fn odd(edit: impl FnOnce(&mut Raw), code: &str) {
    let mut raw = ct();
    edit(&mut raw);
    let read = read(&raw.bytes()).unwrap();
    assert!(codes(&read).contains(&code), "{:?} lacks {code}", codes(&read));
}

#[test]
fn a_sound_ct_has_no_remark_and_trusted_spacing() {
    let read = read(&ct().bytes()).unwrap();
    assert_eq!(codes(&read), Vec::<&str>::new());
    let ct = read.value.ct;
    assert_eq!(ct.intensity.kind, IntensityKind::Hu);
    assert_eq!(ct.grid.trusted_spacing_mm(), Some([2.0, 0.75, 0.5]));
    assert_eq!(read.value.sha256.len(), 64);
}

#[test]
fn oddities_become_remarks() {
    odd(
        |r| {
            r.i16(252, 1);
        },
        "sform_qform_disagree",
    );
    odd(
        |r| {
            r.i16(252, 1).f32(256, 5.0);
        },
        "sform_qform_disagree",
    );
    odd(
        |r| {
            r.f32(80, 0.9);
        },
        "spacing_disagrees",
    );
    odd(
        |r| {
            r.i16(254, 0);
        },
        "no_orientation",
    );
    odd(
        |r| {
            r.f32(280 + 40, -2.0);
        },
        "reversed_z",
    );
    odd(
        |r| {
            let (sin, cos) = 20f32.to_radians().sin_cos();
            r.f32(280, 0.5 * cos).f32(284, -0.75 * sin).f32(296, 0.5 * sin).f32(300, 0.75 * cos);
        },
        "oblique",
    );
    odd(|r| r.header[123] = 5, "unknown_unit");
    odd(|r| r.data.extend([1; 100]), "trailing_bytes");
    odd(
        |r| {
            r.i16(46, 1);
        },
        "one_slice",
    );
    odd(|r| r.data.copy_within(0..512, 512), "same_slice_twice");
    odd(|r| r.data = [0i16; 1024].iter().flat_map(|v| v.to_le_bytes()).collect(), "unknown_intensity");
}

#[test]
fn the_sform_wins_over_the_qform_as_in_nibabel() {
    let mut raw = ct();
    raw.i16(252, 1).f32(264, 1.0).f32(268, 500.0); // a half turn about z, as the sform says
    assert_eq!(read(&raw.bytes()).unwrap().value.ct.grid.affine.unwrap().origin(), [0.0; 3]);
}

#[test]
fn forms_that_contradict_each_other_give_no_orientation_and_keep_the_distances() {
    // The quaternion's b, c, d at 256: none, and half turns about x, y, z; the sform is LPS.
    for (turn, qform) in [([0.0, 0.0, 0.0], "RAS"), ([1.0, 0.0, 0.0], "RPI"), ([0.0, 1.0, 0.0], "LAI")] {
        let mut raw = ct();
        raw.i16(252, 1);
        (0..3).for_each(|i| _ = raw.f32(256 + 4 * i, turn[i]));
        let read = read(&raw.bytes()).unwrap();
        let said = read.warnings.iter().find(|w| w.code == "sform_qform_disagree").unwrap();
        assert!(said.message.contains(&format!("run to LPS, its qform to {qform}")), "{}", said.message);
        let grid = read.value.ct.grid;
        assert_eq!((grid.affine, grid.trusted_spacing_mm()), (None, Some([2.0, 0.75, 0.5])));
    }
    // Left and right alone: a half turn about z, and x mirrored in the sform.
    let mut raw = ct();
    raw.i16(252, 1).f32(264, 1.0).f32(280, 0.5);
    assert_eq!(read(&raw.bytes()).unwrap().value.ct.grid.affine, None);
    raw.f32(280, -0.5);
    assert!(codes(&read(&raw.bytes()).unwrap()).is_empty());
    // Distances that differ too are not believed either.
    raw.f32(280, 0.6);
    assert!(read(&raw.bytes()).unwrap().value.ct.grid.voxel_ml().is_err());
    // A turn by 20 degrees contradicts no side.
    let mut raw = ct();
    raw.i16(252, 1).f32(264, 10f32.to_radians().cos());
    assert!(read(&raw.bytes()).unwrap().value.ct.grid.affine.is_some());
}

#[test]
fn nan_becomes_the_lowest_value() {
    let mut raw = Raw::new();
    raw.i16(70, 16).i16(72, 32);
    raw.data =
        (0..24).map(|i| if i == 3 { f32::NAN } else { i as f32 - 7.0 }).flat_map(f32::to_le_bytes).collect();
    let read = read(&raw.bytes()).unwrap();
    assert!(codes(&read).contains(&"non_finite_values"));
    assert_eq!(read.value.ct.voxels.data()[3], -7.0);
    let mut mask = LabelVolume::filled([2, 3, 4], 1);
    let count = |mask: &LabelVolume| read.value.holes.as_ref().map(|holes| holes.count_in(mask));
    assert_eq!(count(&mask), Some(1));
    mask.data_mut()[3] = 0;
    assert_eq!(count(&mask), Some(0));
    assert_eq!(self::read(&ct().bytes()).unwrap().value.holes, None);
}

#[test]
fn an_affine_is_never_invented() {
    let mut raw = ct();
    raw.i16(254, 0);
    let grid = read(&raw.bytes()).unwrap().value.ct.grid;
    assert_eq!((grid.affine, grid.spacing_mm), (None, Some([2.0, 0.75, 0.5])));
    assert!(matches!(grid.trust, SpacingTrust::Untrusted(r) if r.contains("no affine")));
    // A pixdim of ones without a unit says nothing at all.
    raw.header[123] = 0;
    raw.f32(80, 1.0).f32(84, 1.0).f32(88, 1.0);
    assert_eq!(read(&raw.bytes()).unwrap().value.ct.grid.spacing_mm, None);
    // Nor does an identity without a unit.
    let mut raw = ct();
    raw.header[123] = 0;
    for row in 0..3 {
        raw.f32(80 + 4 * row, 1.0).f32(280 + 20 * row, 1.0);
    }
    let read = read(&raw.bytes()).unwrap();
    assert!(codes(&read).contains(&"invented_geometry"));
    assert_eq!(read.value.ct.grid.affine, None);
}

#[test]
fn spacing_is_trusted_in_hu_with_a_coded_affine_and_a_unit_only() {
    let trust = |edit: &dyn Fn(&mut Raw), options: &ReadOptions| {
        let mut raw = ct();
        edit(&mut raw);
        read_as("ct.nii", &raw.bytes(), options).unwrap().value.ct.grid.trust
    };
    let options = ReadOptions::default();
    let because = |trust: SpacingTrust, reason: &str| match trust {
        SpacingTrust::Untrusted(found) => assert!(found.contains(reason), "{found}"),
        SpacingTrust::Trusted => panic!("trusted"),
    };
    assert_eq!(trust(&|_| {}, &options), SpacingTrust::Trusted);
    because(trust(&|r| r.header[123] = 0, &options), "no unit");
    because(
        trust(
            &|r| {
                r.i16(254, 0);
            },
            &options,
        ),
        "no affine",
    );
    let grey = |r: &mut Raw| {
        r.i16(70, 2).i16(72, 8);
        r.data = (0..1024u32).map(|i| (i * 7 % 251) as u8).collect();
    };
    because(trust(&grey, &options), "not in Hounsfield units");
    let stated = ReadOptions { intensity: Some(IntensityKind::Unknown), ..ReadOptions::default() };
    because(trust(&|_| {}, &stated), "not in Hounsfield units");
    let believed = ReadOptions { trust_spacing: true, ..ReadOptions::default() };
    assert_eq!(trust(&grey, &believed), SpacingTrust::Trusted);
}

#[test]
fn inspect_tells_what_the_file_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    let mut raw = ct();
    raw.f32(112, 1.0).f32(116, -24.0).f32(280 + 40, -2.0);
    std::fs::write(&path, raw.bytes()).unwrap();
    let found = inspect(&path, &ReadOptions::default()).unwrap();
    assert_eq!(found.stored.as_deref(), Some("NIfTI-1, int16, little-endian, slope 1, intercept -24"));
    let volume = found.volume.unwrap();
    assert_eq!(volume.shape, [4, 16, 16]);
    assert_eq!(volume.orientation.unwrap().to_string(), "LPI");
    assert_eq!(volume.labels, None);
    assert!(!volume.intensity.reasons.is_empty());
    assert_eq!(found.oddities[0].code, "reversed_z");
    let json = serde_json::to_string(&inspect(&path, &ReadOptions::default()).unwrap()).unwrap();
    assert!(json.contains("\"format\":\"nifti\"") && json.contains("\"kind\":\"hu\""), "{json}");
    assert!(!json.contains("ct.nii"), "no path in {json}");
}

#[test]
fn a_slope_that_is_no_number_scales_nothing_and_is_remarked_on() {
    for slope in [f32::NAN, f32::INFINITY] {
        let set = |r: &mut Raw| {
            r.f32(112, slope);
        };
        odd(set, "no_scaling");
    }
    let zero = read(
        &{
            let mut raw = ct();
            raw.f32(112, 0.0).f32(116, 7.0);
            raw
        }
        .bytes(),
    )
    .unwrap();
    assert!(!codes(&zero).contains(&"no_scaling"), "0 is the standard's word for it");
}

#[test]
fn a_distance_that_no_ct_has_is_remarked_on_and_not_trusted() {
    for (at, mm) in [(88, 200.0), (80, 0.001)] {
        let mut raw = ct();
        raw.f32(at, mm).i16(254, 0).i16(252, 1);
        let read = read(&raw.bytes()).unwrap();
        assert!(codes(&read).contains(&"absurd_spacing"), "{:?}", read.warnings);
        assert!(read.value.ct.grid.voxel_ml().is_err());
    }
}

#[test]
fn a_statement_about_grey_values_that_they_contradict_is_remarked_on() {
    let stated = |raw: &Raw, kind| {
        let options = ReadOptions { intensity: Some(kind), ..ReadOptions::default() };
        let read = read_as("ct.nii", &raw.bytes(), &options).unwrap();
        assert_eq!(read.value.ct.intensity.kind, kind, "the statement is followed");
        read.warnings.iter().find(|w| w.code == "intensity_contradicted").map(|w| w.message.clone())
    };
    let hu = ct();
    let mut grey = ct();
    grey.data = (0..16 * 16 * 4).flat_map(|i: i32| ((i * 37 % 256) as i16).to_le_bytes()).collect();
    for (raw, kind, contradicted) in [
        (&hu, IntensityKind::Hu, false),
        (&hu, IntensityKind::Unknown, false),
        (&hu, IntensityKind::LungWindow8bit, true),
        (&hu, IntensityKind::UnitRange, true),
        (&hu, IntensityKind::HuPlus1024, true),
        (&grey, IntensityKind::Hu, true),
        (&grey, IntensityKind::HuPlus1024, true),
        (&grey, IntensityKind::LungWindow8bit, false),
        (&grey, IntensityKind::Contrast8bit, false),
    ] {
        let said = stated(raw, kind);
        assert_eq!(said.is_some(), contradicted, "{kind:?}: {said:?}");
    }
    let said = stated(&grey, IntensityKind::Hu).unwrap();
    assert!(said.contains("stated to be hu, but they go from 0 to 255"), "{said}");
}

#[test]
fn attenuation_is_said_to_be_none_of_the_kinds() {
    let mut raw = ct();
    let hu = |i: usize| f32::from(i16::from_le_bytes([raw.data[2 * i], raw.data[2 * i + 1]]));
    let per_cm: Vec<u8> = (0..1024).flat_map(|i| (0.19 * (1.0 + hu(i) / 1000.0)).to_le_bytes()).collect();
    raw.i16(70, 16).i16(72, 32).data = per_cm;
    let read = read(&raw.bytes()).unwrap();
    assert_eq!(read.value.ct.intensity.kind, IntensityKind::Unknown);
    let said = read.warnings.iter().find(|w| w.code == "unknown_intensity").unwrap();
    assert!(said.message.contains("attenuation in 1/cm; right would be HU"), "{}", said.message);
    let stated = ReadOptions { intensity: Some(IntensityKind::UnitRange), ..ReadOptions::default() };
    let read = read_as("ct.nii", &raw.bytes(), &stated).unwrap();
    assert_eq!((read.value.ct.intensity.kind, codes(&read)), (IntensityKind::UnitRange, Vec::new()));
}

#[test]
fn a_choice_of_series_is_for_dicom_alone() {
    let options = ReadOptions { series: Some("1".to_owned()), ..ReadOptions::default() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    std::fs::write(&path, ct().bytes()).unwrap();
    for error in [gg_io::read_ct(&path, &options).unwrap_err(), inspect(&path, &options).unwrap_err()] {
        assert!(error.to_string().contains("DICOM folder, and this is a NIfTI file"), "{error}");
    }
}
