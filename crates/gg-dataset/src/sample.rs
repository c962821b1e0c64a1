//! One prepared slice with its truth, and where such slices come from.

use crate::CacheError;

/// What a network learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Whether a slice shows infection: one number per slice.
    Classify,
    /// Which pixels are lung: one mask per slice.
    Lung,
    /// Which pixels are infected: one mask per slice.
    Infection,
}

impl Task {
    /// Name as it stands in outputs, configs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Lung => "lung",
            Self::Infection => "infection",
        }
    }
}

/// One prepared slice at the network's size, row-major, with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Grey values, `size * size`.
    pub image: Vec<u8>,
    /// 1 inside the lungs, else 0; `size * size`.
    pub lung: Option<Vec<u8>>,
    /// 1 where infected, else 0; `size * size`.
    pub infection: Option<Vec<u8>>,
    /// Whether the whole slice (before cropping) shows infection.
    pub infected: Option<bool>,
    /// Index of the case in its source.
    pub case: usize,
    /// Canonical slice, 0 nearest the feet where the orientation is known.
    pub z: usize,
}

/// What is known about a sample without reading its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleInfo {
    /// Index of the case in its source.
    pub case: usize,
    /// Canonical slice.
    pub z: usize,
    /// Whether the whole slice shows infection.
    pub infected: Option<bool>,
    /// Number of lung pixels at the network's size, where a lung mask exists.
    pub lung_pixels: Option<u32>,
    /// Number of infected pixels at the network's size, where an infection mask exists.
    pub infection_pixels: Option<u32>,
}

impl SampleInfo {
    /// Whether the truth that a task needs is known for this sample.
    pub fn has_target(&self, task: Task) -> bool {
        match task {
            Task::Classify => self.infected.is_some(),
            Task::Lung => self.lung_pixels.is_some(),
            Task::Infection => self.infection_pixels.is_some(),
        }
    }

    /// Whether the slice counts as positive when positive and negative slices are balanced.
    pub fn is_positive(&self, task: Task) -> bool {
        match task {
            Task::Classify => self.infected == Some(true),
            Task::Lung => self.lung_pixels.is_some_and(|n| n > 0),
            Task::Infection => self.infection_pixels.is_some_and(|n| n > 0),
        }
    }
}

/// Where batches take their samples from: the prepared cache, or memory in tests and demonstrations.
pub trait SampleSource: Send + Sync {
    /// Side of the square slices in pixels.
    fn size(&self) -> usize;
    /// One entry per sample; the samples of a case stand together, by rising `z`.
    fn infos(&self) -> &[SampleInfo];
    /// Reads one sample.
    ///
    /// # Errors
    /// [`CacheError`] where a file of the cache can no longer be read.
    fn sample(&self, index: usize) -> Result<Sample, CacheError>;
    /// Reads the grey values of one sample alone.
    ///
    /// # Errors
    /// As [`SampleSource::sample`].
    fn image(&self, index: usize) -> Result<Vec<u8>, CacheError> {
        Ok(self.sample(index)?.image)
    }
}

/// Samples held in memory.
#[derive(Debug, Clone)]
pub struct MemorySamples {
    size: usize,
    samples: Vec<Sample>,
    infos: Vec<SampleInfo>,
}

impl MemorySamples {
    /// Takes the samples, whose pictures and masks must have `size * size` pixels each.
    ///
    /// # Errors
    /// [`CacheError::SampleSize`] where one has another number of pixels.
    pub fn new(size: usize, samples: Vec<Sample>) -> Result<Self, CacheError> {
        for s in &samples {
            for plane in [Some(&s.image), s.lung.as_ref(), s.infection.as_ref()].into_iter().flatten() {
                if plane.len() != size * size {
                    return Err(CacheError::SampleSize { found: plane.len(), size });
                }
            }
        }
        let infos = samples.iter().map(info_of).collect();
        Ok(Self { size, samples, infos })
    }
}

impl SampleSource for MemorySamples {
    fn size(&self) -> usize {
        self.size
    }

    fn infos(&self) -> &[SampleInfo] {
        &self.infos
    }

    fn sample(&self, index: usize) -> Result<Sample, CacheError> {
        Ok(self.samples[index].clone())
    }
}

/// What can be told about a sample from its pixels.
pub(crate) fn info_of(sample: &Sample) -> SampleInfo {
    let count = |mask: &Option<Vec<u8>>| mask.as_ref().map(|m| m.iter().filter(|&&v| v != 0).count() as u32);
    SampleInfo {
        case: sample.case,
        z: sample.z,
        infected: sample.infected,
        lung_pixels: count(&sample.lung),
        infection_pixels: count(&sample.infection),
    }
}
