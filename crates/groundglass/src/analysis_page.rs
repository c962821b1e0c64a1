//! `report.html` of one analysed CT: its numbers as the page wants them.

use crate::analysis::{Analysis, Outcome, SliceRow};
use crate::manifest::ModelUsed;
use crate::readers::{HUMAN_DICE, second_reader};
use crate::words::kind_in_words;
use gg_dataset::PATIENTS_LEAK;
use gg_eval::{Amount, Infected, Zone};
use gg_report::{
    AnalysisReport, BurdenNumbers, Fact, PatientCall, PercentInterval, Provenance, RegionNumbers, SliceStrip,
    SliceTally,
};
use gg_volume::SpacingTrust;
use std::collections::BTreeMap;

/// The page.
pub(crate) fn page(outcome: &Outcome) -> String {
    let a = &outcome.analysis;
    gg_report::analysis_report(&AnalysisReport {
        case_id: a.case_id.clone(),
        burden: burden(a),
        in_doubt: !a.doubts.is_empty(),
        patient: a.patient.as_ref().map(|p| PatientCall { score: p.found.score, threshold: p.threshold }),
        strip: strip(a, &outcome.rows),
        tally: tally(a),
        slices: outcome.montage.clone(),
        coronal: outcome.coronal.clone(),
        provenance: provenance(a),
    })
}

fn burden(a: &Analysis) -> BurdenNumbers {
    let side = |lung: &Option<Amount>, infected: &Option<Infected>| {
        lung.as_ref().zip(infected.as_ref()).map(|(l, i)| region(l, i, None))
    };
    let zones: Option<Vec<RegionNumbers>> = a.infection.zones.as_ref().map(|z| z.iter().map(zone).collect());
    BurdenNumbers {
        whole: region(&a.lung.whole, &a.infection.whole, None),
        right: side(&a.lung.right, &a.infection.right),
        left: side(&a.lung.left, &a.infection.left),
        zones: zones.and_then(|z| z.try_into().ok()),
        interval: interval(a),
        severity: a.severity.score,
        severity_note: format!("Follows the {}. Differs: {}.", a.severity.follows, a.severity.differs),
        ml_reason: a.lung.whole.ml_reason.clone(),
        sides_reason: a.infection.sides_reason.clone(),
        zones_reason: a.infection.zones_reason.clone(),
    }
}

fn interval(a: &Analysis) -> Option<PercentInterval> {
    let found = a.infection.whole.percent_of_lung?;
    let [low, high] = a.infection.percent_of_lung_interval?;
    let fit = a.interval_fit.as_ref()?;
    let (dice, deviation) = HUMAN_DICE;
    let [less, more] = second_reader(found, dice);
    let measured = fit.measured.as_ref().map_or(String::new(), |m| {
        format!(
            " On {} held-out patients such intervals held the truth of {:.0} %, with a median width of {:.1} points.",
            m.patients,
            100.0 * m.coverage,
            m.median_width
        )
    });
    Some(PercentInterval {
        found,
        ends: (low, high),
        level: fit.level,
        readers: (less, more),
        notes: vec![
            format!(
                "The interval is made to hold the truth of {:.0} % of patients like the {} it was fitted on: how often it does is \
                 measured, not guaranteed.{measured} For other scanners or other diseases nobody has measured it.",
                100.0 * fit.level,
                fit.patients
            ),
            format!(
                "Two human readers agree with a Dice of {dice:.2} ± {deviation:.2} (Bartoli et al. 2022, low-dose CT of other \
                 patients): at {dice:.2}, where one finds {found:.1} % the other may find anything from {less:.1} to {more:.1} %."
            ),
        ],
    })
}

fn region(lung: &Amount, infected: &Infected, score: Option<u8>) -> RegionNumbers {
    RegionNumbers {
        lung_voxels: lung.voxels,
        infected_voxels: infected.amount.voxels,
        lung_ml: lung.ml,
        infected_ml: infected.amount.ml,
        percent: infected.percent_of_lung,
        score,
    }
}

fn zone(zone: &Zone) -> RegionNumbers {
    region(&zone.part.lung, &zone.part.infection, zone.score)
}

fn strip(a: &Analysis, rows: &[SliceRow]) -> SliceStrip {
    let row = |r: &SliceRow| gg_report::SliceRow {
        z: r.slice,
        probability: r.probability.map(f64::from),
        percent: r.percent_of_lung,
    };
    SliceStrip {
        rows: rows.iter().map(row).collect(),
        threshold: a.classification.as_ref().map(|c| f64::from(c.threshold)),
        ends: a.input.orientation.map(|_| ("feet".to_owned(), "head".to_owned())),
    }
}

fn tally(a: &Analysis) -> SliceTally {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for dropped in &a.slices.dropped {
        *reasons.entry(dropped.reason.clone()).or_default() += 1;
    }
    SliceTally { kept: a.slices.kept, dropped: reasons.into_iter().collect() }
}

fn provenance(a: &Analysis) -> Provenance {
    let input = &a.input;
    let [z, y, x] = input.shape;
    let spacing =
        input.spacing_mm.map_or("unknown".to_owned(), |[z, y, x]| format!("{x:.3} x {y:.3} x {z:.3} mm"));
    let trust = match &input.spacing {
        SpacingTrust::Trusted => "trusted".to_owned(),
        SpacingTrust::Untrusted(reason) => format!("not trusted: {reason}"),
    };
    let orientation = match input.orientation {
        Some(o) if input.orientation_stated_by_user => format!("{o} (stated by the user)"),
        Some(o) => o.to_string(),
        None => "unknown".to_owned(),
    };
    let kind = kind_in_words(input.intensity.kind);
    Provenance {
        leaking: a.warnings.iter().any(|w| w.code == PATIENTS_LEAK),
        warnings: a.warnings.iter().map(|w| w.message.clone()).collect(),
        facts: vec![
            Fact::new("Shape", format!("{x} columns x {y} rows x {z} slices")),
            Fact::new("Spacing", format!("{spacing} ({trust})")),
            Fact::new("Orientation", orientation),
            Fact::new("Grey values", format!("{kind} (confidence {:.2})", input.intensity.confidence)),
            Fact::new("Why", input.intensity.reasons.join("; ")),
            Fact::new("Slices without lung region", a.slices.without_lung_region.to_string()),
            Fact::new(
                "Interval around the share",
                match &a.interval_fit {
                    Some(fit) => format!("{:.0} %, fitted on {} patients", 100.0 * fit.level, fit.patients),
                    None => "none: the infection model carries no fit".to_owned(),
                },
            ),
            Fact::new("SHA-256 of the input", &input.sha256),
            Fact::new(
                "Computed with",
                format!("{}, {}, {}", a.compute.device, a.compute.instruction_set, a.compute.precision),
            ),
        ],
        models: a.models.iter().map(ModelUsed::line).collect(),
        program: a.program.to_string(),
    }
}
