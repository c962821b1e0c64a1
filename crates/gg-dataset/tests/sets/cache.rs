//! The prepared cache, and batches from it.

use crate::fixtures::{Folder, kaggle, lungs};
use gg_dataset::{
    BatchLoader, Cache, CacheError, CacheOptions, Datasets, LoaderConfig, Part, PreparedCases, SampleSource,
    Split, Task,
};
use gg_imaging::{PrepareConfig, RoiConfig, RoiMode};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn config() -> PrepareConfig {
    PrepareConfig {
        size: 32,
        roi: RoiConfig { mode: RoiMode::None, ..RoiConfig::default() },
        ..PrepareConfig::default()
    }
}

fn sets(folder: &Folder) -> Datasets {
    Datasets::open(&[folder.root().to_owned()]).map_err(|(_, e)| e).unwrap().value
}

fn build(
    dir: &Path,
    folder: &Folder,
    config: &PrepareConfig,
    memory_bytes: u64,
) -> Result<Cache, CacheError> {
    let options = CacheOptions { memory_bytes, ..CacheOptions::default() };
    Cache::build(dir, &sets(folder), config, &options, &|_| ControlFlow::Continue(()))
}

fn all(cache: &Cache) -> Vec<gg_dataset::Sample> {
    (0..cache.infos().len()).map(|i| cache.sample(i).unwrap()).collect()
}

#[test]
fn a_cache_holds_every_slice_with_masks_labels_and_ways() {
    let (folder, dir) = (kaggle(3, Some(&[0, 1, 2])), Folder::new());
    let cache = build(dir.root(), &folder, &config(), 1 << 30).unwrap();
    let summary = cache.summary();
    assert_eq!((summary.cases, summary.slices, summary.positive, summary.negative), (3, 19, 7, 12));
    assert_eq!((summary.reused, summary.unlabelled), (0, 0));
    let case = &cache.cases()[1];
    assert_eq!((case.canonical_shape[0], case.ways.len(), case.samples.clone()), (7, 7, 6..13));
    let sample = cache.sample(6 + 5).unwrap();
    assert_eq!((sample.case, sample.z, sample.infected), (1, 5, Some(true)));
    assert_eq!(sample.image.len(), 32 * 32);
    let infected = sample.infection.unwrap();
    assert!(infected.iter().zip(&sample.lung.unwrap()).all(|(&i, &l)| l >= i && i <= 1));
    assert_eq!(
        infected.iter().map(|&v| u32::from(v)).sum::<u32>(),
        cache.infos()[11].infection_pixels.unwrap()
    );
    assert!(cache.infos()[11].infection_pixels.unwrap() > 0);
}

#[test]
fn what_is_there_is_kept_and_samples_are_the_same_from_disk_and_memory() {
    let (folder, dir) = (kaggle(2, None), Folder::new());
    let first = build(dir.root(), &folder, &config(), 1 << 30).unwrap();
    let second = build(dir.root(), &folder, &config(), 0).unwrap();
    assert_eq!((first.summary().reused, second.summary().reused), (0, 2));
    assert_eq!(all(&first), all(&second));
    assert_eq!(first.cases(), second.cases());
}

#[test]
fn a_single_case_is_what_the_preparation_makes_whether_it_was_in_the_cache_or_not() {
    let (folder, full, empty) = (kaggle(2, None), Folder::new(), Folder::new());
    build(full.root(), &folder, &config(), 0).unwrap();
    let sets = sets(&folder);
    for dir in [&full, &empty] {
        let cases = PreparedCases::open(dir.root(), CacheOptions::default()).unwrap();
        for case in sets.cases() {
            let loaded = sets.sets[0].load(case, &Default::default()).unwrap();
            let ct = &loaded.scan.ct;
            let expected = gg_imaging::prepare(ct, &ct.grid.axis_map(), &config());
            for _ in 0..2 {
                assert_eq!(cases.get(case, &loaded, &config()).unwrap(), expected);
            }
        }
        cases.close().unwrap();
    }
    let reused = build(empty.root(), &folder, &config(), 0).unwrap().summary().reused;
    assert_eq!(reused, 2, "a training finds what a prediction prepared");
}

#[test]
fn one_scan_under_two_patients_is_remarked() {
    let (folder, dir) = (kaggle(3, Some(&[0, 1, 2])), Folder::new());
    let codes = |cache: Cache| cache.warnings().into_iter().map(|w| w.code).collect::<Vec<_>>();
    let remark = "scan_of_two_patients".to_owned();
    assert!(!codes(build(dir.root(), &folder, &config(), 0).unwrap()).contains(&remark));
    std::fs::copy(folder.root().join("ct_scans/scan_0.nii"), folder.root().join("ct_scans/scan_2.nii"))
        .unwrap();
    assert!(codes(build(dir.root(), &folder, &config(), 0).unwrap()).contains(&remark));
}

#[test]
fn a_change_of_settings_or_of_an_input_prepares_anew() {
    let (folder, dir) = (kaggle(2, None), Folder::new());
    build(dir.root(), &folder, &config(), 0).unwrap();
    let other = PrepareConfig { size: 16, ..config() };
    assert_eq!(build(dir.root(), &folder, &other, 0).unwrap().summary().reused, 0);
    assert_eq!(build(dir.root(), &folder, &config(), 0).unwrap().summary().reused, 2);
    let changed = lungs(6).map(|v| u8::from(v == 1));
    folder.labels("lung_mask/mask_0.nii", &changed);
    let cache = build(dir.root(), &folder, &config(), 0).unwrap();
    assert_eq!(cache.summary().reused, 1);
    assert!(cache.infos()[0].lung_pixels < cache.infos()[6].lung_pixels);
}

