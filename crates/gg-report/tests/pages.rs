//! Pages stand alone, escape what they are given, and hold whatever is missing.

#![allow(clippy::unwrap_used, clippy::panic)]

use gg_report::*;

const HOSTILE: &str = "<script src=http://evil/x.js>alert('1')</script>\"&";

/// Nothing outside the file is asked for, and no text became markup.
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(!page.contains("<script"), "hostile text became markup");
    for needle in ["url(", "@import", "<link", "<iframe", "<object", "<base"] {
        assert!(!page.contains(needle), "{needle}");
    }
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        // Names and values take turns between the quotes.
        let pieces: Vec<&str> = tag.split('"').collect();
        for pair in pieces.chunks_exact(2) {
            let name = pair[0].trim_start().trim_end_matches('=');
            let local = pair[1].starts_with("data:image/png;base64,") || pair[1].starts_with("analysis/");
            assert!(local || !(name.ends_with("src") || name.ends_with("href")), "{tag}");
            assert!(!name.starts_with("on"), "{tag}");
        }
    }
    for odd in ["NaN", "inf "] {
        assert!(!page.contains(odd), "{odd} is shown");
    }
    assert!(page.contains("Research use, not a medical device"));
}

fn provenance() -> Provenance {
    Provenance {
        leaking: false,
        warnings: vec![HOSTILE.to_owned()],
        facts: vec![Fact::new(HOSTILE, HOSTILE)],
        models: vec![ModelLine {
            name: HOSTILE.into(),
            task: HOSTILE.into(),
            sha256: "00".into(),
            note: HOSTILE.into(),
        }],
        program: HOSTILE.to_owned(),
    }
}

fn picture() -> SlicePicture {
    let grey = Grey::new(6, 5, (0..30).collect()).unwrap();
    let lung = Some((0..30).map(|i| u8::from(i % 6 > 1)).collect());
    SlicePicture { lung, caption: HOSTILE.into(), sides: Some(Sides::AXIAL), ..SlicePicture::plain(grey) }
}

fn region(percent: f64) -> RegionNumbers {
    RegionNumbers {
        lung_voxels: 1000,
        infected_voxels: (percent * 10.0) as u64,
        lung_ml: Some(2000.0),
        infected_ml: Some(20.0 * percent),
        percent: Some(percent),
        score: Some(2),
    }
}

#[test]
fn an_analysis_without_anything_is_still_a_page() {
    let page = analysis_report(&AnalysisReport::default());
    check(&page);
    assert!(page.contains("No lung was found"));
}

#[test]
fn a_full_analysis_says_its_answer_first_and_escapes_the_case() {
    let row = |z| SliceRow { z, probability: Some(0.5), percent: (z % 2 == 0).then_some(12.0) };
    let report = AnalysisReport {
        in_doubt: false,
        case_id: HOSTILE.into(),
        burden: BurdenNumbers {
            whole: region(12.34),
            right: Some(region(10.0)),
            left: Some(region(15.0)),
            zones: Some([region(3.0); 6]),
            severity: Some(7),
            interval: Some(PercentInterval {
                found: 12.34,
                ends: (8.0, 17.0),
                level: 0.9,
                readers: (6.6, 22.9),
                notes: vec![HOSTILE.into()],
            }),
            severity_note: HOSTILE.into(),
            ..BurdenNumbers::default()
        },
        strip: SliceStrip { rows: (0..400).map(row).collect(), threshold: Some(0.4), ends: None },
        patient: Some(PatientCall { score: 0.8, threshold: 0.4 }),
        tally: SliceTally { kept: 1, dropped: vec![(HOSTILE.into(), 3)] },
        slices: vec![picture(); 40],
        coronal: Some(picture()),
        provenance: provenance(),
    };
    let page = analysis_report(&report);
    check(&page);
    assert!(page.contains("About 12.3\u{a0}% of the lung shows infection (right 10.0\u{a0}%, left 15.0\u{a0}%); severity 7 of 24."));
    assert!(page.contains("&lt;script src=http://evil/x.js&gt;"));
    assert!(page.contains(
        "contradict each other in 200 slices: 200 called positive without infection in the mask, 0 called"
    ));
    assert!(page.contains("8.0\u{a0}% to 17.0\u{a0}%") && page.contains("score 0.80, yes from 0.40 on"));
    assert_eq!(page.matches("Slices are counted from 0 at the feet").count(), 1);
    assert_eq!(page, analysis_report(&report), "the same input gives the same bytes");
}

#[test]
fn what_is_missing_is_a_dash_with_its_reason() {
    let whole = RegionNumbers {
        lung_voxels: 10,
        infected_voxels: 1,
        percent: Some(10.0),
        ..RegionNumbers::default()
    };
    let burden = BurdenNumbers {
        whole,
        ml_reason: Some("the spacing cannot be trusted".into()),
        sides_reason: Some("the orientation is unknown".into()),
        ..BurdenNumbers::default()
    };
    let page = analysis_report(&AnalysisReport { burden, ..AnalysisReport::default() });
    check(&page);
    assert!(page.contains("not given in millilitres: the spacing cannot be trusted."));
    assert!(page.contains("Sides and zones are not given: the orientation is unknown."));
    assert!(!page.contains("0 ml") && !page.contains("Six zones"));
    let zones_reason = Some("a lung is seen in fewer than three slices".into());
    let burden = BurdenNumbers { zones_reason, ..BurdenNumbers::default() };
    let page = analysis_report(&AnalysisReport { burden: burden.clone(), ..AnalysisReport::default() });
    assert!(!page.contains("In doubt"));
    let doubtful = AnalysisReport { burden: burden.clone(), in_doubt: true, ..AnalysisReport::default() };
    assert!(analysis_report(&doubtful).contains("In doubt, see the warnings first. No lung was found"));
    assert!(page.contains("Zones and severity are not given: a lung is seen in fewer than three slices."));
    assert!(!page.contains("Sides"));
}

