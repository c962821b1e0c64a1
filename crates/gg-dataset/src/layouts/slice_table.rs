//! A table of slices: `slices.csv` (file, volume; optional patient, source, fold) with pictures of one name in `ct/`,
//! `lung_mask/` and `infection_mask/`. Slices of one `volume` are one case, in the order of the file; mask pixels
//! other than 0 are inside.

use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use crate::table::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) fn cases(root: &Path) -> Result<Vec<Case>, DatasetError> {
    let table = Table::read(root, "slices.csv", &["file", "volume"])?;
    let folders = ["lung_mask", "infection_mask"].map(|name| root.join(name).is_dir());
    let mut cases: Vec<Case> = Vec::new();
    let mut files: Vec<[Vec<PathBuf>; 3]> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for row in table.rows() {
        let (file, volume) = (row.need("file")?, row.need("volume")?);
        let at = *index.entry(volume).or_insert_with(|| {
            cases.push(Case::new(volume, CtSource::Slices(Vec::new())).with_patient(row.get("patient")));
            files.push(Default::default());
            cases.len() - 1
        });
        let fold = row.number("fold")?;
        if files[at][0].is_empty() {
            cases[at].fold = fold;
        }
        let same_patient = row.get("patient").is_none_or(|p| p == cases[at].patient);
        if cases[at].fold != fold || !same_patient {
            return Err(row.bad("its patient or fold differs from other slices of its volume".to_owned()));
        }
        for (k, folder) in ["ct", "lung_mask", "infection_mask"].into_iter().enumerate() {
            if k > 0 && !folders[k - 1] {
                continue;
            }
            let path = root.join(folder).join(file);
            if !path.is_file() {
                return Err(row.bad(format!("its picture is missing from the folder {folder}")));
            }
            files[at][k].push(path);
        }
    }
    for (case, [ct, lung, infection]) in cases.iter_mut().zip(files) {
        let mask = |present: bool, files: Vec<PathBuf>| {
            present.then_some(MaskSource { files: CtSource::Slices(files), labels: MaskLabels::NonZero })
        };
        case.ct = CtSource::Slices(ct);
        case.lung = mask(folders[0], lung);
        case.infection = mask(folders[1], infection);
    }
    Ok(cases)
}
