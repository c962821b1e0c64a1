//! Folders side by side: `ct/` (or `image/`) with `lung_mask/`, `infection_mask/` or both, files of equal names (also
//! with other extensions). Each file of `ct/` is a case; patients are unknown.

use super::{files_of, stem};
use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use gg_volume::Warning;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) fn cases(root: &Path, warnings: &mut Vec<Warning>) -> Result<Vec<Case>, DatasetError> {
    let ct = if root.join("ct").is_dir() { "ct" } else { "image" };
    let masks = |name: &str| -> Result<Option<BTreeMap<String, PathBuf>>, DatasetError> {
        let folder = root.join(name);
        if !folder.is_dir() {
            return Ok(None);
        }
        Ok(Some(files_of(&folder)?.into_iter().map(|f| (stem(&f), f)).collect()))
    };
    let mut lung = masks("lung_mask")?;
    let mut infection = masks("infection_mask")?;
    let mut missing: [Vec<String>; 2] = Default::default();
    let mut cases = Vec::new();
    let files = files_of(&root.join(ct))?;
    for file in &files {
        let name = stem(file);
        let mut case = Case::new(&name, CtSource::File(file.clone()));
        for (k, (found, slot)) in
            [(&mut lung, &mut case.lung), (&mut infection, &mut case.infection)].into_iter().enumerate()
        {
            let Some(found) = found else { continue };
            match found.remove(&name) {
                Some(path) => {
                    *slot = Some(MaskSource { files: CtSource::File(path), labels: MaskLabels::Lenient });
                }
                None => missing[k].push(name.clone()),
            }
        }
        cases.push(case);
    }
    for (folder, missing) in ["lung_mask", "infection_mask"].into_iter().zip(missing) {
        super::none_missing(missing, files.len(), folder)?;
    }
    let lonely = [&lung, &infection].into_iter().flatten().map(BTreeMap::len).sum::<usize>();
    if lonely > 0 {
        warnings.push(Warning::new(
            "mask_without_ct",
            format!("{lonely} masks have no CT of the same name and are left out"),
        ));
    }
    Ok(cases)
}
