//! A table of cases as a cohort: which columns are attributes, which rows have an outcome, who is whose patient.

use crate::summary::{ANALYSED, NO_ATTRIBUTES, STATUS};
use anyhow::{Context as _, Result, bail};
use gg_eval::{Cohort, CohortError, LeftOut};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Column that names the case in both tables.
const CASE: &str = "case_id";
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
}

/// A cohort with what was left out on the way.
pub(super) struct Read {
    pub(super) cohort: Cohort,
    /// The value that counts as the outcome, and the other one.
    pub(super) positive: String,
    pub(super) negative: String,
    /// Column that names patients; none where each case is taken for a patient.
    pub(super) patient: Option<String>,
    /// Columns that are no numbers.
    pub(super) left_out: Vec<LeftOut>,
    /// Remarks on columns of numbers that a few other values kept out.
    pub(super) spoilt: Vec<String>,
    /// Rows without an outcome, and rows of CTs that were not analysed: it failed, or the folder is an earlier run's.
    pub(super) without_outcome: usize,
    pub(super) not_analysed: usize,
}

/// A CSV table.
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let named = || path.display().to_string();
        let mut reader = csv::Reader::from_path(path).with_context(named)?;
        // Spreadsheets begin their files with a mark of the byte order.
        let columns: Vec<String> = reader
            .headers()
            .with_context(named)?
            .iter()
            .map(|c| c.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        let separators = [(';', "semicolons"), ('\t', "tabs")];
        if let [only] = &columns[..]
            && let Some((_, what)) = separators.iter().find(|(c, _)| only.contains(*c))
        {
            bail!(
                "{}: found columns separated by {what}, right would be commas between them and points in numbers",
                named()
            );
        }
        if let Some(twice) = columns.iter().enumerate().find(|(i, c)| columns[..*i].contains(c)) {
            bail!("{}: the column `{}` stands twice; right would be once", named(), twice.1);
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(record.with_context(named)?.iter().map(|v| v.trim().to_owned()).collect());
        }
        if rows.is_empty() {
            bail!("{}: the table has no rows", named());
        }
        Ok(Self { columns, rows })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    /// Adds the columns of another table to the rows of the same case; says how many rows found no partner.
    pub(super) fn join(mut self, other: &Self) -> Result<(Self, usize)> {
        let key = |t: &Self, which: &str| {
            t.column(CASE).with_context(|| format!("the {which} table has no column `{CASE}` to join by"))
        };
        let (mine, theirs) = (key(&self, "first")?, key(other, "second")?);
        let mut by_case: BTreeMap<&str, &Vec<String>> = BTreeMap::new();
        for row in &other.rows {
            if by_case.insert(&row[theirs], row).is_some() {
                bail!("the second table has two rows of the case `{}`; right would be one", row[theirs]);
            }
        }
        let taken: Vec<usize> = (0..other.columns.len()).filter(|&i| i != theirs).collect();
        if let Some(&twice) = taken.iter().find(|&&i| self.columns.contains(&other.columns[i])) {
            bail!("both tables have a column `{}`; right would be one of them", other.columns[twice]);
        }
        let mut alone = 0;
        for row in &mut self.rows {
            let found = by_case.get(row[mine].as_str());
            alone += usize::from(found.is_none());
            row.extend(taken.iter().map(|&i| found.map_or(String::new(), |r| r[i].clone())));
        }
        self.columns.extend(taken.iter().map(|&i| other.columns[i].clone()));
        Ok((self, alone))
    }

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
        let rows: Vec<&Vec<String>> = analysed.iter().copied().filter(|r| !is_missing(&r[outcome])).collect();
        let [negative, positive] = classes(asked.outcome, rows.iter().map(|r| r[outcome].as_str()))?;

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
        let patients = rows.iter().enumerate().map(|(i, row)| match (patient, case) {
            (Some(p), _) if !is_missing(&row[p]) => format!("patient {}", row[p]),
            (_, Some(c)) => format!("case {}", row[c]),
            _ => format!("row {i:09}"),
        });
        Ok(Read {
            cohort: Cohort {
                names: taken.iter().map(|(i, _)| self.columns[*i].clone()).collect(),
                rows: (0..rows.len()).map(|r| taken.iter().map(|(_, v)| v[r]).collect()).collect(),
                outcomes: rows.iter().map(|r| r[outcome] == positive).collect(),
                patients: patients.collect(),
            },
            positive,
            negative,
            patient: patient.map(|p| self.columns[p].clone()),
            left_out,
            spoilt,
            without_outcome: analysed.len() - rows.len(),
            not_analysed: self.rows.len() - analysed.len(),
        })
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

/// The two values of the outcome, the one that counts last.
fn classes<'a>(name: &str, values: impl Iterator<Item = &'a str>) -> Result<[String; 2]> {
    let found: BTreeSet<&str> = values.collect();
    let [first, last] = found.iter().copied().collect::<Vec<_>>()[..] else {
        const SHOWN: usize = 5;
        let some: Vec<&str> = found.iter().copied().take(SHOWN).collect();
        let more = if found.len() > SHOWN { ", .." } else { "" };
        bail!(
            "the outcome `{name}` has {} different values ({}{more}); right would be two, such as 0 and 1",
            found.len(),
            some.join(", ")
        );
    };
    let lower = [first.to_lowercase(), last.to_lowercase()];
    let turned = WORDS.iter().any(|w| lower[0] == w[1] && lower[1] == w[0]);
    Ok(if turned { [last, first] } else { [first, last] }.map(str::to_owned))
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

    const ASKED: Asked<'static> = Asked { outcome: "died", patient: None, attributes: &[] };

    #[test]
    fn a_table_of_other_separators_is_refused_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        for (text, what) in [("case_id;died;age\na;1;3,5\n", "semicolons"), ("case_id\tdied\na\t1\n", "tabs")]
        {
            std::fs::write(&path, text).unwrap();
            let error = Table::read(&path).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("separated by {what}")) && error.contains("t.csv"), "{error}");
        }
        std::fs::write(&path, "").unwrap();
        assert!(Table::read(&path).is_err());
    }

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
    fn of_two_words_the_usual_one_is_the_outcome() {
        for (values, right) in [
            (["0", "1"], ["0", "1"]),
            (["True", "false"], ["false", "True"]),
            (["positive", "negative"], ["negative", "positive"]),
            (["ward", "icu"], ["icu", "ward"]),
        ] {
            assert_eq!(classes("x", values.into_iter()).unwrap(), right);
        }
        let error = classes("stage", ["1", "2", "3"].into_iter()).unwrap_err().to_string();
        assert!(
            error.contains("3 different values (1, 2, 3)") && error.contains("right would be two"),
            "{error}"
        );
    }
}
