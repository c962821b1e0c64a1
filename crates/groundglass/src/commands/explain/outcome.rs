//! A table of cases as a cohort: which columns are attributes, which rows have an outcome, who is whose patient.

use super::table::{CASE, Table};
use crate::analysis::doubts::is_doubt;
use crate::summary::{ANALYSED, NO_ATTRIBUTES, SHA256, STATUS, WARNINGS};
use crate::words::cases;
use anyhow::{Context as _, Result, bail};
use gg_eval::{Cohort, CohortError, LeftOut};
use std::collections::{BTreeMap, BTreeSet};

/// Column that names the patient, where none is stated.
const PATIENT: &str = "patient";
/// Words for a value that is not there.
const MISSING: [&str; 6] = ["", "na", "nan", "null", "none", "-"];
/// Pairs of words of which the second is the outcome; of any other two the one that sorts last is.
const WORDS: [[&str; 2]; 6] =
    [["0", "1"], ["no", "yes"], ["false", "true"], ["negative", "positive"], ["n", "y"], ["f", "t"]];

/// What was asked of a table.
pub(super) struct Asked<'a> {
    pub(super) outcome: &'a str,
    pub(super) patient: Option<&'a str>,
    pub(super) attributes: &'a [String],
    /// Leave out the rows whose remarks put their numbers in doubt.
    pub(super) skip_doubtful: bool,
}

/// A cohort with what was left out on the way.
pub(super) struct Read {
    pub(super) cohort: Cohort,
    /// The value that counts as the outcome, and the other one, as each is spelled first.
    pub(super) positive: String,
    pub(super) negative: String,
    /// Column that names patients; none where each case is taken for a patient.
    pub(super) patient: Option<String>,
    /// Columns that are no numbers.
    pub(super) left_out: Vec<LeftOut>,
    /// Remarks on columns of numbers that a few other values kept out.
    pub(super) spoilt: Vec<String>,
    /// Rows without an outcome, and rows of CTs that were not analysed: it failed, was not
    /// reached, or the folder is an earlier run's.
    pub(super) without_outcome: usize,
    pub(super) not_analysed: usize,
    /// Case of each row with an outcome whose remarks put its numbers in doubt; none where the table has no remarks.
    pub(super) doubtful: Option<Vec<String>>,
    /// Rows of the same CT as a row before, under another patient's name.
    pub(super) same_ct: usize,
    /// Patients with the outcome in one row and without it in another.
    pub(super) with_both: usize,
}

