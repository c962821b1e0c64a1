//! Made-up numbers that look like real ones, so that every page can be seen.

use crate::phantom_pictures::Case;
use gg_report::*;

fn wave(i: usize) -> f64 {
    ((i as f64) * 1.7).sin() * 0.5 + ((i as f64) * 0.63 + 1.0).cos() * 0.5
}

pub(crate) fn epochs() -> Vec<EpochRow> {
    (1..=40)
        .map(|epoch| {
            let t = (-(epoch as f64) / 11.0).exp();
            let cycle = ((epoch - 1) % 20) as f64 / 20.0;
            EpochRow {
                epoch,
                learning_rate: Some(2.5e-4 * (1.0 + (std::f64::consts::PI * cycle).cos())),
                train_loss: Some(0.12 + 0.7 * t),
                val_loss: Some(0.19 + 0.62 * t + 0.02 * wave(epoch)),
                train_dice: Some(0.86 - 0.6 * t),
                val_dice: Some(0.78 - 0.56 * t + 0.02 * wave(epoch)),
                ..EpochRow::default()
            }
        })
        .collect()
}

pub(crate) fn layers() -> Vec<LayerRow> {
    let row = |kind, name: &str, output: &str, parameters| LayerRow {
        kind,
        name: name.to_owned(),
        output: output.to_owned(),
        parameters,
    };
    let mut rows = vec![row(LayerKind::Input, "Input", "1 x 128 x 128", 0)];
    let mut before = 1;
    for (i, channels) in [64, 64, 128, 256].into_iter().enumerate() {
        let side = 128 >> i;
        let shape = |s: usize| format!("{channels} x {s} x {s}");
        let weights = before * channels * 9 + channels;
        rows.push(row(LayerKind::Conv, &format!("Conv 3x3, {channels}, ReLU"), &shape(side), weights));
        rows.push(row(LayerKind::Pool, "Max-pool 2x2", &shape(side / 2), 0));
        rows.push(row(LayerKind::Norm, "Batch norm", &shape(side / 2), 2 * channels));
        before = channels;
    }
    rows.push(row(LayerKind::Pool, "Global average pool", "256", 0));
    rows.push(row(LayerKind::Dense, "Dense 512, ReLU", "512", 131_584));
    rows.push(row(LayerKind::Dropout, "Dropout 0.3", "512", 0));
    rows.push(row(LayerKind::Output, "Dense 1, sigmoid", "1", 513));
    rows
}

pub(crate) fn unet() -> Scene {
    let levels: Vec<UnetLevel> = (0..5).map(|i| UnetLevel { channels: 32 << i, size: 128 >> i }).collect();
    unet_drawing("The U-Net", &levels, "feature maps above, size of the maps below; dropout 0.25")
}

fn region(lung_ml: f64, percent: f64, score: Option<u8>) -> RegionNumbers {
    let voxel_ml = 0.0018;
    RegionNumbers {
        lung_voxels: (lung_ml / voxel_ml) as u64,
        infected_voxels: (lung_ml * percent / 100.0 / voxel_ml) as u64,
        lung_ml: Some(lung_ml),
        infected_ml: Some(lung_ml * percent / 100.0),
        percent: Some(percent),
        score,
    }
}

pub(crate) fn burden() -> BurdenNumbers {
    BurdenNumbers {
        whole: region(4512.0, 12.3, None),
        interval: Some(PercentInterval {
            found: 12.3,
            ends: (8.1, 16.5),
            level: 0.9,
            readers: (6.6, 22.8),
            notes: vec!["What the two ranges mean.".into()],
        }),
        right: Some(region(2440.0, 10.1, None)),
        left: Some(region(2072.0, 14.9, None)),
        zones: Some([
            region(760.0, 1.2, Some(1)),
            region(860.0, 9.4, Some(1)),
            region(820.0, 18.9, Some(1)),
            region(640.0, 0.2, Some(0)),
            region(740.0, 12.0, Some(1)),
            region(692.0, 31.6, Some(2)),
        ]),
        severity: Some(6),
        severity_note:
            "Severity follows a published six-zone score; zones here are thirds of each lung's height.".into(),
        ml_reason: None,
        sides_reason: None,
        zones_reason: None,
    }
}

pub(crate) fn strip(case: &Case) -> SliceStrip {
    let row = |(z, share): (usize, &Option<f64>)| SliceRow {
        z,
        probability: share.map(|s| (0.06 + s / 14.0 + 0.04 * wave(z)).clamp(0.01, 0.99)),
        percent: *share,
    };
    let ends = Some(("feet".to_owned(), "head".to_owned()));
    SliceStrip { rows: case.share.iter().enumerate().map(row).collect(), threshold: Some(0.42), ends }
}

