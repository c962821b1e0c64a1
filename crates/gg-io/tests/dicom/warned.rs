//! Read all the same, with a warning.

use crate::support::{SHAPE, STEP, Series, codes, set, set_pixels, set_position, set_u16, volume};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use gg_io::{ReadOptions, read_ct};
use gg_volume::SpacingTrust;
use std::fs;

const PIXELS: usize = SHAPE[1] * SHAPE[2];

#[test]
fn the_same_slice_twice_is_used_once() {
    let series = Series::new();
    let plain = series.read().unwrap().value;
    series.add("again", 2, |_| {});
    series.add("AND again", 2, |o| set(o, tags::INSTANCE_NUMBER, VR::IS, "77"));
    let read = series.read().unwrap();
    assert_eq!(read.value.ct, plain.ct);
    assert_eq!(read.value.sha256, plain.sha256);
    assert!(codes(&read).contains(&"same_slice_twice"), "{:?}", read.warnings);
    assert_eq!(read.value.skipped.len(), 2);
    let said = gg_io::inspect(&series.folder(), &ReadOptions::default()).unwrap().oddities;
    assert_eq!(said.iter().filter(|o| o.code.starts_with("same_")).count(), 1, "{said:?}");
}

#[test]
fn one_unreadable_file_among_many_is_left_out() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damage: [(usize, Damage); 4] = [
        (4, |b| b[..b.len() - 10].to_vec()), // truncated, at the end of the series: no gap
        (2, |b| b[..b.len() - 10].to_vec()), // in the middle: its gap is explained by the file
        (2, |b| b[..200].to_vec()),
        (2, |b| vec![0xAB; b.len()]),
    ];
    for (z, damage) in damage {
        let series = Series::new();
        let bytes = fs::read(series.file(z)).unwrap();
        fs::write(series.file(z), damage(bytes)).unwrap();
        let read = series.read().unwrap();
        assert_eq!(read.value.ct.grid.shape, [4, 8, 6]);
        assert!(codes(&read).contains(&"unreadable_files"), "{:?}", read.warnings);
        assert_eq!(codes(&read).contains(&"gap_in_z"), z == 2, "{:?}", read.warnings);
        assert_eq!(read.value.ct.grid.voxel_ml().is_ok(), z != 2);
        assert_eq!(read.value.skipped.len(), 1);
    }
}

#[test]
fn the_place_of_a_truncated_slice_is_read_from_its_header() {
    for (direction, z, place) in [
        ("1\\0\\0\\0\\1\\0", 1, "between slices 0 and 1 (counted from 0)"),
        ("1\\0\\0\\0\\-1\\0", 1, "between slices 0 and 1 (counted from 0)"), // stored from head to feet
        ("1\\0\\0\\0\\1\\0", 4, "above the others"),
        ("1\\0\\0\\0\\-1\\0", 0, "below the others"),
    ] {
        let series = Series::edited(|_, o| set(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, direction));
        let bytes = fs::read(series.file(z)).unwrap();
        fs::write(series.file(z), &bytes[..bytes.len() - 10]).unwrap();
        let read = series.read().unwrap();
        let message = |code: &str| read.warnings.iter().find(|w| w.code == code).map(|w| w.message.clone());
        let lost = message("unreadable_files").unwrap();
        assert!(lost.ends_with(&format!("its slice belongs {place}")), "{lost}");
        let inner = place.starts_with("between");
        assert_eq!(message("gap_in_z").is_some_and(|m| m.contains("between slices 0 and 1")), inner);
        assert_eq!(read.value.ct.grid.voxel_ml().is_err(), inner, "no millilitres across a gap");
    }
}

#[test]
fn a_gap_is_read_where_it_is_allowed_and_nothing_is_measured_across_it() {
    let series = Series::new();
    fs::remove_file(series.file(2)).unwrap();
    let read = series.read_with(&ReadOptions { allow_gaps: true, ..ReadOptions::default() }).unwrap();
    assert_eq!(read.value.ct.grid.shape, [4, 8, 6]);
    assert!(codes(&read).contains(&"gap_in_z"));
    assert_eq!(read.value.ct.grid.trust, SpacingTrust::Untrusted("slices are missing".to_owned()));
    assert_eq!(read.value.ct.grid.spacing_mm, Some([STEP, 0.75, 0.5]));
}

#[test]
fn spacing_comes_from_positions_and_from_nothing_else() {
    let series = Series::edited(|z, o| {
        set_position(o, [-10.0, -20.0, 6.0 * z as f64]);
        set(o, tags::SLICE_THICKNESS, VR::DS, "2");
        set(o, tags::SPACING_BETWEEN_SLICES, VR::DS, "3");
        set(o, tags::SLICE_LOCATION, VR::DS, "1");
    });
    let read = series.read().unwrap();
    assert_eq!(read.value.ct.grid.spacing_mm, Some([6.0, 0.75, 0.5]));
    assert_eq!(read.value.ct.grid.trust, SpacingTrust::Trusted);
}

