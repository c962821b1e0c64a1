//! Slices through a network, a few at a time, and back onto the grid of the input.
//!
//! What is done to the slices of one batch after the network is done on all threads; masks and counts are written in
//! turn, and means over neighbouring slices are made in turn, each on all threads.

use super::agree::Doubtful;
use super::near::{Near, PIXELS_AT_ONCE};
use super::{Model, averages};
use crate::interrupt::Interrupt;
use anyhow::Result;
use gg_dataset::neighbours;
use gg_imaging::{Prepared, SliceWay};
use gg_nn::Predictor;
use gg_volume::{AxisMap, LabelVolume, Volume};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many slices went through the networks; those that a network need not see count as done.
pub(super) struct Progress<'a> {
    told: &'a (dyn Fn(usize, usize) + Sync),
    done: AtomicUsize,
    total: usize,
    stop: &'a Interrupt,
}

impl<'a> Progress<'a> {
    pub(super) fn new(told: &'a (dyn Fn(usize, usize) + Sync), total: usize, stop: &'a Interrupt) -> Self {
        Self { told, done: AtomicUsize::new(0), total, stop }
    }

    fn add(&self, slices: usize) {
        let before = self.done.fetch_add(slices, Ordering::Relaxed);
        (self.told)(before + slices, self.total);
    }
}

/// Shown the probabilities of a canonical slice.
pub(super) type SeeSlice<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// Marks a pixel below the threshold of its mask, but not below what is doubtful.
const DOUBTFUL: u8 = 2;

/// Where a mask lies: the stored shape, and the way to canonical slices.
pub(super) struct Place<'a> {
    pub(super) map: &'a AxisMap,
    pub(super) shape: [usize; 3],
}

/// Predicts slices and puts them back on the stored grid; shows the probabilities of each. `through` says which slices
/// the network sees, `counts` of which of them anything is kept. Probabilities of infection are means over as many
/// slices as the model says. Beside the mask comes where the probability is at least `doubtful`, if that is asked for.
pub(super) fn segment(
    model: &mut Model,
    input: &Prepared,
    place: Place<'_>,
    [through, counts]: [&[bool]; 2],
    doubtful: Option<f64>,
    progress: &Progress<'_>,
    mut seen: Option<&mut SeeSlice<'_>>,
) -> Result<(LabelVolume, Doubtful)> {
    let mut mask = Volume::filled(place.shape, 0u8);
    let chosen: Vec<usize> = (0..input.ways.len()).filter(|&i| through[input.ways[i].z]).collect();
    let watched = seen.is_some();
    let counted = counts.iter().filter(|&&counts| counts).count();
    let near = averages(&model.bundle).then(|| Near::new(model.bundle.info.clean.infection_slices(counted)));
    // Calibration moves no mask: means are of probabilities at a temperature of 1, to which what they are compared with
    // is taken back.
    let temperature = if near.is_some() { model.bundle.info.temperature } else { 1.0 };
    let threshold = gg_nn::tempered(model.bundle.info.threshold, 1.0 / temperature);
    let rim = doubtful.map(|d| gg_nn::tempered(d as f32, 1.0 / temperature));
    let label = |p: f32| match p {
        p if p >= threshold => 1,
        p if rim.is_some_and(|rim| p >= rim) => DOUBTFUL,
        _ => 0,
    };
    let marked = |mut labels: Vec<u8>| {
        let runs = if doubtful.is_some() { Doubtful::runs(&labels) } else { Vec::new() };
        labels.iter_mut().for_each(|v| *v &= 1);
        (labels, runs)
    };
    let of_full =
        |full: &[f32]| marked(full.par_iter().with_min_len(PIXELS_AT_ONCE).map(|&p| label(p)).collect());
    let mut doubts = Doubtful::default();
    let mut write = |z: usize, full: &[f32], (labels, runs): (Vec<u8>, Vec<Range<u32>>)| {
        doubts.put(z, runs);
        if let Some(seen) = &mut seen {
            seen(z, full);
        }
        place.map.write_slice(&mut mask, z, &labels);
    };
    let batch = model.predictors[0].batch();
    let predictors = &mut model.predictors;
    if let Some(mut near) = near {
        let restore = |way: &SliceWay, probabilities: &[f32]| {
            gg_imaging::restore_probabilities_slice(probabilities, way)
        };
        let mut write = |z: usize, mean: &[f32]| {
            let marked = of_full(mean);
            let mut calibrated = Vec::new();
            if watched {
                mean.par_iter().map(|&p| gg_nn::tempered(p, temperature)).collect_into_vec(&mut calibrated);
            }
            write(z, &calibrated, marked);
        };
        let keep = |way: &SliceWay, full: Vec<f32>| {
            if counts[way.z] {
                near.put(way.z, full, &mut write);
            }
        };
        predict(predictors, input, &chosen, batch, progress, restore, keep)?;
        near.finish(&mut write);
    } else {
        let restore = |way: &SliceWay, probabilities: &[f32]| {
            if watched {
                let full = gg_imaging::restore_probabilities_slice(probabilities, way);
                let marked = of_full(&full);
                (full, marked)
            } else {
                (Vec::new(), marked(gg_imaging::restore_labels_slice(probabilities, way, label)))
            }
        };
        let keep = |way: &SliceWay, (full, marked): (Vec<f32>, _)| {
            if counts[way.z] {
                write(way.z, &full, marked);
            }
        };
        predict(predictors, input, &chosen, batch, progress, restore, keep)?;
    }
    Ok((mask, doubts))
}

