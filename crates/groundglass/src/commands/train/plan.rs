//! What a training will do: all that it needs is read, chosen and, where it cannot be, refused, before a run folder is
//! touched.

use super::folder::{begun_with, check_run_folder, data_hash, enter};
use super::origin::{Origins, held_out, taken_over};
use super::remarks::{ONE_CLASS, ONE_SIDED, counts, lacking, one_sided};
use super::{inputs, question, without_int8};
use crate::args::TrainArgs;
use crate::commands::{Context, data};
use crate::manifest::{Compute, Known, PartCounts, Program, Training, patient_hash, patient_salt, sha256};
use crate::output::{self, Held};
use crate::scoring::Question;
use crate::settings::{Settings, TaskSettings};
use anyhow::{Result, bail};
use gg_dataset::{BatchLoader, Cache, Case, LoaderConfig, Part, SampleSource, Task};
use gg_nn::engine::Processor;
use gg_nn::{TrainConfig, TrainOutcome};
use gg_volume::Warning;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A training that can begin.
pub(super) struct Plan {
    pub(super) task: Task,
    /// What the labels of slices tell.
    pub(super) question: Question,
    pub(super) settings: Settings,
    pub(super) processor: Processor,
    /// Networks that it begins with or learns from.
    pub(super) origins: Origins,
    pub(super) chosen: data::Chosen,
    pub(super) cache: Arc<Cache>,
    /// Samples that the weights are fitted to.
    train: Vec<usize>,
    /// Samples that epoch, threshold and temperature are chosen on.
    val: Vec<usize>,
    /// What is said of the network that it begins with.
    begins: Option<String>,
    /// What was odd so far.
    pub(super) warnings: Vec<Warning>,
}

impl Plan {
    /// Reads and chooses everything.
    ///
    /// # Errors
    /// Whatever makes the training impossible or leaking; the run folder is as it was.
    pub(super) fn check(context: &Context, args: &TrainArgs) -> Result<Self> {
        let task = args.task.task();
        let processor = context.processor(Some(args.precision))?;
        without_int8(args.precision)?;
        let mut settings = Settings::resolve(&args.settings)?;
        settings.seed = args.seed.unwrap_or(settings.seed);
        settings.remarks().iter().for_each(|remark| context.console.warn_once(remark));
        output::check_apart(&args.out.out, &inputs(&args.dataset, args.init.iter().chain(&args.teacher)))?;
        check_run_folder(&args.out.out, args.out.force, args.resume)?;
        let (sets, mut warnings) = data::open(context, &args.dataset)?;
        let question = question(&sets, task)?;
        let origins = Origins::read(args.init.as_deref(), &args.teacher, (task, question), &settings)?;
        let chosen = data::choose(context, &sets, &args.fold, settings.seed, settings.validation_share)?;
        warnings.extend(chosen.parts.warnings.clone());
        let taught =
            |case: &Case| chosen.parts.train().contains(&case.case_id.as_str()) && case.can_teach(task);
        if !data::cases(&sets).any(|(_, case)| taught(case)) {
            bail!(without_truth(task));
        }
        let cache_dir = data::cache_dir(&args.cache, &args.out.out)?;
        let cache = Arc::new(data::build_cache(context, &sets, &settings, args.read.options(), &cache_dir)?);
        for warning in cache.warnings() {
            context.console.warn_once(&warning.message);
            warnings.push(warning);
        }
        let of_task = settings.task(task);
        let train = select(&cache, &chosen, Part::Train, task, of_task);
        let val = cache.samples(&chosen.parts, Part::Val, task);
        if train.is_empty() {
            bail!(without_truth(task));
        }
        let names = held_out(&chosen.parts);
        let untouched = cache.cases().iter().filter(|c| names.contains(c.case_id.as_str()));
        origins.refuse_held_out(untouched.map(|c| (c.patient.as_str(), c.scan.as_str())))?;
        let begins =
            origins.init.as_ref().map(|(path, b)| taken_over(b, path, &of_task.network)).transpose()?;
        Ok(Self { task, question, settings, processor, origins, chosen, cache, train, val, begins, warnings })
    }

    /// Takes the run folder over, which loses what a former run left there unless this one resumes it, and says with
    /// what it begins.
    pub(super) fn enter(&mut self, context: &Context, args: &TrainArgs) -> Result<Held> {
        let out = &args.out.out;
        if args.resume && !out.is_dir() {
            context
                .console
                .say(format!("there is nothing to resume at {}; the training starts", out.display()));
        }
        let begun = begun_with(&self.settings, &self.chosen, &self.cache, &self.processor)?;
        let held = enter(out, args.out.force, args.resume, &begun)?;
        if let Some(begins) = self.begins.as_ref().filter(|_| !args.resume) {
            context.console.say(begins);
        }
        let share = self.of_task().train.teacher_share;
        if teachers_share_unused(&args.teacher, share) {
            context.console.warn("teacher_share changes nothing without --teacher");
        }
        for remark in self.origins.remarks() {
            self.warn(context, "unknown_forerunners", remark);
        }
        let models = match self.origins.teachers.len() {
            0 => return Ok(held),
            1 => "a trained model says".to_owned(),
            n => format!("{n} trained models say"),
        };
        context.console.say(format!("a share of {share} of the truth is what {models}"));
        Ok(held)
    }