impl Table {
    /// The rows that have an outcome, as a cohort.
    pub(super) fn cohort(&self, asked: &Asked<'_>) -> Result<Read> {
        let named = |name: &str| {
            self.column(name).with_context(|| {
                format!("there is no column `{name}`; there are {}", self.columns.join(", "))
            })
        };
        let outcome = named(asked.outcome)?;
        let patient = match asked.patient {
            Some(name) => Some(named(name)?),
            None => self.column(PATIENT),
        };
        let status = self.column(STATUS);
        let analysed: Vec<&Vec<String>> =
            self.rows.iter().filter(|row| status.is_none_or(|s| row[s] == ANALYSED)).collect();
        let mut rows: Vec<&Vec<String>> =
            analysed.iter().copied().filter(|r| !is_missing(&r[outcome])).collect();
        let without_outcome = analysed.len() - rows.len();
        let doubtful = self.doubtful(&rows);
        let mut skipped = String::new();
        if asked.skip_doubtful {
            let Some(doubtful) = &doubtful else {
                bail!(
                    "there is no column `{WARNINGS}`; right would be one, by which --skip-doubtful knows what to skip"
                );
            };
            rows.retain(|row| !self.is_doubtful(row));
            if !doubtful.is_empty() {
                skipped = format!(" without the {} in doubt", cases(doubtful.len()));
            }
        }
        let values = rows.iter().map(|r| r[outcome].as_str());
        let [negative, positive] = classes(asked.outcome, &skipped, values)?;

        let (mut left_out, mut spoilt) = (Vec::new(), Vec::new());
        let mut taken: Vec<(usize, Vec<Option<f64>>)> = Vec::new();
        let candidates: Vec<usize> = match asked.attributes {
            [] => (0..self.columns.len())
                .filter(|&i| i != outcome && Some(i) != patient)
                .filter(|&i| !NO_ATTRIBUTES.contains(&self.columns[i].as_str()))
                .collect(),
            chosen => chosen.iter().map(|name| named(name)).collect::<Result<_>>()?,
        };
        if candidates.contains(&outcome) {
            bail!("the outcome `{}` cannot explain itself; name other attributes", asked.outcome);
        }
        for i in candidates {
            let values: Vec<Option<Option<f64>>> = rows.iter().map(|r| number(&r[i])).collect();
            match values.iter().filter(|v| v.is_none()).count() {
                0 => taken.push((i, values.into_iter().flatten().collect())),
                words => {
                    let name = self.columns[i].clone();
                    if !asked.attributes.is_empty() {
                        bail!(
                            "{words} of {} values of the attribute `{name}` are no numbers; right would be numbers, or nothing where \
                             unknown",
                            rows.len()
                        );
                    }
                    if words < rows.len() / 2 {
                        spoilt.push(format!(
                            "the column `{name}` is left out for {words} of {} values that are no numbers",
                            rows.len()
                        ));
                    }
                    let reason = format!("{words} of {} values are no numbers", rows.len());
                    left_out.push(LeftOut { name, reason });
                }
            }
        }
        let case = self.column(CASE);
        if taken.is_empty() && !left_out.is_empty() {
            return Err(CohortError::no_attribute(&left_out).into());
        }
        if let Some(case) = case {
            let mut seen = BTreeSet::new();
            if let Some(twice) = rows.iter().find(|row| !seen.insert(row[case].as_str())) {
                bail!("the table has two rows of the case `{}`; right would be one", twice[case]);
            }
        }
        let patients: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| match (patient, case) {
                (Some(p), _) if !is_missing(&row[p]) => format!("patient {}", row[p]),
                (_, Some(c)) => format!("case {}", row[c]),
                _ => format!("row {i:09}"),
            })
            .collect();
        let key = positive.to_lowercase();
        let outcomes: Vec<bool> = rows.iter().map(|r| r[outcome].to_lowercase() == key).collect();
        let mut of_patient: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
        for (patient, &outcome) in patients.iter().zip(&outcomes) {
            of_patient.entry(patient).or_default()[usize::from(outcome)] = true;
        }
        let with_both = of_patient.values().filter(|has| **has == [true; 2]).count();
        let mut first_of: BTreeMap<&str, &str> = BTreeMap::new();
        let hashes = self.column(SHA256).map(|c| rows.iter().map(move |row| row[c].as_str()));
        let same_ct = hashes.map_or(0, |hashes| {
            let known = hashes.zip(&patients).filter(|(hash, _)| !is_missing(hash));
            known
                .filter(|(hash, patient)| *first_of.entry(hash).or_insert(patient) != patient.as_str())
                .count()
        });
        Ok(Read {
            cohort: Cohort {
                names: taken.iter().map(|(i, _)| self.columns[*i].clone()).collect(),
                rows: (0..rows.len()).map(|r| taken.iter().map(|(_, v)| v[r]).collect()).collect(),
                outcomes,
                patients,
            },
            positive,
            negative,
            patient: patient.map(|p| self.columns[p].clone()),
            left_out,
            spoilt,
            without_outcome,
            not_analysed: self.rows.len() - analysed.len(),
            doubtful,
            with_both,
            same_ct,
        })
    }

    /// The cases of these rows whose numbers are in doubt, empty texts where cases have no names; none where nothing is
    /// known of remarks.
    fn doubtful(&self, rows: &[&Vec<String>]) -> Option<Vec<String>> {
        self.column(WARNINGS)?;
        let case = self.column(CASE);
        let doubtful = rows.iter().filter(|row| self.is_doubtful(row));
        Some(doubtful.map(|row| case.map_or_else(String::new, |c| row[c].clone())).collect())
    }

    fn is_doubtful(&self, row: &[String]) -> bool {
        self.column(WARNINGS).is_some_and(|w| row[w].split_whitespace().any(is_doubt))
    }
}

