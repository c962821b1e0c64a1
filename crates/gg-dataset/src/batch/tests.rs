//! Batches: their order, their content, their threads.

use super::*;
use crate::CacheError;
use crate::augment::all_changes;
use crate::sample::{MemorySamples, Sample, SampleInfo};
use std::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 8;

/// `n` samples in cases of five slices; the picture of sample i is full of i; every fourth is infected.
fn samples(n: usize) -> Arc<dyn SampleSource> {
    let sample = |i: usize| {
        let infected = i.is_multiple_of(4);
        Sample {
            image: vec![i as u8; SIZE * SIZE],
            lung: Some(vec![1; SIZE * SIZE]),
            infection: Some(vec![u8::from(infected); SIZE * SIZE]),
            infected: Some(infected),
            case: i / 5,
            z: i % 5,
        }
    };
    Arc::new(MemorySamples::new(SIZE, (0..n).map(sample).collect()).unwrap())
}

fn loader(n: usize, config: LoaderConfig) -> BatchLoader {
    BatchLoader::new(samples(n), (0..n).collect(), config).unwrap()
}

fn all(batches: Batches) -> Vec<Batch> {
    batches.map(Result::unwrap).collect()
}

#[test]
fn evaluation_gives_every_sample_once_in_order() {
    let batches = all(loader(10, LoaderConfig::evaluation(Task::Classify, 4)).epoch(0, 0));
    let order: Vec<usize> = batches.iter().flat_map(|b| b.samples.clone()).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    assert_eq!(batches.iter().map(|b| b.n).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(batches[1].targets, [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(batches[0].images.len(), 4 * SIZE * SIZE);
    assert_eq!(batches[0].images[SIZE * SIZE], 1.0 / 255.0);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let config = LoaderConfig { threads: 1, ..LoaderConfig::training(Task::Infection, 3, 9, all_changes()) };
    let one = all(loader(40, config.clone()).epoch(2, 0));
    for (threads, queue) in [(2, 1), (4, 8)] {
        let other = LoaderConfig { threads, queue, ..config.clone() };
        assert_eq!(all(loader(40, other).epoch(2, 0)), one);
    }
    assert_ne!(all(loader(40, config).epoch(3, 0)), one);
}

#[test]
fn an_epoch_entered_in_the_middle_goes_on_as_if_uninterrupted() {
    let config = LoaderConfig::training(Task::Infection, 4, 1, all_changes());
    let whole = all(loader(30, config.clone()).epoch(5, 0));
    let rest = loader(30, config).epoch(5, 3);
    assert_eq!(rest.step(), 3);
    assert_eq!(all(rest), whole[3..]);
}

#[test]
fn class_weights_follow_the_class() {
    let config =
        LoaderConfig { class_weights: Some([0.5, 2.0]), ..LoaderConfig::evaluation(Task::Infection, 5) };
    let batch = all(loader(5, config).epoch(0, 0)).remove(0);
    assert_eq!(batch.weights, [2.0, 0.5, 0.5, 0.5, 2.0]);
}

#[test]
fn neighbours_are_channels_and_do_not_cross_cases() {
    let config = LoaderConfig { channels: 3, ..LoaderConfig::evaluation(Task::Lung, 10) };
    let batch = all(loader(10, config).epoch(0, 0)).remove(0);
    let plane = SIZE * SIZE;
    let channels = |i: usize| {
        (0..3).map(|c| (batch.images[(i * 3 + c) * plane] * 255.0).round() as usize).collect::<Vec<_>>()
    };
    assert_eq!(
        (channels(0), channels(2), channels(4), channels(5)),
        (vec![0, 0, 1], vec![1, 2, 3], vec![3, 4, 4], vec![5, 5, 6],)
    );
    assert_eq!((batch.images.len(), batch.targets.len()), (10 * 3 * plane, 10 * plane));
}

#[test]
fn lesions_are_laid_into_other_lungs_with_their_truth_for_masks_and_labels_alike() {
    // Sample 0 has a lesion at the right, the others none; sample 3 has no lung mask, sample 4 lungs at the left alone.
    let half =
        |left: bool| (0..SIZE * SIZE).map(|i| u8::from((i % SIZE < SIZE / 2) == left)).collect::<Vec<_>>();
    let sample = |i: usize| Sample {
        image: vec![100 + 20 * i as u8; SIZE * SIZE],
        lung: (i != 3).then(|| if i == 4 { half(true) } else { vec![1; SIZE * SIZE] }),
        infection: Some(if i == 0 { half(false) } else { vec![0; SIZE * SIZE] }),
        infected: Some(i == 0),
        case: i,
        z: 0,
    };
    let source = Arc::new(MemorySamples::new(SIZE, (0..5).map(sample).collect()).unwrap());
    let augment = AugmentConfig { lesion_mix: 1.0, ..AugmentConfig::identity() };
    let mut laid = [0; 5];
    for task in [Task::Infection, Task::Classify] {
        let config = LoaderConfig {
            class_weights: Some([0.5, 2.0]),
            ..LoaderConfig::training(task, 1, 7, augment.clone())
        };
        let loader = BatchLoader::new(source.clone(), (0..5).collect(), config).unwrap();
        for batch in (0..12).flat_map(|epoch| all(loader.epoch(epoch, 0))) {
            let own = batch.samples[0];
            let deep = |x: usize| (batch.images[3 * SIZE + x] * 255.0).round() as usize;
            // Deep inside the right half, where the seam does not reach, stands sample 0 or the sample itself.
            let mixed = own != 0 && deep(SIZE - 1) < 110;
            assert_eq!(deep(0), 100 + 20 * own);
            assert!(mixed || deep(SIZE - 1) == 100 + 20 * own, "{own}: {}", deep(SIZE - 1));
            let positive = own == 0 || mixed;
            match task {
                Task::Classify => assert_eq!(batch.targets, [f32::from(u8::from(positive))]),
                _ => {
                    let expected = half(false)
                        .iter()
                        .map(|&m| f32::from(m) * f32::from(u8::from(positive)))
                        .collect::<Vec<_>>();
                    assert_eq!(batch.targets, expected);
                }
            }
            // The class is the slice's own, as it was counted.
            assert_eq!(batch.weights, [if own == 0 { 2.0 } else { 0.5 }]);
            laid[own] += usize::from(mixed);
        }
    }
    assert!(laid[1] > 0 && laid[2] > 0, "{laid:?}");
    assert_eq!((laid[0], laid[3], laid[4]), (0, 0, 0));
    // Lungs stay what they are, whatever is laid into them.
    let lungs = LoaderConfig::training(Task::Lung, 1, 7, augment);
    let loader = BatchLoader::new(source, vec![0, 1, 4], lungs).unwrap();
    let mut mixed = 0;
    for batch in (0..12).flat_map(|epoch| all(loader.epoch(epoch, 0))) {
        let own = batch.samples[0];
        let expected = if own == 4 { half(true) } else { vec![1; SIZE * SIZE] };
        assert_eq!(batch.targets, expected.into_iter().map(f32::from).collect::<Vec<_>>());
        let deep = (batch.images[4 * SIZE - 1] * 255.0).round() as usize;
        mixed += usize::from(deep != 100 + 20 * own);
    }
    assert!(mixed > 0);
}

#[test]
fn settings_and_samples_that_cannot_work_are_refused() {
    let check = |config: LoaderConfig, expected: &str| {
        let error = BatchLoader::new(samples(3), vec![0, 1], config).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(LoaderConfig::evaluation(Task::Lung, 0), "batch size is 0");
    check(LoaderConfig { channels: 2, ..LoaderConfig::evaluation(Task::Lung, 1) }, "an odd number");
    let none = BatchLoader::new(samples(3), vec![], LoaderConfig::evaluation(Task::Lung, 1));
    assert!(matches!(none.err(), Some(BatchError::Empty)));
    let blind = Sample { image: vec![0; 4], lung: None, infection: None, infected: None, case: 0, z: 0 };
    let blind = Arc::new(MemorySamples::new(2, vec![blind]).unwrap());
    for task in [Task::Classify, Task::Lung, Task::Infection] {
        let loader = BatchLoader::new(blind.clone(), vec![0], LoaderConfig::evaluation(task, 1));
        assert!(matches!(loader.err(), Some(BatchError::NoTarget { found: 1, of: 1, .. })));
    }
}

/// Counts reads, and fails or panics from one sample on.
struct Failing {
    inner: Arc<dyn SampleSource>,
    reads: AtomicUsize,
    from: usize,
    panics: bool,
}

impl SampleSource for Failing {
    fn size(&self) -> usize {
        self.inner.size()
    }
    fn infos(&self) -> &[SampleInfo] {
        self.inner.infos()
    }
    fn sample(&self, index: usize) -> Result<Sample, CacheError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if index >= self.from {
            assert!(!self.panics, "a broken source");
            return Err(CacheError::Changed);
        }
        self.inner.sample(index)
    }
}

fn failing(from: usize, panics: bool) -> (Arc<Failing>, BatchLoader) {
    let source = Arc::new(Failing { inner: samples(200), reads: AtomicUsize::new(0), from, panics });
    let config = LoaderConfig { threads: 3, queue: 2, ..LoaderConfig::evaluation(Task::Lung, 4) };
    (source.clone(), BatchLoader::new(source, (0..200).collect(), config).unwrap())
}

#[test]
fn dropping_the_batches_ends_their_threads_and_the_queue_is_bounded() {
    let (source, loader) = failing(usize::MAX, false);
    let mut batches = loader.epoch(0, 0);
    batches.next().unwrap().unwrap();
    drop(batches);
    let reads = source.reads.load(Ordering::SeqCst);
    // One batch taken and two waiting, of four samples each; what is being made when it ends is among them.
    assert!(reads <= 12, "{reads} samples were read for one batch");
    drop(loader);
    assert_eq!(Arc::strong_count(&source), 1);
}

#[test]
fn an_error_arrives_in_its_place_and_ends_the_epoch() {
    let (_, loader) = failing(10, false);
    let results: Vec<Result<Batch, BatchError>> = loader.epoch(0, 0).collect();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn a_panic_in_a_thread_is_an_error_not_a_hang() {
    let (_, loader) = failing(0, true);
    let results: Vec<Result<Batch, BatchError>> = loader.epoch(0, 0).collect();
    assert!(matches!(results[..], [Err(BatchError::ThreadLost)]));
}
