//! Batches as plain arrays, made on other threads while the network computes.
//!
//! The order of samples is fixed by (seed, epoch), the change of each by (seed, epoch, its place in that order): the
//! batches are the same bytes at any number of threads, and an epoch can be entered at any step.

use crate::BatchError;
use crate::augment::{AugmentConfig, augment};
use crate::neighbours::neighbours;
use crate::random::{Purpose, Stream};
use crate::sample::{SampleSource, Task};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Samples laid side by side for a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Grey values from 0 to 1, `[n, channels, size, size]`.
    pub images: Vec<f32>,
    /// Truth, 0 or 1: `[n, 1, size, size]` for masks, `[n]` for slice labels.
    pub targets: Vec<f32>,
    /// Weight of each sample in the loss, `[n]`; 1 unless class weights were set.
    pub weights: Vec<f32>,
    /// Index of each sample in its source, `[n]`.
    pub samples: Vec<usize>,
    /// Number of samples.
    pub n: usize,
    /// Channels per picture: 1, or an odd number of neighbouring slices with the labelled one in the middle.
    pub channels: usize,
    /// Side of the square slices in pixels.
    pub size: usize,
}

/// How batches are made.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// Which truth goes into `targets`.
    pub task: Task,
    /// Samples per batch.
    pub batch: usize,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Whether each epoch has an order of its own; without, the order is that of the chosen samples.
    pub shuffle: bool,
    /// Whether the last batch of an epoch is left out where it is not full.
    pub drop_last: bool,
    /// Random changes; `None` for evaluation.
    pub augment: Option<AugmentConfig>,
    /// Share of positive slices that every epoch is drawn with (repeats fill it); `None` takes each sample once.
    pub positive_share: Option<f64>,
    /// Loss weights of negative and positive slices; `None` for 1 and 1.
    pub class_weights: Option<[f32; 2]>,
    /// 1, or an odd number of neighbouring slices as channels (meant for crops that do not differ between slices).
    pub channels: usize,
    /// Threads that make batches.
    pub threads: usize,
    /// Finished batches that may wait.
    pub queue: usize,
}

impl LoaderConfig {
    /// Plain batches in the given order, each sample once, nothing changed.
    pub fn evaluation(task: Task, batch: usize) -> Self {
        Self {
            task,
            batch,
            seed: 0,
            shuffle: false,
            drop_last: false,
            augment: None,
            positive_share: None,
            class_weights: None,
            channels: 1,
            threads: 1,
            queue: 4,
        }
    }

    /// Shuffled batches for training.
    pub fn training(task: Task, batch: usize, seed: u64, augment: AugmentConfig) -> Self {
        Self { seed, shuffle: true, augment: Some(augment), ..Self::evaluation(task, batch) }
    }
}

/// Makes the batches of any epoch over chosen samples of a source.
#[derive(Clone)]
pub struct BatchLoader {
    source: Arc<dyn SampleSource>,
    chosen: Arc<[usize]>,
    config: LoaderConfig,
}

impl BatchLoader {
    /// A loader over the samples `chosen` (indices into `source.infos()`).
    ///
    /// # Errors
    /// [`BatchError`] where nothing is chosen, a sample lacks the task's truth or a setting is out of range.
    pub fn new(
        source: Arc<dyn SampleSource>,
        chosen: Vec<usize>,
        config: LoaderConfig,
    ) -> Result<Self, BatchError> {
        check(&config)?;
        if chosen.is_empty() {
            return Err(BatchError::Empty);
        }
        let infos = source.infos();
        let found =
            chosen.iter().filter(|&&i| !infos.get(i).is_some_and(|s| s.has_target(config.task))).count();
        if found > 0 {
            return Err(BatchError::NoTarget { found, of: chosen.len(), task: config.task.name() });
        }
        Ok(Self { source, chosen: chosen.into(), config })
    }

    /// How the batches are made.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// The samples that are drawn from.
    pub fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// Where the samples come from.
    pub fn source(&self) -> &Arc<dyn SampleSource> {
        &self.source
    }

    /// Numbers of negative and positive slices among the chosen ones, e.g. for class weights.
    pub fn class_counts(&self) -> [usize; 2] {
        let infos = self.source.infos();
        let positive = self.chosen.iter().filter(|&&i| infos[i].is_positive(self.config.task)).count();
        [self.chosen.len() - positive, positive]
    }

    /// Batches in one epoch.
    pub fn steps_per_epoch(&self) -> usize {
        let (n, batch) = (self.chosen.len(), self.config.batch);
        if self.config.drop_last && n >= batch { n / batch } else { n.div_ceil(batch) }
    }