fn is_missing(text: &str) -> bool {
    MISSING.contains(&text.to_lowercase().as_str())
}

/// A number, a missing one, or `None` for a word.
fn number(text: &str) -> Option<Option<f64>> {
    if is_missing(text) {
        return Some(None);
    }
    match text.to_lowercase().as_str() {
        "true" | "yes" => Some(Some(1.0)),
        "false" | "no" => Some(Some(0.0)),
        text => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Some),
    }
}

/// The two values of the outcome, the one that counts last. Capitals do not part them; the spelling that stands first
/// is kept. `skipped` says which rows were left out before.
fn classes<'a>(name: &str, skipped: &str, values: impl Iterator<Item = &'a str>) -> Result<[String; 2]> {
    let mut found: BTreeMap<String, &str> = BTreeMap::new();
    for value in values {
        found.entry(value.to_lowercase()).or_insert(value);
    }
    let [(low, first), (high, last)] = found.iter().collect::<Vec<_>>()[..] else {
        const SHOWN: usize = 5;
        let some: Vec<&str> = found.values().copied().take(SHOWN).collect();
        let shown = match found.len() {
            0 => "no value".to_owned(),
            1 => format!("one value only ({})", some.join(", ")),
            n => format!("{n} different values ({}{})", some.join(", "), if n > SHOWN { ", .." } else { "" }),
        };
        bail!("the outcome `{name}` has {shown}{skipped}; right would be two, such as 0 and 1");
    };
    let turned = WORDS.iter().any(|w| low == w[1] && high == w[0]);
    Ok(if turned { [*last, *first] } else { [*first, *last] }.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path).unwrap()
    }

    const ASKED: Asked<'static> =
        Asked { outcome: "died", patient: None, attributes: &[], skip_doubtful: false };

    #[test]
    fn words_failures_and_cases_without_outcome_are_told_and_left_out() {
        let first = table(
            "\u{feff}case_id,status,percent_of_lung,sex\na,analysed,3.5,f\nb,analysed,,m\nc,failed,,\nd,analysed,9,f\n",
        );
        let second = table("case_id,died,patient\nd,Yes,p1\na,no,p1\nb,,p2\n");
        let (joined, alone) = first.join(&second).unwrap();
        assert_eq!(alone, 1);
        let read = joined.cohort(&ASKED).unwrap();
        assert_eq!((read.without_outcome, read.not_analysed), (1, 1));
        assert_eq!((read.negative.as_str(), read.positive.as_str()), ("no", "Yes"));
        assert_eq!(read.cohort.names, ["percent_of_lung"]);
        assert_eq!(read.cohort.rows, [[Some(3.5)], [Some(9.0)]]);
        assert_eq!(read.cohort.outcomes, [false, true]);
        assert_eq!(read.cohort.patients, ["patient p1", "patient p1"]);
        assert_eq!(read.left_out[0].name, "sex");
    }

    #[test]
    fn a_value_that_is_no_number_is_refused_in_a_named_attribute_and_remarked_elsewhere() {
        let rows: String = (0..6).map(|i| format!("c{i},{i}.5,{i},{}\n", i % 2)).collect();
        let spoilt = table(&format!("case_id,percent,age,died\n{rows}c6,<0.1,6,1\n"));
        let read = spoilt.cohort(&ASKED).unwrap();
        assert!(read.spoilt[0].contains("`percent` is left out for 1 of 7"), "{:?}", read.spoilt);
        let named = Asked { attributes: &["percent".to_owned()], ..ASKED };
        let error = spoilt.cohort(&named).err().unwrap().to_string();
        assert!(error.contains("1 of 7 values of the attribute `percent`"), "{error}");
        let alone = table("case_id,percent,died\na,<1,1\nb,2,0\nc,3,0\n").cohort(&ASKED).err().unwrap();
        assert!(alone.to_string().contains("percent (1 of 3 values are no numbers)"), "{alone}");
        let twice =
            table(&format!("case_id,percent,age,died\n{rows}c5,9,9,1\n")).cohort(&ASKED).err().unwrap();
        assert!(twice.to_string().contains("two rows of the case `c5`"), "{twice}");
    }

    #[test]
    fn of_two_words_the_usual_one_is_the_outcome_and_capitals_part_none() {
        for (values, right) in [
            (&["0", "1"][..], ["0", "1"]),
            (&["True", "false"], ["false", "True"]),
            (&["positive", "negative"], ["negative", "positive"]),
            (&["ward", "icu"], ["icu", "ward"]),
            (&["alive", "Dead", "DEAD", "Alive"], ["alive", "Dead"]),
            (&["YES", "no", "yes", "No"], ["no", "YES"]),
        ] {
            assert_eq!(classes("x", "", values.iter().copied()).unwrap(), right);
        }
        for (values, words) in [
            (&["1", "2", "3"][..], "has 3 different values (1, 2, 3); right would be two"),
            (&["Yes", "yes"], "has one value only (Yes); right would be two"),
            (&[], "has no value; right would be two"),
        ] {
            let error = classes("stage", "", values.iter().copied()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn one_outcome_in_several_spellings_counts_alike_and_patients_with_both_are_counted() {
        let read = table(
            "case_id,patient,age,died\na,p,1, Yes \nb,p,2,yes\nc,q,3,NO\nd,q,4,YES\ne,r,5,no\nf,r,6,No\n",
        )
        .cohort(&ASKED)
        .unwrap();
        assert_eq!((read.negative.as_str(), read.positive.as_str()), ("NO", "Yes"));
        assert_eq!(read.cohort.outcomes, [true, true, false, true, false, false]);
        assert_eq!(read.with_both, 1);
    }

    #[test]
    fn one_ct_under_two_patients_names_is_counted() {
        let same = |rows: &str| {
            let read = table(&format!("case_id,patient,age,sha256,died\n{rows}")).cohort(&ASKED).unwrap();
            (read.same_ct, read.cohort.names)
        };
        let age = vec!["age".to_owned()];
        assert_eq!(same("a,p,1,h1,1\nb,q,2,h1,0\nc,r,3,h2,1\n"), (1, age.clone()));
        assert_eq!(same("a,p,1,h1,1\nb,p,2,h1,1\nc,r,3,,0\nd,s,3,,0\n"), (0, age));
    }

    #[test]
    fn rows_in_doubt_are_named_and_left_out_where_asked() {
        let rows = "a,1,hu_doubtful,0\nb,2,not_hu one_slice,1\nc,3,one_slice streaks,1\nd,4,,0\ne,5,burden_unlikely,\n";
        let both = table(&format!("case_id,age,warnings,died\n{rows}"));
        let kept = both.cohort(&ASKED).unwrap();
        assert_eq!(kept.doubtful.as_deref(), Some(&["a".to_owned(), "c".to_owned()][..]));
        assert_eq!((kept.cohort.rows.len(), kept.without_outcome), (4, 1));
        let skip = Asked { skip_doubtful: true, ..ASKED };
        let skipped = both.cohort(&skip).unwrap();
        assert_eq!(skipped.doubtful, kept.doubtful);
        assert_eq!(skipped.cohort.rows, [[Some(2.0)], [Some(4.0)]]);
        assert_eq!((skipped.cohort.outcomes, skipped.without_outcome), (vec![true, false], 1));

        let refusal = |text: &str| table(text).cohort(&skip).err().unwrap().to_string();
        let none = refusal("case_id,age,warnings,died\na,1,hu_doubtful,0\nb,2,,1\n");
        assert!(none.contains("has one value only (1) without the 1 case in doubt"), "{none}");
        assert!(refusal("case_id,age,died\na,1,0\nb,2,1\n").contains("no column `warnings`"));
        assert_eq!(table("age,died\n1,0\n2,1\n").cohort(&ASKED).unwrap().doubtful, None);
    }
}
