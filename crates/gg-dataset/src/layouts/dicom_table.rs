//! A table of DICOM slices: `labels.csv` (case, file; optional class, slice_has_infection, patient, fold). The files of
//! one case are sorted by position, whatever their order in the table; an empty label is unknown, not 0.

use crate::DatasetError;
use crate::case::{Case, CtSource};
use crate::table::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) fn cases(root: &Path) -> Result<Vec<Case>, DatasetError> {
    let table = Table::read(root, "labels.csv", &["case", "file"])?;
    let mut cases: Vec<Case> = Vec::new();
    let mut slices: Vec<(Vec<PathBuf>, Vec<Option<bool>>)> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for row in table.rows() {
        let (name, file) = (row.need("case")?, row.need("file")?);
        let at = match index.get(name) {
            Some(&at) => at,
            None => {
                let mut case = Case::new(name, CtSource::Slices(Vec::new())).with_patient(row.get("patient"));
                case.class = row.get("class").map(str::to_owned);
                case.fold = row.number("fold")?;
                cases.push(case);
                slices.push(Default::default());
                index.insert(name, cases.len() - 1);
                cases.len() - 1
            }
        };
        let case = &cases[at];
        let same_patient = row.get("patient").is_none_or(|p| p == case.patient);
        if case.class.as_deref() != row.get("class") || case.fold != row.number("fold")? || !same_patient {
            let differs = "its class, patient or fold differs from other slices of its case";
            return Err(row.bad(differs.to_owned()));
        }
        let path = super::resolve(root, file).ok_or_else(|| row.bad("its file is missing".to_owned()))?;
        slices[at].0.push(path);
        slices[at].1.push(row.flag("slice_has_infection")?);
    }
    for (case, (files, labels)) in cases.iter_mut().zip(slices) {
        case.ct = CtSource::Slices(files);
        case.slice_labels = labels.iter().any(Option::is_some).then_some(labels);
    }
    Ok(cases)
}
