//! The Kaggle layout of the 20-volume set: one row of `metadata.csv` per case.
//!
//! Labels: lung 0/1/2, infection 0/1, combined 0..3. Paths are resolved by their ends, because the published table says
//! `../input/covid19-ct-scans/...`. Columns `patient`, `case` and `fold` are optional.

use super::{add_aliases, resolve, stem};
use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use crate::table::{Row, Table};
use std::path::{Path, PathBuf};

pub(super) fn cases(root: &Path) -> Result<Vec<Case>, DatasetError> {
    let table = Table::read(root, "metadata.csv", &["ct_scan"])?;
    table.rows().map(|row| case(root, row)).collect()
}

fn case(root: &Path, row: Row) -> Result<Case, DatasetError> {
    let file = |column: &str| -> Result<Option<PathBuf>, DatasetError> {
        let Some(stated) = row.get(column) else { return Ok(None) };
        resolve(root, stated).map(Some).ok_or_else(|| {
            row.bad(format!(
                "the file in the column {column} is missing; right would be a path whose end exists in the data set"
            ))
        })
    };
    row.need("ct_scan")?;
    let ct = file("ct_scan")?.ok_or_else(|| row.bad("the column ct_scan is empty".to_owned()))?;
    let name = row.get("case").map_or_else(|| stem(&ct), str::to_owned);
    let mut case = Case::new(&name, CtSource::File(ct.clone())).with_patient(row.get("patient"));
    case.fold = row.number("fold")?;
    add_aliases(&mut case, &[&ct]);
    let mut mask = |column: &str, labels: MaskLabels| -> Result<Option<MaskSource>, DatasetError> {
        let path = file(column)?;
        add_aliases(&mut case, &path.iter().collect::<Vec<_>>());
        Ok(path.map(|path| MaskSource { files: CtSource::File(path), labels }))
    };
    let lung = mask("lung_mask", MaskLabels::Lung)?;
    let infection = mask("infection_mask", MaskLabels::Infection)?;
    let combined = mask("lung_and_infection_mask", MaskLabels::Combined)?;
    Ok(Case { lung, infection, combined, ..case })
}
