//! Training runs: learning, stopping and resuming to the byte, early stopping, what is refused.
#![allow(clippy::unwrap_used)]

use gg_dataset::{AugmentConfig, BatchLoader, LoaderConfig, MemorySamples, Sample};
use gg_imaging::PrepareConfig;
use gg_nn::engine::{Arithmetic, Isa};
use gg_nn::net::{Block, ClassifierBConfig, NetConfig, Skips, UnetConfig};
use gg_nn::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SIZE: usize = 32;

/// Noise with a bright disc in every second picture; the disc is the infection, if it is outlined.
fn samples(n: usize, outlined: bool) -> Arc<MemorySamples> {
    let mut list = vec![];
    for i in 0..n {
        let (mut image, mut mask) = (vec![0u8; SIZE * SIZE], vec![0u8; SIZE * SIZE]);
        let centre = [8 + (i * 7) % 16, 8 + (i * 5) % 16];
        for y in 0..SIZE {
            for x in 0..SIZE {
                let inside = i % 2 == 1 && y.abs_diff(centre[0]).pow(2) + x.abs_diff(centre[1]).pow(2) < 30;
                let noise = (((x * 31 + y * 17 + i * 13) * 2_654_435_761) >> 13) as u8 % 60;
                image[y * SIZE + x] = noise + if inside { 150 } else { 20 };
                mask[y * SIZE + x] = u8::from(inside && outlined);
            }
        }
        let infected = Some(i % 2 == 1 && outlined);
        list.push(Sample { image, lung: None, infection: Some(mask), infected, case: i / 4, z: i % 4 });
    }
    Arc::new(MemorySamples::new(SIZE, list).unwrap())
}

fn loaders(task: Task, outlined: [bool; 2]) -> (BatchLoader, BatchLoader) {
    let train = LoaderConfig::training(task, 4, 11, AugmentConfig::default());
    let train = BatchLoader::new(samples(20, outlined[0]), (0..14).collect(), train).unwrap();
    let val =
        BatchLoader::new(samples(20, outlined[1]), (14..20).collect(), LoaderConfig::evaluation(task, 4))
            .unwrap();
    (train, val)
}

fn unet() -> NetConfig {
    NetConfig::Unet(UnetConfig { base: 4, levels: 3, norm_momentum: 0.8, ..UnetConfig::default() })
}

fn config(epochs: u64) -> TrainConfig {
    TrainConfig {
        epochs,
        adam: AdamConfig { lr: 1e-2, ..AdamConfig::default() },
        schedule: Schedule::CosineRestarts { cycles: 2, epochs: 3, unit: Unit::Step, floor: 1e-4 },
        clip: Clip::Norm { max: 1.0 },
        ema: Some(0.9),
        ..TrainConfig::default()
    }
}

/// Sets the flag after so many steps of this process.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: &StepInfo) {
        self.0 -= 1;
        if self.0 == 0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// Watches nothing.
struct Unwatched;

impl Observer for Unwatched {}

struct Setup {
    task: Task,
    net: NetConfig,
    config: TrainConfig,
    seed: u64,
    teachers: Vec<Bundle>,
    /// Whether the discs of the training part are outlined, and those of the validation part.
    outlined: [bool; 2],
}

fn run(setup: &Setup, dir: &Path, resume: bool, stop_after: Option<u64>) -> Result<TrainOutcome, TrainError> {
    let (train_part, val) = loaders(setup.task, setup.outlined);
    let stop = AtomicBool::new(false);
    let run = TrainRun {
        task: setup.task,
        net: &setup.net,
        config: &setup.config,
        seed: setup.seed,
        train: &train_part,
        val: Some(&val),
        dir,
        leak: None,
        init: None,
        resume,
        stop: &stop,
    };
    let on = Arithmetic::fp32(Isa::detect());
    let mut engine = engine_for(&setup.net.graph().unwrap(), on);
    let mut teacher = Teacher::load(&setup.teachers, &on.into()).unwrap();
    let teacher = teacher.as_mut();
    match stop_after {
        Some(n) => train(&run, engine.as_mut(), teacher, &mut StopAfter(n, &stop)),
        None => train(&run, engine.as_mut(), teacher, &mut Unwatched),
    }
}

fn infection(epochs: u64) -> Setup {
    let (task, net, config) = (Task::Infection, unet(), config(epochs));
    Setup { task, net, config, seed: 5, teachers: vec![], outlined: [true; 2] }
}