#[test]
fn uneven_spacing_is_remarked_on_and_very_uneven_spacing_not_trusted() {
    for (off, remark, trusted) in [(0.004, false, true), (0.2, true, true), (0.6, true, false)] {
        let series = Series::new();
        series.edit(2, |o| set_position(o, [-10.0, -20.0, 30.0 + 2.0 * STEP + off]));
        let read = series.read().unwrap();
        assert_eq!(codes(&read).contains(&"irregular_spacing"), remark, "{off}");
        assert_eq!(read.value.ct.grid.trust == SpacingTrust::Trusted, trusted, "{off}");
    }
}

#[test]
fn slices_shifted_sideways_are_remarked_on() {
    let series = Series::new();
    series.edit(2, |o| set_position(o, [-14.0, -20.0, 30.0 + 2.0 * STEP]));
    assert!(codes(&series.read().unwrap()).contains(&"shifted_slices"));
}

#[test]
fn without_positions_slices_are_in_the_order_of_their_numbers() {
    let series = Series::edited(|z, o| {
        o.remove_element(tags::IMAGE_POSITION_PATIENT);
        set(o, tags::INSTANCE_NUMBER, VR::IS, &(10 - z).to_string());
    });
    let read = series.read().unwrap();
    assert!(codes(&read).contains(&"no_position"), "{:?}", read.warnings);
    assert_eq!(read.value.slice_files, [4, 3, 2, 1, 0]);
    assert_eq!(read.value.ct.grid.affine, None);
    assert!(read.value.ct.grid.voxel_ml().is_err());
}

#[test]
fn without_pixel_spacing_no_length_is_known() {
    let series = Series::edited(|_, o| {
        o.remove_element(tags::PIXEL_SPACING);
    });
    let read = series.read().unwrap();
    assert!(codes(&read).contains(&"no_pixel_spacing"));
    assert_eq!((read.value.ct.grid.affine, read.value.ct.grid.spacing_mm), (None, None));
    assert_eq!(read.value.ct.voxels, volume(SHAPE).voxels);
}

#[test]
fn padding_becomes_the_lowest_measured_value() {
    let series = Series::edited(|z, o| {
        let mut stored = vec![1024_u16; PIXELS];
        stored[0] = (-2000_i16) as u16;
        stored[1] = (-1990_i16) as u16;
        stored[2] = if z == 3 { 7 } else { 500 };
        set_pixels(o, &stored);
        let pad = |v: i16| dicom_core::PrimitiveValue::I16([v].as_slice().into());
        o.put(dicom_core::DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, pad(-2000)));
        o.put(dicom_core::DataElement::new(tags::PIXEL_PADDING_RANGE_LIMIT, VR::SS, pad(-1980)));
    });
    let voxels = series.read().unwrap().value.ct.voxels;
    assert_eq!(voxels.slice(0)[..4], [-1017.0, -1017.0, -524.0, 0.0]);
    assert_eq!(voxels.slice(3)[..4], [-1017.0, -1017.0, -1017.0, 0.0]);
}

#[test]
fn bits_above_the_stored_ones_do_not_count() {
    let series = Series::edited(|_, o| {
        set_u16(o, tags::BITS_STORED, 12);
        set_u16(o, tags::HIGH_BIT, 11);
        set_u16(o, tags::PIXEL_REPRESENTATION, 0);
        set_pixels(o, &[0xF000 | 1000; PIXELS]);
    });
    assert_eq!(series.read().unwrap().value.ct.voxels.at(0, 0, 0), -24.0);
}

#[test]
fn monochrome1_is_turned_round_only_where_values_are_shades() {
    for (rescale, expected) in [(true, -1023.0), (false, 254.0)] {
        let series = Series::edited(|_, o| {
            set(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
            set_u16(o, tags::BITS_STORED, 8);
            set_u16(o, tags::HIGH_BIT, 7);
            set_u16(o, tags::PIXEL_REPRESENTATION, 0);
            set_pixels(o, &[1; PIXELS]);
            if !rescale {
                o.remove_element(tags::RESCALE_SLOPE);
                o.remove_element(tags::RESCALE_INTERCEPT);
            }
        });
        let read = series.read().unwrap();
        assert_eq!(read.value.ct.voxels.at(0, 0, 0), expected);
        assert!(codes(&read).contains(&"monochrome1"));
        assert_eq!(codes(&read).contains(&"no_rescale"), !rescale);
    }
}

#[test]
fn threads_do_not_change_the_result() {
    let series = Series::new();
    let read = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| series.read().unwrap())
    };
    assert_eq!(read(1), read(2));
}