fn provenance() -> Provenance {
    let model = |task: &str| ModelLine {
        task: task.into(),
        name: format!("{task}-unet-16"),
        sha256: "9f2b6c1de0a4735b8c6f1e2d3a4b5c6d7e8f90112233445566778899aabbccdd".into(),
        note: "provisional".into(),
    };
    Provenance {
        leaking: false,
        warnings: vec![],
        facts: vec![
            Fact::new("Format", "DICOM series"),
            Fact::new("Grid", "64 slices of 192 x 192, 1.8 x 1.8 x 4.7 mm"),
            Fact::new("Spacing", "trusted: from the positions of the slices"),
            Fact::new("Grey values", "HU (confidence 0.99)"),
        ],
        models: vec![model("lung"), model("infection"), model("classify")],
        program: "groundglass 0.1.0 (1a2b3c4)".into(),
    }
}

pub(crate) fn analysis(case: &Case) -> AnalysisReport {
    let warning =
        "Apex and base seem swapped: the lung narrows towards the end that the header calls the feet.";
    AnalysisReport {
        in_doubt: false,
        case_id: "case-001".into(),
        burden: burden(),
        patient: Some(PatientCall { score: 0.93, threshold: 0.42 }),
        strip: strip(case),
        tally: SliceTally {
            kept: 46,
            dropped: vec![("without lung".into(), 16), ("cropping failed".into(), 2)],
        },
        slices: case.slices.clone(),
        coronal: Some(case.coronal.clone()),
        provenance: Provenance { warnings: vec![warning.into()], ..provenance() },
    }
}

fn score(name: &str, value: f64, half: f64, basis: &str) -> ScoreLine {
    ScoreLine {
        name: name.into(),
        value: Some(value),
        interval: Some((value - half, value + half * 0.8)),
        basis: basis.into(),
    }
}

fn worse(picture: &SlicePicture, steps: usize) -> SlicePicture {
    let (w, mut labels) = (picture.grey.width(), picture.infection.clone().unwrap_or_default());
    for _ in 0..steps {
        let old = labels.clone();
        for i in w + 1..labels.len() - w - 1 {
            labels[i] = old[i] & old[i - 1] & old[i + w];
        }
    }
    SlicePicture { infection: Some(labels), ..picture.clone() }
}

pub(crate) fn segmentation(case: &Case) -> SegmentationSection {
    let dice: Vec<(String, Option<f64>)> = (1..=14)
        .map(|i| (format!("case-{i:03}"), (i != 9).then(|| 0.72 + 0.14 * wave(i * 3) + 0.01 * i as f64)))
        .collect();
    let row = |(name, d): &(String, Option<f64>)| CaseRow {
        case_id: name.clone(),
        patient: name.replace("case", "patient"),
        values: vec![
            *d,
            d.map(|v| v / (2.0 - v)),
            d.map(|v| 40.0 * (1.0 - v)),
            d.map(|v| (v + 0.1).min(1.0)),
        ],
    };
    let cases = CaseTable {
        columns: ["Dice", "IoU", "HD95 (mm)", "NSD at 2 mm"].map(String::from).to_vec(),
        decimals: vec![3, 3, 1, 3],
        rows: dice.iter().map(row).collect(),
    };
    let compare = |title: &str, slice: usize, steps: usize| Comparison {
        title: title.into(),
        truth: case.slices[slice].clone(),
        pred: worse(&case.slices[slice], steps),
    };
    SegmentationSection {
        name: "Infection".into(),
        scores: vec![
            score("Dice", 0.742, 0.041, "13 patients"),
            score("IoU", 0.611, 0.05, "13 patients"),
            score("HD95 (mm)", 14.2, 4.4, "13 patients"),
            ScoreLine { name: "NSD at 2 mm".into(), ..ScoreLine::default() },
        ],
        cases,
        human_band: Some(HumanBand { low: 0.7, high: 0.82, label: "agreement among human readers".into() }),
        burden: (1..=14)
            .map(|i| {
                let truth = 2.0 * i as f64 + 3.0 * wave(i);
                let pred = (truth + 2.4 * wave(i * 5)).max(0.0);
                let interval = Some(((pred - 4.0).max(0.0), pred + 4.0));
                BurdenPair { truth: truth.max(0.0), pred, interval }
            })
            .collect(),
        reliability: reliability(),
        comparisons: vec![
            compare("Best · case-003 · Dice 0.912", 4, 1),
            compare("Median · case-011 · Dice 0.748", 6, 2),
            compare("Worst · case-007 · Dice 0.503", 2, 4),
        ],
        dice,
        notes: vec![
            "1 case is empty in truth and prediction: its Dice is undefined and counted here only.".into(),
        ],
    }
}

fn reliability() -> Reliability {
    let bins = |bend: f64| -> Vec<ReliabilityBin> {
        (0..8)
            .map(|i| f64::from(i) / 8.0 + 0.06)
            .map(|p| ReliabilityBin {
                predicted: p,
                observed: (p * p * bend + p * (1.05 - bend)).min(1.0),
                count: (300.0 * (p - 0.5).abs()) as u64 + 9,
            })
            .collect()
    };
    Reliability {
        after: bins(0.1),
        before: bins(0.6),
        ece: Some(0.012),
        ece_before: Some(0.061),
        counted: "slices".into(),
    }
}