    /// Says what the network will be shown, and which class it will not.
    pub(super) fn say_what_is_shown(&mut self, context: &Context) {
        let (task, counted) = (self.task, self.counts());
        let positives = counts(&self.cache, &self.train, task);
        if let Some(lacks) = lacking(positives, task) {
            let message = format!(
                "the training part holds no {lacks}: what the network says will not tell the two apart"
            );
            self.warn(context, ONE_CLASS, message);
        }
        context.console.say(format!(
            "training {}: {} slices of {} cases, {} positive; validation: {} slices of {} cases",
            task.name(),
            counted.train_samples,
            counted.train_cases,
            positives[1],
            counted.val_samples,
            counted.val_cases
        ));
        let select = self.of_task().train.select;
        if let Some(message) = one_sided(counts(&self.cache, &self.val, task), task, select) {
            self.warn(context, ONE_SIDED, message);
        }
    }

    /// A remark, now and beside the results.
    pub(super) fn warn(&mut self, context: &Context, code: &str, message: String) {
        context.console.warn(&message);
        self.warnings.push(Warning::new(code, message));
    }

    pub(super) fn of_task(&self) -> &TaskSettings {
        self.settings.task(self.task)
    }

    /// Validation samples where there are any: no weight was fitted to them.
    pub(super) fn looked_at(&self) -> &[usize] {
        if self.val.is_empty() { &self.train } else { &self.val }
    }

    /// Batches of the training part and, where there is one, of the validation part.
    pub(super) fn loaders(&self) -> Result<(BatchLoader, Option<BatchLoader>)> {
        let (task, of_task) = (self.task, self.of_task());
        let (channels, threads) = (of_task.network.graph()?.in_channels(), rayon::current_num_threads());
        let batch = of_task.train.batch;
        let mut config = LoaderConfig {
            channels,
            threads,
            balance: of_task.scan_balance,
            ..LoaderConfig::training(task, batch, self.settings.seed, of_task.augment.clone())
        };
        let source: Arc<dyn SampleSource> = self.cache.clone();
        // Classes are weighed as often as an epoch shows them, which a balance of scans changes.
        let shown = BatchLoader::new(source.clone(), self.train.clone(), config.clone())?.order(0);
        config.class_weights = of_task.train.class_weights.resolve(counts(&self.cache, &shown, task));
        let train = BatchLoader::new(source.clone(), self.train.clone(), config)?;
        if self.val.is_empty() {
            return Ok((train, None));
        }
        let config = LoaderConfig { channels, threads, ..LoaderConfig::evaluation(task, batch) };
        Ok((train, Some(BatchLoader::new(source, self.val.clone(), config)?)))
    }

    fn counts(&self) -> PartCounts {
        let case = |&i: &usize| self.cache.infos()[i].case;
        let cases = |samples: &[usize]| samples.iter().map(case).collect::<BTreeSet<_>>().len();
        PartCounts {
            train_cases: cases(&self.train),
            train_samples: self.train.len(),
            val_cases: cases(&self.val),
            val_samples: self.val.len(),
            test_cases: self.chosen.parts.test().len(),
        }
    }

    /// How the network was trained, and whom it knows.
    pub(super) fn manifest(&self, compute: Compute, outcome: &TrainOutcome) -> Result<Training> {
        let case = |&i: &usize| &self.cache.cases()[self.cache.infos()[i].case];
        let scans = |samples: &[usize]| samples.iter().map(|i| case(i).scan.clone()).collect();
        let patients: BTreeSet<&str> = self.train.iter().map(|i| case(i).patient.as_str()).collect();
        let data_sha256 = data_hash(&self.cache);
        let salt = patient_salt(self.settings.seed, &data_sha256);
        let known = Known {
            train_patients: patients.into_iter().map(|p| patient_hash(&salt, p)).collect(),
            patient_salt: salt,
            train_scans: scans(&self.train),
            val_scans: scans(&self.val),
        };
        let hash = |b: &gg_nn::Bundle| b.info.weights_sha256.clone();
        Ok(Training {
            program: Program::this(),
            compute,
            seed: self.settings.seed,
            fold: self.chosen.fold,
            split_sha256: sha256(self.chosen.split.to_toml()?.as_bytes()),
            leaking: self.chosen.parts.leaking,
            parts: self.counts(),
            data_sha256,
            forerunners: self.origins.forerunners(&known),
            known,
            init_sha256: self.origins.init.as_ref().map(|(_, b)| hash(b)),
            teacher_sha256: self.origins.teachers.iter().map(|(_, b)| hash(b)).collect(),
            best_epoch: outcome.best_epoch,
            steps: outcome.steps,
            settings: self.settings.clone(),
        })
    }
}

fn teachers_share_unused(teachers: &[PathBuf], share: f64) -> bool {
    teachers.is_empty() && share != TrainConfig::default().teacher_share
}

/// Why a task cannot be learned from these data.
fn without_truth(task: Task) -> String {
    let needed = match task {
        Task::Lung => "lung masks",
        Task::Infection => "infection masks",
        Task::Classify => "infection masks or labels of slices",
    };
    format!("no slice of the training part can teach the task `{}`: it needs {needed}", task.name())
}

/// Samples of a part, less those that the settings leave out of training.
fn select(
    cache: &Cache,
    chosen: &data::Chosen,
    part: Part,
    task: Task,
    settings: &TaskSettings,
) -> Vec<usize> {
    let mut samples = cache.samples(&chosen.parts, part, task);
    if settings.drop_blank {
        samples = cache.without_blank(&samples);
    }
    samples = cache.thin_blank(&samples, settings.blank_share);
    if settings.drop_lungless {
        samples.retain(|&i| cache.infos()[i].lung_pixels != Some(0));
    }
    samples
}
