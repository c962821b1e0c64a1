//! A table of single pictures: `labels.csv` (file, covid; optional split, patient). Each picture is a case of one slice;
//! the official parts are kept, because only they are known to be apart by patient.

use super::stem;
use crate::DatasetError;
use crate::case::{Case, CtSource};
use crate::split::Part;
use crate::table::Table;
use std::path::Path;

pub(super) fn cases(root: &Path) -> Result<Vec<Case>, DatasetError> {
    let table = Table::read(root, "labels.csv", &["file", "covid"])?;
    let mut cases = Vec::new();
    for row in table.rows() {
        let file = row.need("file")?;
        let path = super::resolve(root, file).ok_or_else(|| row.bad("its file is missing".to_owned()))?;
        let part = match row.get("split") {
            None => None,
            Some("train") => Some(Part::Train),
            Some("val" | "validation") => Some(Part::Val),
            Some("test") => Some(Part::Test),
            Some(_) => {
                return Err(row.bad("the column split holds another word than train, val or test".to_owned()));
            }
        };
        let label = row.flag("covid")?;
        let mut case = Case::new(&stem(&path), CtSource::Slices(vec![path])).with_patient(row.get("patient"));
        case.class = label.map(|l| if l { "covid" } else { "non_covid" }.to_owned());
        case.slice_labels = label.map(|l| vec![Some(l)]);
        case.part = part;
        cases.push(case);
    }
    Ok(cases)
}
