//! `summary.csv`: one row per CT, with every number that a cohort can be explained by.

use crate::analysis::Analysis;
use crate::output;
use anyhow::Result;
use gg_eval::{Side, Third, Tissue};
use std::path::Path;

/// One row: names and texts in the order of the columns; an empty text where there is no value.
pub(crate) struct Row(Vec<(String, String)>);

/// The table of all cases, beside their folders.
pub(crate) const SUMMARY: &str = "summary.csv";
/// Column of the codes of the analysis' remarks, with spaces between them.
pub(crate) const WARNINGS: &str = "warnings";
/// Column that says how an analysis went, and its word for one that succeeded.
pub(crate) const STATUS: &str = "status";
pub(crate) const ANALYSED: &str = "analysed";
/// Columns that name a case, say how it went or follow from its percentage: no attributes of it.
pub(crate) const NO_ATTRIBUTES: [&str; 8] =
    ["case_id", STATUS, "error", "slices", WARNINGS, PERCENT_LOW, PERCENT_HIGH, SHA256];
/// Column that holds the hash of the CT's files.
pub(crate) const SHA256: &str = "sha256";
/// The ends of the interval around the percentage.
const PERCENT_LOW: &str = "percent_of_lung_low";
const PERCENT_HIGH: &str = "percent_of_lung_high";

impl Row {
    /// The row of a CT that was analysed in this run.
    pub(crate) fn analysed(a: &Analysis) -> Self {
        Self::of(&a.case_id, ANALYSED, String::new(), codes(a), Some(a))
    }

    /// The row of a CT without an analysis of this run: `failed`, or `unreached` where the run was stopped before it.
    pub(crate) fn without(case_id: &str, status: &str, error: String) -> Self {
        Self::of(case_id, status, error, String::new(), None)
    }

    /// The row of a folder that is an earlier run's, with its numbers where they can be read, and why this run left it.
    pub(crate) fn earlier(case_id: &str, error: String, found: Option<&Analysis>) -> Self {
        Self::of(case_id, "earlier", error, found.map_or(String::new(), codes), found)
    }

    fn of(case_id: &str, status: &str, error: String, warnings: String, a: Option<&Analysis>) -> Self {
        let mut row = vec![
            ("case_id".to_owned(), case_id.to_owned()),
            (STATUS.to_owned(), status.to_owned()),
            ("error".to_owned(), error),
        ];
        let mut number = |name: &str, value: Option<f64>| {
            row.push((name.to_owned(), value.map_or(String::new(), |v| v.to_string())));
        };
        let percent = |side: Option<&gg_eval::Infected>| side.and_then(|s| s.percent_of_lung);
        let infection = a.map(|a| &a.infection);
        number("lung_ml", a.and_then(|a| a.lung.whole.ml));
        number("infection_ml", infection.and_then(|i| i.whole.amount.ml));
        number("percent_of_lung", percent(infection.map(|i| &i.whole)));
        number("percent_right", percent(infection.and_then(|i| i.right.as_ref())));
        number("percent_left", percent(infection.and_then(|i| i.left.as_ref())));
        number("severity", a.and_then(|a| a.severity.score).map(f64::from));
        let classified = a.and_then(|a| a.classification.as_ref());
        number("positive_slices", classified.map(|c| c.positive_slices as f64));
        number("slices", a.map(|a| a.slices.kept as f64));
        row.push((WARNINGS.to_owned(), warnings));
        // Columns that came later stand behind, so that programs that read them by their place go on.
        let mut number = |name: String, value: Option<f64>| {
            row.push((name, value.map_or(String::new(), |v| v.to_string())));
        };
        for (side, side_name) in [(Side::Right, "right"), (Side::Left, "left")] {
            for (third, name) in [(Third::Upper, "upper"), (Third::Middle, "middle"), (Third::Lower, "lower")]
            {
                let zone = infection
                    .and_then(|i| i.zones.as_ref())
                    .and_then(|zones| zones.iter().find(|z| z.side == side && z.third == third));
                let value = zone.and_then(|z| z.part.infection.percent_of_lung);
                number(format!("percent_{side_name}_{name}"), value);
            }
        }
        let attenuation = a.and_then(|a| a.attenuation.as_ref());
        for (tissue, name) in [
            (attenuation.and_then(|t| t.lung.as_ref()), "lung"),
            (attenuation.and_then(|t| t.infection.as_ref()), "infection"),
        ] {
            type Pick = fn(&Tissue) -> Option<f64>;
            let picks: [(&str, Pick); 13] = [
                ("mean_hu", |t| Some(t.mean_hu)),
                ("sd_hu", |t| Some(t.sd_hu)),
                ("skewness", |t| t.skewness),
                ("p05_hu", |t| Some(t.p05_hu)),
                ("p25_hu", |t| Some(t.p25_hu)),
                ("median_hu", |t| Some(t.median_hu)),
                ("p75_hu", |t| Some(t.p75_hu)),
                ("p95_hu", |t| Some(t.p95_hu)),
                ("contrast", |t| t.texture.map(|x| x.contrast)),
                ("homogeneity", |t| t.texture.map(|x| x.homogeneity)),
                ("energy", |t| t.texture.map(|x| x.energy)),
                ("entropy", |t| t.texture.map(|x| x.entropy)),
                ("correlation", |t| t.texture.and_then(|x| x.correlation)),
            ];
            for (suffix, pick) in picks {
                number(format!("{name}_{suffix}"), tissue.and_then(pick));
            }
        }
        let interval = infection.and_then(|i| i.percent_of_lung_interval);
        number(PERCENT_LOW.to_owned(), interval.map(|i| i[0]));
        number(PERCENT_HIGH.to_owned(), interval.map(|i| i[1]));
        let patient = a.and_then(|a| a.patient.as_ref());
        number("patient_score".to_owned(), patient.map(|p| p.found.score));
        number("shows_infection".to_owned(), patient.map(|p| f64::from(u8::from(p.shows_infection))));
        row.push((SHA256.to_owned(), a.map_or(String::new(), |a| a.input.sha256.clone())));
        Self(row)
    }
}

/// The codes of its remarks.
fn codes(a: &Analysis) -> String {
    a.warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>().join(" ")
}

/// Writes the table.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    if let Some(Row(first)) = rows.first() {
        table.write_record(first.iter().map(|(name, _)| name))?;
    }
    for Row(row) in rows {
        table.write_record(row.iter().map(|(_, value)| value))?;
    }
    output::write_text(path, &String::from_utf8(table.into_inner()?)?)
}