    /// The samples of one epoch in their order.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut stream = Stream::new(self.config.seed, Purpose::Order, epoch, 0);
        let mut order = match self.config.positive_share {
            None => self.chosen.to_vec(),
            Some(share) => self.balanced(share, &mut stream),
        };
        if self.config.shuffle {
            stream.shuffle(&mut order);
        }
        order
    }

    /// The batches of one epoch from `start_step` on; dropping the iterator ends its threads.
    pub fn epoch(&self, epoch: u64, start_step: usize) -> Batches {
        Batches::start(self.clone(), epoch, start_step)
    }

    /// As many draws as chosen samples, `share` of them positive; each kind is used up before it repeats.
    fn balanced(&self, share: f64, stream: &mut Stream) -> Vec<usize> {
        let infos = self.source.infos();
        let (positive, negative): (Vec<usize>, Vec<usize>) =
            self.chosen.iter().partition(|&&i| infos[i].is_positive(self.config.task));
        if positive.is_empty() || negative.is_empty() {
            return self.chosen.to_vec();
        }
        let wanted = (share * self.chosen.len() as f64).round() as usize;
        let mut order = draw(&positive, wanted, stream);
        order.extend(draw(&negative, self.chosen.len() - wanted, stream));
        order
    }

    /// Makes the batch of one step.
    fn make(&self, order: &[usize], epoch: u64, step: usize) -> Result<Batch, BatchError> {
        let config = &self.config;
        let from = step * config.batch;
        let to = (from + config.batch).min(order.len());
        let size = self.source.size();
        let plane = size * size;
        let n = to - from;
        let target_len = if config.task == Task::Classify { 1 } else { plane };
        let mut batch = Batch {
            images: Vec::with_capacity(n * config.channels * plane),
            targets: Vec::with_capacity(n * target_len),
            weights: Vec::with_capacity(n),
            samples: order[from..to].to_vec(),
            n,
            channels: config.channels,
            size,
        };
        for (place, &index) in (from..to).zip(&order[from..to]) {
            self.append(&mut batch, index, epoch, place)?;
        }
        Ok(batch)
    }

    /// Adds one sample, changed as its place in the epoch says.
    fn append(&self, batch: &mut Batch, index: usize, epoch: u64, place: usize) -> Result<(), BatchError> {
        let config = &self.config;
        let sample = self.source.sample(index)?;
        let info = self.source.infos()[index];
        let missing = || BatchError::NoTarget { found: 1, of: 1, task: config.task.name() };
        let mask = match config.task {
            Task::Classify => None,
            Task::Lung => Some(sample.lung.ok_or_else(missing)?),
            Task::Infection => Some(sample.infection.ok_or_else(missing)?),
        };
        let mut images = Vec::with_capacity(config.channels);
        for neighbour in self.channels_of(index) {
            images.push(if neighbour == index {
                sample.image.clone()
            } else {
                self.source.image(neighbour)?
            });
        }
        let mut masks: Vec<Vec<u8>> = mask.into_iter().collect();
        if let Some(changes) = &config.augment {
            let image_refs: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
            let mask_refs: Vec<&[u8]> = masks.iter().map(Vec::as_slice).collect();
            let seed = [config.seed, epoch, place as u64];
            let changed = augment(&image_refs, &mask_refs, batch.size, changes, seed);
            (images, masks) = (changed.images, changed.masks);
        }
        for image in &images {
            batch.images.extend(image.iter().map(|&v| f32::from(v) / 255.0));
        }
        match masks.first() {
            Some(mask) => batch.targets.extend(mask.iter().map(|&v| f32::from(u8::from(v != 0)))),
            None => batch.targets.push(f32::from(u8::from(info.infected == Some(true)))),
        }
        let class = usize::from(info.is_positive(config.task));
        batch.weights.push(config.class_weights.map_or(1.0, |w| w[class]));
        Ok(())
    }

    /// The samples that are the channels of one: its neighbours in the same case, itself in the middle.
    fn channels_of(&self, index: usize) -> Vec<usize> {
        let infos = self.source.infos();
        let adjacent = |i: usize| infos[i + 1].case == infos[i].case && infos[i + 1].z == infos[i].z + 1;
        neighbours(index, self.config.channels, infos.len(), adjacent)
    }
}

fn check(config: &LoaderConfig) -> Result<(), BatchError> {
    let setting = |what, found: String, right| Err(BatchError::Setting { what, found, right });
    if config.batch == 0 {
        return setting("the batch size", "0".into(), "at least 1");
    }
    if config.channels.is_multiple_of(2) {
        return setting("the number of channels", config.channels.to_string(), "an odd number");
    }
    if let Some(share) = config.positive_share.filter(|s| !(0.0..=1.0).contains(s)) {
        return setting("the share of positive slices", share.to_string(), "from 0 to 1");
    }
    Ok(())
}

/// `n` draws that use every item once before any repeats.
fn draw(items: &[usize], n: usize, stream: &mut Stream) -> Vec<usize> {
    let mut out = Vec::with_capacity(n);
    while out.len() < n {
        let mut round = items.to_vec();
        stream.shuffle(&mut round);
        round.truncate(n - out.len());
        out.append(&mut round);
    }
    out
}

/// What the threads of one epoch share.
struct Shared {
    state: Mutex<State>,
    /// A batch was finished, or a thread was lost.
    made: Condvar,
    /// A batch was taken, or all is over.
    taken: Condvar,
}

