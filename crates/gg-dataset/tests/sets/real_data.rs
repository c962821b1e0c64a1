//! The real sets, where they are present: counts, orientation of labels, joined patients.

use gg_dataset::{Cache, CacheOptions, Dataset, Datasets, Layout, Part, SampleSource, Split};
use gg_io::ReadOptions;
use gg_testkit::real_data;
use std::collections::BTreeSet;
use std::path::Path;

fn open(root: &Path, layout: Layout) -> Dataset {
    let set = Dataset::open(root).unwrap().value;
    assert_eq!(set.layout, layout);
    set
}

#[test]
fn the_real_sets_have_the_counts_of_their_description() {
    let Some(data) = real_data("the_real_sets_have_the_counts_of_their_description") else { return };
    let covid20 = open(&data.join("covid20"), Layout::SliceTable).summary();
    assert_eq!((covid20.cases, covid20.patients, covid20.slices), (14, Some(13), Some(1266)));
    assert_eq!(covid20.folds.len(), 5);
    let medseg = open(&data.join("medseg"), Layout::Kaggle).summary();
    assert_eq!((medseg.cases, medseg.patients, medseg.with_infection_mask), (5, Some(4), 5));
    let medseg100 = open(&data.join("medseg100"), Layout::FolderPairs).summary();
    assert_eq!((medseg100.cases, medseg100.with_lung_mask, medseg100.with_infection_mask), (50, 0, 50));
    let lungs2d = open(&data.join("lungs2d"), Layout::FolderPairs).summary();
    assert_eq!((lungs2d.cases, lungs2d.with_lung_mask), (213, 213));
    assert_eq!(open(&data.join("lungs3d"), Layout::FolderPairs).cases.len(), 2);
    let dicom = open(&data.join("hu_dicom"), Layout::DicomTable).summary();
    assert_eq!((dicom.cases, dicom.slice_labels), (2, Some([80, 68, 52])));
    let pictures = open(&data.join("covidct"), Layout::PictureTable).summary();
    assert_eq!((pictures.parts[&Part::Train], pictures.parts[&Part::Val]), (425, 118));
    assert_eq!((pictures.classes["covid"], pictures.classes["non_covid"]), (251, 292));
}

#[test]
fn covid20_and_medseg_together_are_thirteen_patients_and_no_fold_tears_one() {
    let name = "covid20_and_medseg_together_are_thirteen_patients_and_no_fold_tears_one";
    let Some(data) = real_data(name) else { return };
    let sets =
        Datasets::open(&[data.join("covid20"), data.join("medseg")]).map_err(|(_, e)| e).unwrap().value;
    let cases = sets.split_cases();
    let patients: BTreeSet<&str> = cases.iter().map(|c| c.patient.as_str()).collect();
    assert_eq!((cases.len(), patients.len()), (19, 13));
    let split = Split::from_table(&cases, 1).unwrap();
    assert_eq!(split.folds, 5);
    let parts = split.parts(1).unwrap();
    assert_eq!(parts.part_for("any", "radiopaedia_40_86625_0", 0), Some(Part::Test));
    assert_eq!(parts.test().len(), 4); // three volumes of covid20 and the same scan in medseg
    for case in &cases {
        assert_eq!(parts.part_of(&case.case, 0), parts.part_for("", &case.patient, 0));
    }
}

#[test]
fn slices_of_the_dicom_case_keep_their_labels_in_order_of_position() {
    let Some(data) = real_data("slices_of_the_dicom_case_keep_their_labels_in_order_of_position") else {
        return;
    };
    let set = open(&data.join("hu_dicom"), Layout::DicomTable);
    let load = |i: usize| set.load(&set.cases[i], &ReadOptions::default()).unwrap();
    // The rows of the table run from feet to head, as canonical slices do.
    assert_eq!(load(0).slice_infected, set.cases[0].slice_labels);
    assert_eq!(load(1).slice_infected, None);
}

#[test]
fn infection_of_real_volumes_lies_inside_their_lungs() {
    let Some(data) = real_data("infection_of_real_volumes_lies_inside_their_lungs") else { return };
    for (set, index) in [("medseg", 0), ("covid20", 8)] {
        let set = Dataset::open(&data.join(set)).unwrap().value;
        let case = set.load(&set.cases[index], &ReadOptions::default()).unwrap();
        let (lung, infection) = (case.lung.unwrap(), case.infection.unwrap());
        let both = lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l == 1 && i == 1).count();
        assert!(both as f64 > 0.95 * infection.count_foreground() as f64);
        assert!(infection.count_foreground() > 0);
    }
}

#[test]
fn resampled_masks_of_lungs3d_are_cut_with_a_warning() {
    let Some(data) = real_data("resampled_masks_of_lungs3d_are_cut_with_a_warning") else { return };
    let set = open(&data.join("lungs3d"), Layout::FolderPairs);
    let case = set.load(&set.cases[0], &ReadOptions::default()).unwrap();
    assert!(case.warnings.iter().any(|w| w.code == "mask_resampled"));
    let share = case.lung.as_ref().unwrap().count_foreground() as f64 / case.lung.unwrap().len() as f64;
    assert!((0.02..0.5).contains(&share), "{share}");
}

#[test]
fn a_real_volume_of_pictures_is_prepared_with_masks_that_fit() {
    let Some(data) = real_data("a_real_volume_of_pictures_is_prepared_with_masks_that_fit") else { return };
    let mut sets = Datasets::open(&[data.join("covid20")]).map_err(|(_, e)| e).unwrap().value;
    sets.sets[0].cases.retain(|c| c.case_id == "radiopaedia_10_85902_1");
    let dir = tempfile::tempdir().unwrap();
    let (config, options) = (gg_imaging::PrepareConfig::default(), CacheOptions::default());
    let go_on = |_| std::ops::ControlFlow::Continue(());
    let cache = Cache::build(dir.path(), &sets, &config, &options, &go_on).unwrap();
    let summary = cache.summary();
    assert_eq!((summary.slices, summary.positive), (11, 11));
    assert_eq!(summary.intensity["contrast_8bit"], 1);
    let (mut inside, mut all) = (0usize, 0usize);
    for i in 0..cache.infos().len() {
        let sample = cache.sample(i).unwrap();
        let (lung, infection) = (sample.lung.unwrap(), sample.infection.unwrap());
        all += infection.iter().filter(|&&v| v == 1).count();
        inside += lung.iter().zip(&infection).filter(|&(&l, &v)| l == 1 && v == 1).count();
    }
    assert!(all > 0 && inside as f64 > 0.95 * all as f64, "{inside} of {all}");
}