#[test]
fn the_summary_tells_a_trace_from_nothing() {
    let of = |percent: Option<f64>, infected_voxels| {
        let whole =
            RegionNumbers { lung_voxels: 100_000, infected_voxels, percent, ..RegionNumbers::default() };
        summary_sentence(&BurdenNumbers { whole, ..BurdenNumbers::default() })
    };
    assert_eq!(of(Some(0.0), 0), "No infection was found in the lung.");
    assert_eq!(of(Some(0.01), 10), "Less than 0.1\u{a0}% of the lung shows infection.");
    assert_eq!(of(Some(f64::NAN), 10), "The share of infected lung could not be computed.");
}

#[test]
fn an_evaluation_that_leaks_says_so_and_one_that_does_not_is_silent() {
    let section = SegmentationSection {
        name: HOSTILE.into(),
        scores: vec![ScoreLine {
            name: "Dice".into(),
            value: Some(f64::NAN),
            interval: Some((0.1, f64::NAN)),
            ..ScoreLine::default()
        }],
        cases: CaseTable {
            columns: vec![HOSTILE.into(), "HD95 (mm)".into()],
            decimals: vec![],
            rows: vec![CaseRow { case_id: HOSTILE.into(), patient: HOSTILE.into(), values: vec![None] }],
        },
        dice: vec![(HOSTILE.into(), None), (HOSTILE.into(), Some(0.5))],
        burden: vec![BurdenPair { truth: f64::NAN, pred: 1.0, interval: None }],
        comparisons: vec![Comparison { title: HOSTILE.into(), truth: picture(), pred: picture() }],
        notes: vec![HOSTILE.into()],
        ..SegmentationSection::default()
    };
    let classification =
        ClassificationSection { name: HOSTILE.into(), examples: vec![picture()], ..Default::default() };
    let mut report = EvaluationReport {
        title: HOSTILE.into(),
        summary: HOSTILE.into(),
        segmentations: vec![section],
        classifications: vec![classification],
        provenance: provenance(),
    };
    const LEAK: &str = "Patients leak between training and test";
    let honest = evaluation_report(&report);
    check(&honest);
    assert!(!honest.contains(LEAK));
    report.provenance.leaking = true;
    assert!(evaluation_report(&report).contains(LEAK));
    check(&evaluation_report(&EvaluationReport::default()));
}

#[test]
fn one_case_is_no_agreement() {
    let page = |cases: usize| {
        let pair = BurdenPair { truth: 3.0, pred: 4.0, interval: None };
        let section = SegmentationSection { burden: vec![pair; cases], ..SegmentationSection::default() };
        evaluation_report(&EvaluationReport { segmentations: vec![section], ..EvaluationReport::default() })
    };
    assert!(page(2).contains("Bland-Altman"));
    assert!(!page(1).contains("Bland-Altman"));
}

#[test]
fn training_preparation_and_quickstart_are_pages_full_or_empty() {
    let figure =
        Figure { title: HOSTILE.into(), caption: HOSTILE.into(), scene: montage(&[picture()], 1, 60.0) };
    let epoch = EpochRow { epoch: 1, train_loss: Some(0.5), val_loss: Some(f64::NAN), ..EpochRow::default() };
    let training = TrainingReport {
        title: HOSTILE.into(),
        epochs: vec![epoch],
        best_epoch: Some(1),
        layers: vec![LayerRow { name: HOSTILE.into(), ..LayerRow::default() }],
        figures: vec![figure.clone()],
        provenance: provenance(),
        ..TrainingReport::default()
    };
    check(&training_report(&training));
    check(&training_report(&TrainingReport::default()));
    let tally = SliceTally { kept: 3, dropped: vec![] };
    let prepare = PrepareReport {
        title: HOSTILE.into(),
        figures: vec![figure.clone()],
        tally,
        provenance: provenance(),
    };
    check(&prepare_report(&prepare));
    check(&prepare_report(&PrepareReport::default()));
    let step = |link: &str| QuickstartStep {
        name: HOSTILE.into(),
        link: Some(link.into()),
        ..QuickstartStep::default()
    };
    let steps = vec![step("analysis/report.html"), step("http://evil/"), step("javascript:alert(1)")];
    let quickstart = QuickstartReport { steps, figures: vec![figure], ..QuickstartReport::default() };
    let page = quickstart_report(&quickstart);
    check(&page);
    assert!(page.contains("href=\"analysis/report.html\"") && !page.contains("javascript:"));
    check(&quickstart_report(&QuickstartReport::default()));
}