struct State {
    /// Next step that nobody makes yet.
    unclaimed: usize,
    /// Next step that the reader wants.
    wanted: usize,
    finished: BTreeMap<usize, Result<Batch, BatchError>>,
    stop: bool,
    /// A thread panicked: the batch that it was making will never come.
    lost: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batches of one epoch, in order.
pub struct Batches {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    steps: usize,
    failed: bool,
}

impl Batches {
    fn start(loader: BatchLoader, epoch: u64, start_step: usize) -> Self {
        let steps = loader.steps_per_epoch();
        let count = loader.config.threads.max(1).min(steps.saturating_sub(start_step));
        let queue = loader.config.queue.max(1);
        let order: Arc<[usize]> = loader.order(epoch).into();
        let state = State {
            unclaimed: start_step,
            wanted: start_step,
            finished: BTreeMap::new(),
            stop: false,
            lost: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), made: Condvar::new(), taken: Condvar::new() });
        let threads = (0..count)
            .map(|_| {
                let (shared, loader, order) = (shared.clone(), loader.clone(), order.clone());
                std::thread::spawn(move || work(&shared, &loader, &order, epoch, steps, queue))
            })
            .collect();
        Self { shared, threads, steps, failed: false }
    }

    /// The step whose batch comes next.
    pub fn step(&self) -> usize {
        self.shared.lock().wanted
    }
}

/// Tells the reader where a thread panicked.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().lost = true;
            self.0.made.notify_all();
        }
    }
}

fn work(shared: &Shared, loader: &BatchLoader, order: &[usize], epoch: u64, steps: usize, queue: usize) {
    let _leaving = Leaving(shared);
    loop {
        let mut state = shared.lock();
        while !state.stop && state.unclaimed < steps && state.unclaimed >= state.wanted + queue {
            state = shared.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop || state.unclaimed >= steps {
            return;
        }
        let step = state.unclaimed;
        state.unclaimed += 1;
        drop(state);
        let batch = loader.make(order, epoch, step);
        shared.lock().finished.insert(step, batch);
        shared.made.notify_all();
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut state = self.shared.lock();
        if state.wanted >= self.steps {
            return None;
        }
        loop {
            let wanted = state.wanted;
            if let Some(batch) = state.finished.remove(&wanted) {
                state.wanted += 1;
                self.shared.taken.notify_all();
                self.failed = batch.is_err();
                return Some(batch);
            }
            if state.lost {
                self.failed = true;
                return Some(Err(BatchError::ThreadLost));
            }
            state = self.shared.made.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.taken.notify_all();
        for thread in self.threads.drain(..) {
            // A panic of the thread has already reached the reader as `ThreadLost`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
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
        let config =
            LoaderConfig { threads: 1, ..LoaderConfig::training(Task::Infection, 3, 9, all_changes()) };
        let one = all(loader(40, config.clone()).epoch(2, 0));
        for (threads, queue) in [(2, 1), (4, 8)] {
            let other = LoaderConfig { threads, queue, ..config.clone() };
            assert_eq!(all(loader(40, other).epoch(2, 0)), one);
        }
        assert_ne!(all(loader(40, config).epoch(3, 0)), one);
    }

    #[test]
    fn an_epoch_entered_in_the_middle_goes_on_as_if_uninterrupted() {
        let config = LoaderConfig::training(Task::Lung, 4, 1, all_changes());
        let whole = all(loader(30, config.clone()).epoch(5, 0));
        let rest = loader(30, config).epoch(5, 3);
        assert_eq!(rest.step(), 3);
        assert_eq!(all(rest), whole[3..]);
    }

    #[test]
    fn balanced_sampling_draws_the_share_that_was_asked_for() {
        let config = LoaderConfig {
            positive_share: Some(0.5),
            ..LoaderConfig::training(Task::Classify, 8, 1, AugmentConfig::identity())
        };
        let loader = loader(40, config);
        assert_eq!(loader.class_counts(), [30, 10]);
        let batches = all(loader.epoch(0, 0));
        let positive: f32 = batches.iter().flat_map(|b| &b.targets).sum();
        assert_eq!(positive, 20.0);
        let mut order = loader.order(0);
        order.sort_unstable();
        // Every positive sample twice, negative ones at most once.
        assert!(order.iter().filter(|&&i| i % 4 == 0).count() == 20);
        assert!(order.windows(2).all(|w| w[0] != w[1] || w[0] % 4 == 0));
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
    fn settings_and_samples_that_cannot_work_are_refused() {
        let check = |config: LoaderConfig, expected: &str| {
            let error = BatchLoader::new(samples(3), vec![0, 1], config).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(LoaderConfig::evaluation(Task::Lung, 0), "batch size is 0");
        check(LoaderConfig { channels: 2, ..LoaderConfig::evaluation(Task::Lung, 1) }, "an odd number");
        check(LoaderConfig { positive_share: Some(1.5), ..LoaderConfig::evaluation(Task::Lung, 1) }, "1.5");
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
}