/// Networks with all that can be chosen about a U-Net.
fn chosen(epochs: u64) -> [Setup; 2] {
    [(Block::Residual, Skips::Gated), (Block::Plain, Skips::Nested)].map(|(block, skips)| {
        let net = UnetConfig {
            block,
            skips,
            deep_supervision: true,
            base: 4,
            levels: 3,
            norm_momentum: 0.8,
            ..UnetConfig::default()
        };
        Setup { net: NetConfig::Unet(net), ..infection(epochs) }
    })
}

#[test]
fn a_run_stopped_at_any_step_and_resumed_ends_in_the_same_bytes() {
    ends_in_the_same_bytes(&infection(4));
}

#[test]
fn a_run_with_side_outputs_stopped_and_resumed_ends_in_the_same_bytes() {
    chosen(4).iter().for_each(ends_in_the_same_bytes);
}

fn ends_in_the_same_bytes(setup: &Setup) {
    let whole = tempfile::tempdir().unwrap();
    let outcome = run(setup, whole.path(), false, None).unwrap();
    assert_eq!((outcome.rows.len(), outcome.steps), (4, 16));
    let read = |dir: &Path, name: &str| std::fs::read(dir.join(name)).unwrap();
    // in the middle of an epoch, after its last step (stopped inside validation), and twice
    for stops in [vec![6], vec![8], vec![1, 2, 7]] {
        let dir = tempfile::tempdir().unwrap();
        for (i, n) in stops.iter().enumerate() {
            let error = run(setup, dir.path(), i > 0, Some(*n)).unwrap_err();
            assert!(matches!(error, TrainError::Interrupted), "{error}");
        }
        let resumed = run(setup, dir.path(), true, None).unwrap();
        assert_eq!(resumed, outcome, "{stops:?}");
        for name in ["checkpoint.safetensors", "best.safetensors", "metrics.jsonl"] {
            assert_eq!(read(dir.path(), name), read(whole.path(), name), "{name} after {stops:?}");
        }
    }
    // a finished run that is resumed gives its result again
    assert_eq!(run(setup, whole.path(), true, None).unwrap(), outcome);
}

#[test]
fn a_run_ends_in_the_same_bytes_at_one_and_two_threads() {
    for setup in [infection(2)].into_iter().chain(chosen(2)) {
        let result = |threads| same_bytes(&setup, threads);
        assert!(result(1) == result(2));
    }
}

fn same_bytes(setup: &Setup, threads: usize) -> (TrainOutcome, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let outcome = pool.install(|| run(setup, dir.path(), false, None)).unwrap();
    (outcome, std::fs::read(dir.path().join("checkpoint.safetensors")).unwrap())
}

#[test]
fn discs_are_found_and_slices_with_discs_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(&infection(25), dir.path(), false, None).unwrap();
    let val = outcome.val.unwrap();
    assert!(val.metric_at_threshold.unwrap() > 0.8, "{val:?}");
    assert!(val.metric_at_threshold >= val.metric);
    assert_eq!(val.threshold, outcome.threshold);

    let net = ClassifierBConfig {
        widths: vec![8, 8],
        dense: 8,
        norm_momentum: 0.8,
        ..ClassifierBConfig::default()
    };
    let setup = Setup {
        task: Task::Classify,
        net: NetConfig::ClassifierB(net),
        config: TrainConfig { loss: Loss::Bce {}, ema: None, ..config(25) },
        seed: 1,
        ..infection(25)
    };
    let outcome = run(&setup, tempfile::tempdir().unwrap().path(), false, None).unwrap();
    assert_eq!(outcome.val.unwrap().auroc, Some(1.0));
}

/// A network of [`infection`] that finds discs, in a bundle.
fn finds_discs() -> Bundle {
    let outcome = run(&infection(25), tempfile::tempdir().unwrap().path(), false, None).unwrap();
    let info = BundleInfo {
        format_version: BUNDLE_FORMAT,
        name: "discs".into(),
        task: Task::Infection,
        net: unet(),
        prepare: PrepareConfig { size: SIZE, ..PrepareConfig::default() },
        threshold: outcome.threshold,
        temperature: outcome.temperature,
        clean: gg_imaging::CleanUp::default(),
        threshold_folds: None,
        mirror: gg_nn::Mirror::LeftRight,
        interval: None,
        area: None,
        labels: Default::default(),
        manifest: serde_json::Value::Null,
        scores: serde_json::Value::Null,
        licence: "MIT OR Apache-2.0".into(),
        weights_sha256: String::new(),
        int8: None,
        members: Vec::new(),
    };
    Bundle::new(info, &outcome.weights, Precision::F32).unwrap().0
}