#[test]
fn a_damaged_file_is_made_again() {
    let (folder, dir) = (kaggle(2, None), Folder::new());
    let whole = all(&build(dir.root(), &folder, &config(), 0).unwrap());
    let file = std::fs::read_dir(dir.root())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "ggcase"))
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let again = build(dir.root(), &folder, &config(), 0).unwrap();
    assert_eq!(again.summary().reused, 1);
    assert_eq!(all(&again), whole);
    std::fs::write(&file, &bytes[..100]).unwrap();
    assert!(matches!(all_or_error(&again), Err(CacheError::Changed)));
}

fn all_or_error(cache: &Cache) -> Result<(), CacheError> {
    (0..cache.infos().len()).try_for_each(|i| cache.sample(i).map(drop))
}

#[test]
fn an_interrupted_preparation_keeps_what_is_finished() {
    let (folder, dir) = (kaggle(3, None), Folder::new());
    let options = CacheOptions { cases_at_once: 1, ..CacheOptions::default() };
    let told = AtomicUsize::new(0);
    let stopped = Cache::build(dir.root(), &sets(&folder), &config(), &options, &|p| {
        assert_eq!((p.total, p.reused, p.finished), (3, 0, told.fetch_add(1, Ordering::SeqCst) + 1));
        if p.finished == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(CacheError::Interrupted)));
    assert_eq!(build(dir.root(), &folder, &config(), 0).unwrap().summary().reused, 2);
}

#[test]
fn the_first_failing_case_is_the_error_and_a_later_run_goes_on() {
    let (folder, dir) = (kaggle(3, None), Folder::new());
    let good = std::fs::read(folder.root().join("ct_scans/scan_1.nii")).unwrap();
    folder.text("ct_scans/scan_1.nii", "broken");
    let error = build(dir.root(), &folder, &config(), 0).unwrap_err().to_string();
    assert!(error.contains("case `scan_1`"), "{error}");
    std::fs::write(folder.root().join("ct_scans/scan_1.nii"), good).unwrap();
    assert!(build(dir.root(), &folder, &config(), 0).unwrap().summary().reused >= 1);
    let bad = PrepareConfig { size: 0, ..config() };
    assert!(matches!(build(dir.root(), &folder, &bad, 0), Err(CacheError::Prepare(_))));
}

#[test]
fn trimmed_slices_and_missing_lung_regions_are_counted() {
    let (folder, dir) = (kaggle(1, None), Folder::new());
    let paper = PrepareConfig { size: 32, ..PrepareConfig::paper() };
    let cache = build(dir.root(), &folder, &paper, 0).unwrap();
    // round(0.2 * 6) .. round(0.8 * 6) of six slices.
    assert_eq!((cache.summary().slices, cache.summary().dropped["trimmed"]), (4, 2));
    assert_eq!(cache.cases()[0].slice_infected.as_ref().unwrap().len(), 6);
    assert!(cache.summary().roi_failed <= 4);
}

#[test]
fn no_file_of_a_cache_holds_a_path_or_a_name() {
    let (folder, dir) = (kaggle(1, Some(&[0])), Folder::new());
    build(dir.root(), &folder, &config(), 0).unwrap();
    let place = folder.root().to_string_lossy().into_owned();
    for entry in std::fs::read_dir(dir.root()).unwrap() {
        let entry = entry.unwrap();
        let text = format!(
            "{:?} {}",
            entry.file_name(),
            String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap())
        );
        for marker in [place.as_str(), "scan_0", "mask_0"] {
            assert!(!text.contains(marker), "{marker} in {:?}", entry.file_name());
        }
    }
}

#[test]
fn batches_of_a_part_come_from_its_patients_alone() {
    let (folder, dir) = (kaggle(4, Some(&[0, 1, 2, 2])), Folder::new());
    let cache = Arc::new(build(dir.root(), &folder, &config(), 1 << 30).unwrap());
    let mut cases = sets(&folder).split_cases();
    for (case, cached) in cases.iter_mut().zip(cache.cases()) {
        case.slices = Some(cached.canonical_shape[0]);
    }
    let split = Split::by_patient(&cases, 3, 1).unwrap();
    let mut tested = 0;
    for fold in 0..3 {
        let parts = split.parts(fold).unwrap();
        let of = |part| cache.samples(&parts, part, Task::Infection);
        let (train, val, test) = (of(Part::Train), of(Part::Val), of(Part::Test));
        assert_eq!(train.len() + val.len() + test.len(), cache.infos().len());
        tested += test.len();
        let positive = cache.without_blank(&train);
        assert!(positive.iter().all(|&i| cache.infos()[i].infected == Some(true)));
        assert_eq!(
            (cache.thin_blank(&train, 1.0), cache.thin_blank(&train, 0.0)),
            (train.clone(), positive.clone())
        );
        let thinned = cache.thin_blank(&train, 0.5);
        assert_eq!(thinned.len(), positive.len() + (train.len() - positive.len()) / 2);
        assert!(positive.iter().all(|i| thinned.contains(i)));
        let loader =
            BatchLoader::new(cache.clone(), positive, LoaderConfig::evaluation(Task::Infection, 2)).unwrap();
        for batch in loader.epoch(0, 0) {
            assert!(batch.unwrap().targets.contains(&1.0));
        }
    }
    assert_eq!(tested, cache.infos().len());
    // A split by slice knows every slice of every case.
    let split = Split::by_slice(&cases, 2, 1).unwrap();
    let parts = split.parts(0).unwrap();
    let all: usize = [Part::Train, Part::Val, Part::Test]
        .map(|p| cache.samples(&parts, p, Task::Classify).len())
        .iter()
        .sum();
    assert_eq!(all, cache.infos().len());
}
