//! Batches as plain arrays, made on other threads while the network computes.
//!
//! The order of samples is fixed by (seed, epoch), the change of each by (seed, epoch, its place in that order): the
//! batches are the same bytes at any number of threads, and an epoch can be entered at any step.

mod epoch;
mod order;
mod shown;
#[cfg(test)]
mod tests;

use crate::BatchError;
use crate::augment::{AugmentConfig, lesions};
use crate::neighbours::neighbours;
use crate::sample::{SampleSource, Task};
pub use epoch::Batches;
use shown::Shown;
use std::sync::Arc;

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
    /// How far scans are balanced in a shuffled epoch: 0 shows every slice once, 1 every scan equally often.
    pub balance: f64,
    /// Random changes; `None` for evaluation.
    pub augment: Option<AugmentConfig>,
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
            balance: 0.0,
            augment: None,
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

    /// Batches in one epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.chosen.len().div_ceil(self.config.batch)
    }

    /// The samples of one epoch in their order.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        if !self.config.shuffle {
            return self.chosen.to_vec();
        }
        let infos = self.source.infos();
        order::drawn(&self.chosen, |i| infos[i].case, self.config.balance, self.config.seed, epoch)
    }

    /// The batches of one epoch from `start_step` on; dropping the iterator ends its threads.
    pub fn epoch(&self, epoch: u64, start_step: usize) -> Batches {
        Batches::start(self.clone(), epoch, start_step)
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
        for place in from..to {
            self.append(&mut batch, order, epoch, place)?;
        }
        Ok(batch)
    }

    /// Adds one sample, changed as its place in the epoch says.
    fn append(&self, batch: &mut Batch, order: &[usize], epoch: u64, place: usize) -> Result<(), BatchError> {
        let config = &self.config;
        let index = order[place];
        let mut shown = self.changed(index, epoch, place)?;
        if let Some(changes) = &config.augment {
            let seed = [config.seed, epoch, place as u64];
            if let Some(other) = lesions::draw(changes.lesion_mix, order.len(), seed)
                && self.source.infos()[order[other]].is_positive(Task::Infection)
            {
                shown.transplant(&self.changed(order[other], epoch, other)?, batch.size);
            }
        }
        for image in &shown.images {
            batch.images.extend(image.iter().map(|&v| f32::from(v) / 255.0));
        }
        let missing = || BatchError::NoTarget { found: 1, of: 1, task: config.task.name() };
        let target = match config.task {
            Task::Classify => None,
            Task::Lung => Some(shown.lung.as_ref().ok_or_else(missing)?),
            Task::Infection => Some(shown.infection.as_ref().ok_or_else(missing)?),
        };
        match target {
            Some(mask) => batch.targets.extend(mask.iter().map(|&v| f32::from(u8::from(v != 0)))),
            None => batch.targets.push(f32::from(u8::from(shown.infected))),
        }
        // As it was counted, whatever lesions were laid in.
        let class = usize::from(self.source.infos()[index].is_positive(config.task));
        batch.weights.push(config.class_weights.map_or(1.0, |w| w[class]));
        Ok(())
    }

    /// The pictures and masks of one sample, changed as its place in the epoch says.
    fn changed(&self, index: usize, epoch: u64, place: usize) -> Result<Shown, BatchError> {
        let config = &self.config;
        let sample = self.source.sample(index)?;
        let mut images = Vec::with_capacity(config.channels);
        for neighbour in self.channels_of(index) {
            images.push(if neighbour == index {
                sample.image.clone()
            } else {
                self.source.image(neighbour)?
            });
        }
        // Masks that nobody looks at are not turned and bent along.
        let mixes = config.augment.as_ref().is_some_and(|c| c.lesion_mix > 0.0);
        let lung = sample.lung.filter(|_| mixes || config.task == Task::Lung);
        let infection = sample.infection.filter(|_| mixes || config.task == Task::Infection);
        let infected = self.source.infos()[index].infected == Some(true);
        let mut shown = Shown { images, lung, infection, infected };
        if let Some(changes) = &config.augment {
            shown.change(self.source.size(), changes, [config.seed, epoch, place as u64]);
        }
        Ok(shown)
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
    if !(0.0..=1.0).contains(&config.balance) {
        return setting("the balance of scans", config.balance.to_string(), "0 to 1");
    }
    if config.channels.is_multiple_of(2) {
        return setting("the number of channels", config.channels.to_string(), "an odd number");
    }
    Ok(())
}