#[test]
fn where_validation_holds_no_infection_the_epoch_of_the_lowest_loss_is_kept() {
    let setup = Setup { outlined: [true, false], ..infection(6) };
    let outcome = run(&setup, tempfile::tempdir().unwrap().path(), false, None).unwrap();
    assert_eq!(outcome.rows.iter().filter_map(|r| r.val_metric).count(), 0);
    let loss = |r: &&EpochRow| r.val_loss.unwrap();
    let lowest = outcome.rows.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
    assert_eq!(outcome.best_epoch, lowest.epoch);
    assert!(lowest.epoch > 1, "{:?}", outcome.rows);
    assert_eq!(outcome.threshold, 0.5);
}

#[test]
fn a_network_learns_from_a_teacher_what_nobody_outlined() {
    let teacher = finds_discs();
    let after = |teacher_share: f64, epochs: u64| {
        let config = TrainConfig { teacher_share, ..config(epochs) };
        let setup =
            Setup { config, teachers: vec![teacher.clone()], outlined: [false, true], ..infection(epochs) };
        run(&setup, tempfile::tempdir().unwrap().path(), false, None).unwrap()
    };
    let val = after(1.0, 25).val.unwrap();
    assert!(val.metric_at_threshold.unwrap() > 0.8, "{val:?}");
    let untaught = Setup { outlined: [false, true], ..infection(3) };
    let untaught = run(&untaught, tempfile::tempdir().unwrap().path(), false, None).unwrap();
    assert_eq!(after(0.0, 3), untaught, "a share of nothing changes nothing");
    assert_ne!(after(0.5, 3), untaught);
}

#[test]
fn a_taught_run_stopped_and_resumed_ends_in_the_same_bytes_at_any_number_of_threads() {
    let setup = Setup { teachers: vec![finds_discs()], ..infection(4) };
    ends_in_the_same_bytes(&setup);
    assert!(same_bytes(&setup, 1) == same_bytes(&setup, 2));
}

#[test]
fn a_taught_run_goes_on_with_its_teacher_alone_and_with_a_loss_that_knows_shares() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup { teachers: vec![finds_discs()], ..infection(2) };
    run(&setup, dir.path(), false, Some(1)).unwrap_err();
    let mut other = setup.teachers.clone();
    other[0].info.temperature *= 2.0;
    for teachers in [vec![], other] {
        let error = run(&Setup { teachers, ..infection(2) }, dir.path(), true, None).unwrap_err().to_string();
        assert!(error.contains("(teacher)"), "{error}");
    }
    setup.config.loss = Loss::Focal { gamma: 2.0, alpha: 0.25 };
    let error = run(&setup, dir.path(), false, None).unwrap_err().to_string();
    assert!(error.contains("focal"), "{error}");
}

#[test]
fn early_stopping_ends_a_run_that_does_not_get_better() {
    let mut setup = infection(30);
    setup.config.adam.lr = 1e-12;
    setup.config.ema = None;
    setup.config.early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.5 });
    let outcome = run(&setup, tempfile::tempdir().unwrap().path(), false, None).unwrap();
    assert_eq!(outcome.rows.len(), 3);
}

#[test]
fn a_checkpoint_of_another_run_is_not_resumed_and_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let setup = infection(2);
    run(&setup, dir.path(), false, Some(1)).unwrap_err();
    for (other, word) in [
        (Setup { seed: 6, ..infection(2) }, "seed"),
        (Setup { config: TrainConfig { ema: Some(0.5), ..config(2) }, ..infection(2) }, "config"),
    ] {
        let error = run(&other, dir.path(), true, None).unwrap_err().to_string();
        assert!(error.contains("other settings") && error.contains(word), "{error}");
    }
    let file = dir.path().join("checkpoint.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = run(&setup, dir.path(), true, None).unwrap_err().to_string();
    assert!(error.contains("not a whole safetensors file"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = infection(0);
    assert!(run(&setup, dir.path(), false, None).unwrap_err().to_string().contains("epochs"));
    setup = Setup { task: Task::Classify, ..infection(1) };
    let error = run(&setup, dir.path(), false, None).unwrap_err().to_string();
    assert_eq!(error, "training settings: this network does not suit the task classify");
}