pub(crate) fn classification(case: &Case) -> ClassificationSection {
    let curve: Vec<(f64, f64)> =
        (0..=50).map(|i| f64::from(i) / 50.0).map(|x| (x, 1.0 - (1.0 - x).powi(7))).collect();
    let pr = (0..=50).map(|i| f64::from(i) / 50.0).map(|x| (x, 1.0 - 0.55 * x.powi(6))).collect();
    let examples = case.slices[1..6]
        .iter()
        .enumerate()
        .map(|(i, s)| SlicePicture {
            infection: None,
            lung: None,
            caption: format!("true: positive · p = {:.2}", 0.97 - 0.08 * i as f64),
            ..s.clone()
        })
        .collect();
    ClassificationSection {
        name: "Slices with infection".into(),
        scores: vec![
            score("Accuracy", 0.934, 0.02, "812 slices, 14 patients"),
            score("Precision", 0.951, 0.02, "812 slices, 14 patients"),
            score("Recall", 0.912, 0.03, "812 slices, 14 patients"),
            score("F1", 0.931, 0.02, "812 slices, 14 patients"),
            score("Specificity", 0.955, 0.02, "812 slices, 14 patients"),
            score("AUROC", 0.971, 0.012, "812 slices, 14 patients"),
        ],
        counted: "slices".into(),
        called: "at 0.418".into(),
        confusion_at_half: Some(Confusion { tp: 352, fp: 12, fn_: 55, tn: 393 }),
        confusion: Confusion { tp: 371, fp: 19, fn_: 36, tn: 386 },
        roc: ScoreCurve { points: curve, area: Some(0.971), operating: Some((0.14, 0.652)) },
        pr: ScoreCurve { points: pr, area: Some(0.958), operating: Some((0.91, 0.69)) },
        reliability: reliability(),
        examples,
        notes: vec![],
    }
}

pub(crate) fn evaluation(case: &Case) -> EvaluationReport {
    EvaluationReport {
        title: "Evaluation on fold 1".into(),
        summary:
            "Infection reaches a Dice of 0.742 (95 % interval 0.701 to 0.775) over 13 held-out patients."
                .into(),
        segmentations: vec![segmentation(case)],
        classifications: vec![classification(case)],
        provenance: Provenance { leaking: true, ..provenance() },
    }
}

pub(crate) fn training(case: &Case) -> TrainingReport {
    let panels = comparison_panels(&segmentation(case).comparisons, 260.0);
    let figure =
        |title: &str, caption: &str, scene| Figure { title: title.into(), caption: caption.into(), scene };
    TrainingReport {
        title: "Training: infection".into(),
        summary: "Best epoch 31 of 40: validation Dice 0.756.".into(),
        epochs: epochs(),
        best_epoch: Some(31),
        layers: layers(),
        figures: vec![
            figure("Network", "", unet()),
            figure("Prediction beside truth", "Three validation slices at the best checkpoint.", panels),
        ],
        provenance: provenance(),
    }
}

pub(crate) fn prepare(case: &Case) -> PrepareReport {
    let flow = ClaheFlow {
        before: case.slices[4].grey.clone(),
        after: case.contrast.clone(),
        tiles: [8, 8],
        tile: [4, 2],
        clip: 3.0,
    };
    let figure =
        |title: &str, caption: &str, scene| Figure { title: title.into(), caption: caption.into(), scene };
    PrepareReport {
        title: "Preparation of case-001".into(),
        figures: vec![
            figure(
                "Fig. 2",
                "Slices with the infection of the truth mask.",
                sample_figure(&case.slices[2..6]),
            ),
            figure(
                "Fig. 3",
                "The same slice and its grey values.",
                contrast_figure(&flow.before, &flow.after),
            ),
            figure(
                "Fig. 4",
                "From the slice to the region of the lungs.",
                steps_figure("Steps of the crop", &case.steps, 3),
            ),
            figure("Fig. 9", "One tile of the grid, followed through.", clahe_figure(&flow)),
        ],
        tally: SliceTally { kept: 46, dropped: vec![("at the ends".into(), 18)] },
        provenance: Provenance { models: vec![], ..provenance() },
    }
}

pub(crate) fn quickstart(case: &Case) -> QuickstartReport {
    let step = |name: &str, outcome: &str, passed, link: Option<&str>| QuickstartStep {
        name: name.into(),
        outcome: outcome.into(),
        passed,
        link: link.map(String::from),
    };
    QuickstartReport {
        summary: "Three networks were trained on phantoms; one of them missed its floor.".into(),
        steps: vec![
            step("Make phantoms", "12 phantoms, one as DICOM series", None, None),
            step("Train lung", "held-out Dice 0.981 (at least 0.950)", Some(true), Some("lung/report.html")),
            step(
                "Train infection",
                "held-out Dice 0.655 (at least 0.700)",
                Some(false),
                Some("infection/report.html"),
            ),
            step(
                "Analyse",
                "12.3 % of the lung, truth 12.1 % (within 2 points)",
                Some(true),
                Some("analysis/report.html"),
            ),
        ],
        figures: vec![Figure {
            title: "The analysed phantom".into(),
            caption: String::new(),
            scene: sample_figure(&case.slices[2..6]),
        }],
        provenance: provenance(),
    }
}