/// Whether each slice shows infection: its canonical z, and the probability.
pub(super) fn classify(
    model: &mut Model,
    input: &Prepared,
    progress: &Progress<'_>,
) -> Result<Vec<(usize, Option<f32>)>> {
    let all: Vec<usize> = (0..input.ways.len()).collect();
    let mut found = Vec::with_capacity(all.len());
    let first = |_: &SliceWay, probabilities: &[f32]| probabilities.first().copied();
    let batch = model.predictors[0].batch();
    predict(&mut model.predictors, input, &all, batch, progress, first, |way, probability| {
        found.push((way.z, probability));
    })?;
    Ok(found)
}

/// A prepared slice between its neighbours, as a network of so many channels sees it.
pub(crate) fn picture(input: &Prepared, index: usize, channels: usize) -> Vec<&[u8]> {
    let adjacent = |i: usize| input.ways[i + 1].z == input.ways[i].z + 1;
    let around = neighbours(index, channels, input.ways.len(), adjacent);
    around.into_iter().map(|i| input.images[i].as_slice()).collect()
}

/// Puts the chosen slices through a network, `batch` at a time for each predictor, each slice between its neighbours as in
/// training. `of_slice` makes something of the probabilities of each, on any thread; `take` gets that in the order of the
/// slices.
fn predict<T: Send>(
    predictors: &mut [Predictor],
    input: &Prepared,
    chosen: &[usize],
    batch: usize,
    progress: &Progress<'_>,
    of_slice: impl Fn(&SliceWay, &[f32]) -> T + Sync,
    mut take: impl FnMut(&SliceWay, T),
) -> Result<()> {
    let left_out = input.canonical_shape[0] - chosen.len();
    progress.add(left_out);
    for batches in chosen.chunks(batch * predictors.len()) {
        progress.stop.check()?;
        let one = |(predictor, batch): (&mut Predictor, &[usize])| {
            let channels = predictor.channels();
            let pictures: Vec<Vec<&[u8]>> = batch.iter().map(|&i| picture(input, i, channels)).collect();
            let probabilities = predictor.predict(&pictures)?;
            let slices = probabilities.par_iter().zip(batch);
            Ok(slices.map(|(probabilities, &i)| of_slice(&input.ways[i], probabilities)).collect())
        };
        let streams = predictors.par_iter_mut().zip(batches.par_chunks(batch));
        let made: Vec<Vec<T>> = streams.map(one).collect::<Result<_>>()?;
        for (made, &i) in made.into_iter().flatten().zip(batches) {
            take(&input.ways[i], made);
        }
        progress.add(batches.len());
    }
    // The next network needs as much: the two never hold theirs together.
    predictors.iter_mut().for_each(Predictor::release);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Models;
    use gg_dataset::Task;
    use gg_imaging::{CleanUp, PrepareConfig};
    use gg_nn::net::UnetConfig;
    use gg_nn::{BUNDLE_FORMAT, Bundle, BundleInfo, Mirror, NetConfig, Weights};
    use std::sync::Mutex;

    const SIZE: usize = 16;

    fn bundle(in_channels: usize) -> Bundle {
        let net = NetConfig::Unet(UnetConfig { in_channels, base: 2, levels: 2, ..UnetConfig::default() });
        let weights = Weights::init(&net, 3).unwrap();
        let info = BundleInfo {
            format_version: BUNDLE_FORMAT,
            name: "test".into(),
            task: Task::Infection,
            net,
            prepare: PrepareConfig { size: SIZE, ..PrepareConfig::default() },
            threshold: 0.5,
            temperature: 1.0,
            clean: CleanUp::default(),
            threshold_folds: None,
            mirror: Mirror::None,
            interval: None,
            area: None,
            labels: Default::default(),
            manifest: serde_json::Value::Null,
            scores: serde_json::Value::Null,
            licence: "none".into(),
            weights_sha256: String::new(),
            int8: None,
            members: Vec::new(),
        };
        Bundle::new(info, &weights, gg_nn::Precision::F32).unwrap().0
    }

    /// Slices 0 to 5 and, after a gap, 8 to 10.
    fn prepared() -> Prepared {
        let zs: Vec<usize> = (0..6).chain(8..11).collect();
        let way = |&z: &usize| SliceWay {
            z,
            canonical: [SIZE, SIZE],
            quarter_turns: 0,
            crop: gg_imaging::Rect::whole(SIZE, SIZE),
            size: SIZE,
            roi_found: true,
        };
        let image = |&z: &usize| (0..SIZE * SIZE).map(|i| ((i * 5 + z * 67) % 251) as u8).collect();
        Prepared {
            ways: zs.iter().map(way).collect(),
            images: zs.iter().map(image).collect(),
            dropped: Vec::new(),
            canonical_shape: [11, SIZE, SIZE],
        }
    }

    fn predicted(predictors: &mut [Predictor], chosen: &[usize], batch: usize) -> Vec<(usize, Vec<f32>)> {
        let mut found = Vec::new();
        let told = Mutex::new((0, 0));
        let stop = Interrupt::default();
        let tell = |done, of| *told.lock().unwrap() = (done, of);
        let progress = Progress::new(&tell, 11, &stop);
        let keep = |_: &SliceWay, probabilities: &[f32]| probabilities.to_vec();
        predict(predictors, &prepared(), chosen, batch, &progress, keep, |way, p| found.push((way.z, p)))
            .unwrap();
        assert_eq!(*told.lock().unwrap(), (11, 11));
        found
    }

    #[test]
    fn neither_the_batches_nor_the_chosen_slices_change_what_a_network_of_three_channels_says() {
        let arithmetic = gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect());
        let mut predictors: Vec<Predictor> =
            (0..2).map(|_| Predictor::load(&bundle(3), arithmetic).unwrap()).collect();
        let all = predicted(&mut predictors, &(0..9).collect::<Vec<_>>(), 4);
        assert_eq!(all.iter().map(|(z, _)| *z).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 8, 9, 10]);
        for (batch, streams) in [1, 2, 9].into_iter().flat_map(|batch| [(batch, 1), (batch, 2)]) {
            let found = predicted(&mut predictors[..streams], &(0..9).collect::<Vec<_>>(), batch);
            assert_eq!(found, all, "{streams} times {batch}");
        }
        let chosen = [1, 5, 6];
        let expected: Vec<_> = chosen.iter().map(|&i| all[i].clone()).collect();
        assert_eq!(predicted(&mut predictors, &chosen, 2), expected);
        let input = prepared();
        let of = |a: usize, b: usize, c: usize| [a, b, c].map(|i| input.images[i].as_slice()).to_vec();
        let by_hand = predictors[0].predict(&[of(0, 1, 2), of(4, 5, 5), of(6, 6, 7)]).unwrap();
        assert_eq!(expected.into_iter().map(|(_, p)| p).collect::<Vec<_>>(), by_hand);
    }

    /// The probabilities of all slices, means that reach such a share of them to each side, where only these slices count.
    fn probabilities(reach: f64, counts: &[bool]) -> Vec<f32> {
        found(infection(reach), counts).1
    }

    /// The mask, and the probabilities behind it.
    fn found(mut model: Model, counts: &[bool]) -> (Vec<u8>, Vec<f32>) {
        let stop = Interrupt::default();
        let progress = Progress::new(&|_, _| {}, 11, &stop);
        let place = Place { map: &AxisMap::IDENTITY, shape: [11, SIZE, SIZE] };
        let mut all = vec![0.0f32; 11 * SIZE * SIZE];
        let mut see = |z: usize, p: &[f32]| all[z * SIZE * SIZE..][..SIZE * SIZE].copy_from_slice(p);
        let chosen = [&[true; 11], counts];
        let (mask, _) =
            segment(&mut model, &prepared(), place, chosen, None, &progress, Some(&mut see)).unwrap();
        (mask.data().to_vec(), all)
    }

    fn infection(reach: f64) -> Model {
        calibrated(reach, 1.0, 0.5)
    }

    fn calibrated(reach: f64, temperature: f32, threshold: f32) -> Model {
        let mut models = Models::new(gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect()));
        let mut bundle = bundle(1);
        bundle.info.clean.infection_reach = reach;
        (bundle.info.temperature, bundle.info.threshold) = (temperature, threshold);
        models.add(bundle, String::new()).unwrap();
        models.infection.unwrap()
    }

    #[test]
    fn masks_and_doubtful_lung_are_the_probabilities_whether_those_are_watched_or_not() {
        for reach in [0.0, 0.1] {
            let mut model = infection(reach);
            let (all, input) = ([true; 11], prepared());
            let stop = Interrupt::default();
            let progress = Progress::new(&|_, _| {}, 11, &stop);
            let place = || Place { map: &AxisMap::IDENTITY, shape: [11, SIZE, SIZE] };
            let probabilities = probabilities(reach, &all);
            let expected: Vec<u8> = probabilities.iter().map(|&p| u8::from(p >= 0.5)).collect();
            assert!(expected.contains(&1) && expected.contains(&0));
            let mut sorted = probabilities.clone();
            sorted.sort_by(f32::total_cmp);
            let doubtful = f64::from(sorted[sorted.len() / 3]).min(0.49);
            for watched in [false, true] {
                let mut see = |_: usize, _: &[f32]| {};
                let see = watched.then_some(&mut see as &mut SeeSlice<'_>);
                let (mask, rims) =
                    segment(&mut model, &input, place(), [&all, &all], Some(doubtful), &progress, see)
                        .unwrap();
                assert_eq!(mask.data(), expected);
                let doubted = |p: &f32| u8::from(*p > 0.0 && f64::from(*p) >= doubtful);
                let expected: Vec<u8> = probabilities.iter().map(doubted).collect();
                let found: Vec<u8> = (0..11).flat_map(|z| rims.slice(z, SIZE * SIZE)).collect();
                assert_eq!(found, expected);
                assert!(expected.contains(&1) && expected.contains(&0));
            }
        }
    }

    #[test]
    fn a_temperature_moves_no_mask_and_calibrates_the_mean() {
        let counts = [true; 11];
        for (reach, threshold) in [(0.0, 0.5), (0.1, 0.5), (0.1, 0.4)] {
            let plain = found(calibrated(reach, 1.0, threshold), &counts);
            assert!(plain.0.contains(&1) && plain.0.contains(&0));
            for temperature in [0.4, 3.0] {
                // A threshold that was chosen before is moved along.
                let moved = gg_nn::sigmoid((threshold / (1.0 - threshold)).ln() / temperature);
                let other = found(calibrated(reach, temperature, moved), &counts);
                let differ = plain.0.iter().zip(&other.0).filter(|(a, b)| a != b).count();
                assert!(differ <= 1, "{differ} pixels at {temperature}"); // one may lie on the threshold
                let off = plain
                    .1
                    .iter()
                    .zip(&other.1)
                    .filter(|(p, _)| **p > 0.0)
                    .map(|(p, q)| (gg_nn::sigmoid((p / (1.0 - p)).ln() / temperature) - q).abs());
                assert!(off.fold(0.0, f32::max) < 1e-5);
            }
        }
    }

    #[test]
    fn slices_that_do_not_count_and_those_that_are_not_there_have_no_say_in_a_mean() {
        let mut counts = [true; 11];
        counts[3] = false;
        let (one, mean) = (probabilities(0.0, &counts), probabilities(0.1, &counts));
        let slice = |of: &[f32], z: usize| of[z * SIZE * SIZE..][..SIZE * SIZE].to_vec();
        // Ten slices count: the mean reaches one. Weights of the slices 0 to 10 around some of them; 6 and 7 are not there.
        for (z, weights) in [
            (1, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            (4, [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0]),
            (8, [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0]),
        ] {
            let total: i32 = weights.iter().sum();
            let by_hand = (0..SIZE * SIZE).map(|i| {
                let sum: f32 =
                    weights.iter().enumerate().map(|(o, &w)| w as f32 * one[o * SIZE * SIZE + i]).sum();
                sum / total as f32
            });
            let off = by_hand.zip(slice(&mean, z)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "slice {z}: {off}");
            assert_ne!(slice(&one, z), slice(&mean, z));
        }
        assert!(slice(&mean, 3).iter().all(|&p| p == 0.0));
    }

    #[test]
    fn a_network_without_a_middle_slice_is_refused() {
        let error = Models::new(gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect()))
            .add(bundle(2), String::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("2 slices at once"), "{error}");
    }
}
