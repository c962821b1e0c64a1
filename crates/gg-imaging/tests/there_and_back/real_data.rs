//! On real CT: masks survive the way there and back, lungs lie inside their box, apex and base are told apart.

use crate::restore;
use gg_imaging::*;
use gg_io::{ReadOptions, read_ct, read_ct_files, read_labels, read_labels_files};
use gg_volume::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

fn options(kind: IntensityKind) -> ReadOptions {
    ReadOptions { intensity: Some(kind), ..ReadOptions::default() }
}

/// CT and lung mask of each volume of a set that has them.
fn with_lungs(set: &str, mut f: impl FnMut(&str, &CtVolume, &LabelVolume)) -> Option<()> {
    let root = gg_testkit::real_data(set)?.join(set);
    if set == "covid20" {
        let table = std::fs::read_to_string(root.join("slices.csv")).unwrap();
        let mut volumes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split(',').collect();
            volumes.entry(columns[1]).or_default().push(columns[0]);
        }
        for (name, slices) in volumes {
            let paths = |folder: &str| slices.iter().map(|s| root.join(folder).join(s)).collect::<Vec<_>>();
            let scan = read_ct_files(&paths("ct"), &options(IntensityKind::Contrast8bit)).unwrap().value;
            let lung = read_labels_files(&paths("lung_mask"), &ReadOptions::default()).unwrap().value;
            f(name, &scan.ct, &lung.0);
        }
        return Some(());
    }
    let (folder, kind) = match set {
        "medseg" => ("ct_scans", IntensityKind::LungWindow8bit),
        _ => ("ct", IntensityKind::Hu),
    };
    for (path, mask) in files(&root.join(folder)).iter().zip(files(&root.join("lung_mask"))) {
        let scan = read_ct(path, &options(kind)).unwrap().value;
        let lung = read_labels(&mask, &ReadOptions::default()).unwrap().value.0;
        f(path.file_name().unwrap().to_str().unwrap(), &scan.ct, &lung);
    }
    Some(())
}

fn dice(a: &LabelVolume, b: &LabelVolume) -> f64 {
    let both = a.data().iter().zip(b.data()).filter(|&(&a, &b)| a != 0 && b != 0).count();
    2.0 * both as f64 / (a.count_foreground() + b.count_foreground()).max(1) as f64
}

#[test]
fn lung_masks_keep_a_dice_of_98_percent_there_and_back() {
    let mut worst: BTreeMap<&str, f64> = BTreeMap::new();
    let done = with_lungs("lungs2d", |name, ct, lung| {
        let map = ct.grid.axis_map();
        let lung = lung.map(|v| u8::from(v != 0));
        let whole = RoiConfig { mode: RoiMode::None, ..RoiConfig::default() };
        let check = |what: &'static str,
                     roi: &RoiConfig,
                     size: usize,
                     least: f64,
                     worst: &mut BTreeMap<&str, f64>| {
            let config = PrepareConfig { size, roi: roi.clone(), ..PrepareConfig::default() };
            let ways = prepare(ct, &map, &config).value.ways;
            let back = restore(&prepare_labels(&lung, &map, &ways), &ways, &map, lung.shape());
            // Only what lies inside the crop can come back.
            let identity: Vec<SliceWay> =
                ways.iter().map(|w| SliceWay { size: w.crop.h, ..w.clone() }).collect();
            let inside = restore(&prepare_labels(&lung, &map, &identity), &identity, &map, lung.shape());
            let found = dice(&inside, &back);
            assert!(found >= least, "{name} {what} {size}: {found}");
            let entry = worst.entry(what).or_insert(1.0);
            *entry = entry.min(found);
        };
        check("whole slice at 256", &whole, 256, 1.0, &mut worst);
        check("lung box at 256", &RoiConfig::default(), 256, 0.98, &mut worst);
        check("whole slice at 192", &whole, 192, 0.98, &mut worst);
        check("lung box at 128", &RoiConfig::default(), 128, 0.98, &mut worst);
    });
    println!("worst Dice: {worst:?}, {done:?}");
}

#[test]
fn lungs_lie_inside_their_box() {
    // Share of lung voxels that may lie outside over the whole set. One truth mask of lungs2d holds the ring around
    // the patient, which is 0.157 % of all.
    for (set, most) in [("lungs2d", 0.002), ("covid20", 0.0001), ("medseg", 0.0001)] {
        let (mut outside, mut total) = (0u64, 0u64);
        with_lungs(set, |name, ct, lung| {
            let map = ct.grid.axis_map();
            let ways = prepare(ct, &map, &PrepareConfig::default()).value.ways;
            assert!(ways.iter().all(|w| w.roi_found), "{set} {name}");
            let mut slice = vec![0; ways[0].canonical.iter().product()];
            for way in &ways {
                let [h, w] = way.canonical;
                map.read_slice(lung, way.z, &mut slice);
                let all = slice.iter().filter(|&&v| v != 0).count();
                let inside = way.crop.cut(&slice, h, w, 0).iter().filter(|&&v| v != 0).count();
                outside += (all - inside) as u64;
                total += all as u64;
            }
        });
        let share = outside as f64 / total.max(1) as f64;
        println!("{set}: {outside} of {total} lung voxels outside the box: {:.4} %", 100.0 * share);
        assert!(share <= most, "{set}: {share}");
    }
}

#[test]
fn apex_and_base_contradict_the_header_where_they_do() {
    with_lungs("medseg", |name, ct, lung| {
        let found = apex_base_check(lung, &ct.grid.axis_map()).unwrap();
        assert_eq!(found.agrees, !name.starts_with("radiopaedia_7_"), "{name} {found:?}");
        assert!(found.confidence > 0.6, "{name} {found:?}");
    });
}

#[test]
fn both_lungs_are_found_in_real_masks() {
    with_lungs("medseg", |name, ct, lung| {
        let sides = split_lungs(lung.clone(), &ct.grid.axis_map());
        let count = |label: u8| sides.data().iter().filter(|&&v| v == label).count() as f64;
        let ratio = count(LUNG_RIGHT) / count(LUNG_LEFT);
        assert!((0.9..1.4).contains(&ratio), "{name}: right to left {ratio}");
    });
}