#[test]
fn slices_of_other_series_are_counted() {
    let series = Series::new();
    for z in 0..3 {
        series.add(&format!("other-{z}"), z, |o| set(o, tags::SERIES_INSTANCE_UID, VR::UI, "2.25.77"));
    }
    let chosen = |id: &str| ReadOptions { series: Some(id.to_owned()), ..ReadOptions::default() };
    for id in ["1", "2"] {
        let read = series.read_with(&chosen(id)).unwrap();
        let slices = read.value.ct.grid.shape[0];
        let said = &read.warnings.iter().find(|w| w.code == "other_series").unwrap().message;
        let right =
            format!("series {id} of 2 in the folder was read; {} slices of the others were not", 8 - slices);
        assert_eq!(*said, right);
    }
    assert!(!codes(&Series::new().read().unwrap()).contains(&"other_series"));
}

#[test]
fn objects_that_may_hold_slices_and_are_not_read_are_counted() {
    let series = Series::new();
    series.add("many", 0, |o| set(o, tags::NUMBER_OF_FRAMES, VR::IS, "12"));
    series.add("scout", 0, |o| set(o, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    let read = series.read().unwrap();
    let said = &read.warnings.iter().find(|w| w.code == "objects_left_out").unwrap().message;
    assert!(
        said.starts_with("1 object in colour, or of many frames without a place for each, was left out"),
        "{said}"
    );
    assert_eq!(read.value.skipped.len(), 2, "all of them are listed");
}

#[test]
fn a_distance_that_no_ct_has_gives_no_millilitres_unless_it_is_vouched_for() {
    for (step, pixel, absurd) in
        [(200.0, "0.7\\0.7", true), (2.0, "0.001\\0.001", true), (10.0, "0.7\\0.7", false)]
    {
        let series = Series::edited(|z, o| {
            set_position(o, [-10.0, -20.0, step * z as f64]);
            set(o, tags::PIXEL_SPACING, VR::DS, pixel);
        });
        let read = series.read().unwrap();
        assert_eq!(codes(&read).contains(&"absurd_spacing"), absurd, "{:?}", read.warnings);
        assert_eq!(read.value.ct.grid.voxel_ml().is_err(), absurd);
        let options = ReadOptions { trust_spacing: true, ..ReadOptions::default() };
        assert!(series.read_with(&options).unwrap().value.ct.grid.voxel_ml().is_ok());
    }
}

#[test]
fn each_slice_goes_through_its_own_slope_and_intercept() {
    let plain = Series::new().read().unwrap();
    let series = Series::edited(|z, o| {
        set(o, tags::RESCALE_SLOPE, VR::DS, &format!("{}", z + 1));
        set(o, tags::RESCALE_INTERCEPT, VR::DS, &format!("{}", -100 * z as i32));
    });
    let read = series.read().unwrap();
    assert_eq!(codes(&read), codes(&plain), "nothing odd in it");
    let stored = |v: f32| v + 1024.0; // the writer's intercept is -1024
    for z in 0..SHAPE[0] {
        let right: Vec<f32> = plain
            .value
            .ct
            .voxels
            .slice(z)
            .iter()
            .map(|v| stored(*v) * (z + 1) as f32 - 100.0 * z as f32)
            .collect();
        assert_eq!(read.value.ct.voxels.slice(z), right, "slice {z}");
    }
}

/// The message of the remark on slopes and intercepts, where there is one.
fn rescale_jump(series: &Series) -> Option<String> {
    let read = series.read().unwrap();
    read.warnings.iter().find(|w| w.code == "rescale_jump").map(|w| w.message.clone())
}

#[test]
fn slices_whose_intercept_tears_them_from_their_neighbours_are_counted() {
    let with = |intercept: &str, odd: std::ops::Range<usize>| {
        let series = Series::new();
        odd.for_each(|z| series.edit(z, |o| set(o, tags::RESCALE_INTERCEPT, VR::DS, intercept)));
        rescale_jump(&series)
    };
    let said = with("0", 2..3).unwrap();
    assert!(
        said.starts_with(
            "1 slice of 5 states another rescale slope or intercept than the rest; its values lie 1072"
        ),
        "{said}"
    );
    assert!(said.ends_with("they are probably wrong (slice 2, counted from 0)"), "{said}");
    // The second is stored from head to feet.
    for orientation in ["1\\0\\0\\0\\1\\0", "1\\0\\0\\0\\-1\\0"] {
        let series = Series::edited(|_, o| set(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, orientation));
        series.edit(1, |o| set(o, tags::RESCALE_INTERCEPT, VR::DS, "0"));
        let said = rescale_jump(&series).unwrap();
        assert!(said.ends_with("(slice 1, counted from 0)"), "{orientation}: {said}");
    }
    let series = Series::new();
    (3..5).for_each(|z| series.edit(z, |o| set(o, tags::RESCALE_INTERCEPT, VR::DS, "0")));
    let refused = series.read().unwrap_err().to_string();
    assert!(refused.contains("2 of 5 slices state another rescale"), "{refused}");
    assert_eq!(with("-1000", 2..3), None, "no jump to speak of");
    assert_eq!(with("0", 0..5), None, "all alike");
}

#[test]
fn intercepts_that_differ_by_too_little_for_a_jump_are_told_all_the_same() {
    let told = |series: &Series| {
        let read = series.read().unwrap();
        read.warnings.iter().find(|w| w.code == "rescale_intercepts_differ").map(|w| w.message.clone())
    };
    let series = Series::new();
    assert_eq!(told(&series), None);
    (2..5).for_each(|z| series.edit(z, |o| set(o, tags::RESCALE_INTERCEPT, VR::DS, "-924")));
    let said = told(&series).unwrap();
    assert!(said.contains("from -1024 to -924") && said.contains("off by up to 100"), "{said}");
    assert_eq!(rescale_jump(&series), None);
    // With slopes of their own, slices may have been stretched.
    series.edit(2, |o| set(o, tags::RESCALE_SLOPE, VR::DS, "2"));
    assert_eq!(told(&series), None);
}

#[test]
fn slices_that_their_own_slope_and_intercept_bring_to_their_neighbours_are_none_of_them() {
    let series = Series::new();
    let plain = series.read().unwrap();
    // Slice 2 is stored at twice the slope, from -1100 on.
    let stored: Vec<u16> =
        plain.value.ct.voxels.slice(2).iter().map(|v| ((v + 1100.0) / 2.0) as u16).collect();
    series.edit(2, |o| {
        set(o, tags::RESCALE_SLOPE, VR::DS, "2");
        set(o, tags::RESCALE_INTERCEPT, VR::DS, "-1100");
        set_pixels(o, &stored);
    });
    assert_eq!(rescale_jump(&series), None);
}

#[test]
fn averages_over_slabs_are_remarked_on_and_derived_images_are_not() {
    let with = |kind: &str| {
        let series = Series::edited(|_, o| set(o, tags::IMAGE_TYPE, VR::CS, kind));
        series.read().unwrap().warnings
    };
    let plain = Series::new().read().unwrap().warnings;
    for kind in [
        "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI",
        "DERIVED\\SECONDARY\\AXIAL",
        "DERIVED\\SECONDARY\\REFORMATTED\\MPR",
        "",
    ] {
        assert_eq!(with(kind), plain, "{kind}");
    }
    let found = with("DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE");
    let said = &found.iter().find(|w| w.code == "averaged_slices").unwrap().message;
    assert!(said.starts_with("5 of 5 slices are each the mean over a slab"), "{said}");
}

#[test]
fn projections_beside_the_slices_are_left_out_as_localizers_are() {
    let series = Series::new();
    let plain = series.read().unwrap();
    for (name, kind) in [("mip", "DERIVED\\SECONDARY\\AXIAL\\MIP"), ("scout", "ORIGINAL\\PRIMARY\\LOCALIZER")]
    {
        series.add(name, 2, |o| set(o, tags::IMAGE_TYPE, VR::CS, kind));
    }
    let read = series.read().unwrap();
    assert_eq!((&read.value.ct, &read.warnings), (&plain.value.ct, &plain.warnings));
    assert_eq!(read.value.skipped[0].1, "a maximum intensity projection (MIP), not a slice");
}

#[test]
#[cfg(unix)]
fn links_are_followed_and_one_that_leads_nowhere_counts_as_unreadable() {
    use std::os::unix::fs::symlink;
    let series = Series::new();
    let plain = series.read().unwrap().value;
    let dir = tempfile::tempdir().unwrap();
    let (files, folder) = (dir.path().join("files"), dir.path().join("folder"));
    fs::create_dir_all(&files).unwrap();
    fs::create_dir_all(&folder).unwrap();
    for z in 0..SHAPE[0] {
        symlink(series.file(z), files.join(format!("{z}"))).unwrap();
    }
    symlink(series.folder(), folder.join("series")).unwrap();
    symlink(&folder, folder.join("again")).unwrap(); // back to where it came from
    for linked in [&files, &folder] {
        let read = read_ct(linked, &ReadOptions::default()).unwrap();
        assert_eq!(read.value.ct, plain.ct);
        assert_eq!(read.value.sha256, plain.sha256);
    }
    symlink(dir.path().join("nowhere"), files.join("lost.dcm")).unwrap();
    let read = read_ct(&files, &ReadOptions::default()).unwrap();
    assert_eq!(read.value.ct, plain.ct);
    assert!(!read.warnings.is_empty() && read.value.skipped.len() == 1, "{:?}", read.warnings);
}
