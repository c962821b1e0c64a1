//! Masks of any program, found in a folder by the names of the cases and laid on the grid of each CT.

use super::mask_file::{self, label_list};
use anyhow::{Context as _, Result, bail};
use gg_dataset::{Case, MaskLabels, Structure};
use gg_io::{ReadOptions, Scan};
use gg_volume::{LabelVolume, Warning};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Said where nothing is found.
const LAYOUTS: &str = "understood are CASE/lung_mask.nii.gz and CASE/infection_mask.nii.gz (as `analyze` writes them), \
    lung_mask/CASE.nii.gz and infection_mask/CASE.nii.gz, or both structures in CASE.nii.gz (as nnU-Net writes them)";
/// Code of the remark on masks that lie in the folder twice.
pub(super) const TWICE: &str = "prediction_twice";
/// The infected lung in a mask of both structures that nothing explains.
const INFECTED_LUNG: u8 = 3;

/// A folder of predicted masks.
pub(super) struct Folder {
    root: PathBuf,
    /// What each case may be called: its name, and those of its files that no other case has.
    names: BTreeMap<String, Vec<String>>,
    /// Masks of both structures with the meaning of their labels, by case.
    combined: BTreeMap<String, (PathBuf, MaskLabels)>,
    /// What `analyze` wrote below the folder.
    analyses: Vec<Analysed>,
}

/// Masks of one case as 0 and 1, on the CT's stored grid.
#[derive(Default)]
pub(super) struct Masks {
    pub(super) lung: Option<LabelVolume>,
    pub(super) infection: Option<LabelVolume>,
    pub(super) warnings: Vec<Warning>,
}

/// A file that holds a mask of a case.
struct Candidate<'a> {
    path: PathBuf,
    /// What its labels mean; `None` for a mask of one structure.
    meaning: Option<&'a MaskLabels>,
    /// How files of its kind are called.
    layout: String,
}

/// One output folder of `analyze`.
struct Analysed {
    folder: PathBuf,
    case_id: String,
    sha256: String,
}

impl Folder {
    /// Looks for the masks of the cases; nothing but their names is read, unless labels need an explanation.
    pub(super) fn open(root: &Path, cases: &[&Case]) -> Result<Self> {
        if !root.is_dir() {
            bail!("{} is no folder; --pred takes a folder of masks", root.display());
        }
        let mut folder = Self {
            root: root.to_owned(),
            names: names(cases),
            combined: BTreeMap::new(),
            analyses: analyses(root)?,
        };
        folder.combined = folder.find_combined(cases)?;
        let separate =
            |case: &&&Case| Structure::BOTH.iter().any(|&s| !folder.separate(&case.case_id, s).is_empty());
        if folder.analyses.is_empty() && folder.combined.is_empty() && !cases.iter().any(|c| separate(&c)) {
            let found = match std::fs::read_dir(root)?.count() {
                0 => "is empty".to_owned(),
                n => format!("holds {n} files and folders, none of them of one of the {} cases", cases.len()),
            };
            let example = cases.first().map_or(String::new(), |c| {
                format!("; for example {}", root.join(&c.case_id).join("lung_mask.nii.gz").display())
            });
            bail!("{} {found}; {LAYOUTS}{example}", root.display());
        }
        Ok(folder)
    }

    /// The masks of one case.
    pub(super) fn read(&self, case: &Case, scan: &Scan) -> Result<Masks> {
        let mut masks = Masks::default();
        let grid = &scan.ct.grid;
        let analysed = self.analysed(case, &scan.sha256, &mut masks.warnings);
        for structure in Structure::BOTH {
            let found = self.candidates(case, structure, analysed);
            let Some((taken, others)) = found.split_first() else { continue };
            let labels = mask_file::read(&taken.path, structure, taken.meaning, grid, &mut masks.warnings)?;
            for other in others {
                let read = mask_file::read(&other.path, structure, other.meaning, grid, &mut Vec::new());
                let differ = match read {
                    Ok(other) if other == labels => continue,
                    Ok(_) => "two masks that differ",
                    Err(_) => "two masks, of which one cannot be read",
                };
                let message = format!(
                    "the folder holds for the {} {differ}: that of {} was taken, that of {} was not",
                    structure.name(),
                    taken.layout,
                    other.layout
                );
                masks.warnings.push(Warning::new(TWICE, message));
            }
            match structure {
                Structure::Lung => masks.lung = Some(labels),
                Structure::Infection => masks.infection = Some(labels),
            }
        }
        let mut told: Vec<Warning> = Vec::new();
        masks.warnings.retain(|warning| {
            let new = !told.contains(warning);
            told.extend(new.then(|| warning.clone()));
            new
        });
        Ok(masks)
    }

    /// All files with the mask of one structure of a case; the first of them counts.
    fn candidates<'a>(
        &'a self,
        case: &Case,
        structure: Structure,
        analysed: Option<&Analysed>,
    ) -> Vec<Candidate<'a>> {
        let file = file_name(structure);
        let own = |path, layout| Candidate { path, meaning: None, layout };
        let of_analysis = analysed.and_then(|a| nifti(a.folder.join(&file)));
        let of_analysis = of_analysis.map(|path| own(path, "`analyze`".to_owned()));
        let combined = self.combined.get(&case.case_id).filter(|(_, meaning)| meaning.tell(structure));
        let combined = combined.map(|(path, meaning)| Candidate {
            path: path.clone(),
            meaning: Some(meaning),
            layout: "CASE with both structures".to_owned(),
        });
        let separate = self.separate(&case.case_id, structure).into_iter();
        let separate = separate.map(|(path, layout)| own(path, layout));
        let mut found: Vec<Candidate<'_>> = Vec::new();
        for candidate in of_analysis.into_iter().chain(separate).chain(combined) {
            if found.iter().all(|f| f.path != candidate.path) {
                found.push(candidate);
            }
        }
        found
    }

    /// The masks of one structure alone, in either layout.
    fn separate(&self, case_id: &str, structure: Structure) -> Vec<(PathBuf, String)> {
        let file = file_name(structure);
        let names = self.names.get(case_id).into_iter().flatten();
        let both = names.flat_map(|name| {
            [
                (nifti(self.root.join(name).join(&file)), format!("CASE/{file}")),
                (nifti(self.root.join(&file).join(name)), format!("{file}/CASE")),
            ]
        });
        both.filter_map(|(path, layout)| Some((path?, layout))).collect()
    }

    /// Says how many masks are of none of the data sets' cases; `scans` are the hashes of their scans, where all were read.
    pub(super) fn of_no_case(
        &self,
        cases: &[&Case],
        scans: Option<&BTreeSet<&str>>,
    ) -> Result<Option<Warning>> {
        let names_of = |case: &&Case| std::iter::once(case.case_id.clone()).chain(case.aliases.clone());
        let known: BTreeSet<String> = cases.iter().flat_map(names_of).collect();
        if self.analyses.iter().any(|a| a.folder == self.root) {
            return Ok(None);
        }
        let mut names = masks_below(&self.root, !self.combined.is_empty())?;
        for analysed in &self.analyses {
            // An analysis is found by its CT, whatever its folder is called.
            let is_read = scans.is_none_or(|scans| scans.contains(analysed.sha256.as_str()));
            if is_read || known.contains(&analysed.case_id) {
                analysed.folder.file_name().map(|name| names.remove(&*name.to_string_lossy()));
            }
        }
        let left = names.difference(&known).count();
        Ok((left > 0).then(|| {
            let message = format!(
                "masks of no case of the data set lie in the folder and were left out: {}",
                if left == 1 { "1 name".to_owned() } else { format!("{left} names") }
            );
            Warning::new("prediction_of_no_case", message)
        }))
    }

    /// The output of `analyze` for this CT: made from the same file, else of the same name.
    fn analysed(&self, case: &Case, sha256: &str, warnings: &mut Vec<Warning>) -> Option<&Analysed> {
        let names = self.names.get(&case.case_id)?;
        if let Some(same) = self.analyses.iter().find(|a| a.sha256 == sha256) {
            return Some(same);
        }
        let named = self.analyses.iter().find(|a| names.contains(&a.case_id))?;
        warnings.push(Warning::new(
            "analysis_of_another_file",
            "the masks come from an analysis of that name whose CT was another file than that of the case",
        ));
        Some(named)
    }

    /// Masks named after cases that lie in the folder itself.
    fn find_combined(&self, cases: &[&Case]) -> Result<BTreeMap<String, (PathBuf, MaskLabels)>> {
        let files: Vec<(&Case, PathBuf)> = cases
            .iter()
            .filter_map(|case| {
                let names = self.names.get(&case.case_id)?;
                Some((*case, names.iter().find_map(|name| nifti(self.root.join(name)))?))
            })
            .collect();
        let stated = match self.root.join("dataset.json").is_file() && !files.is_empty() {
            true => Some(
                MaskLabels::from_dataset_json(&self.root).with_context(|| self.root.display().to_string())?,
            ),
            false => None,
        };
        // A network that learnt from this data set names its labels as the data set does.
        let known = |case: &Case| {
            let of_truth = case.combined.as_ref().map(|m| &m.labels);
            stated.clone().or_else(|| of_truth.filter(|l| matches!(l, MaskLabels::Named { .. })).cloned())
        };
        let unexplained: Vec<&PathBuf> =
            files.iter().filter(|(case, _)| known(case).is_none()).map(|(_, path)| path).collect();
        explain(&unexplained)?;
        Ok(files
            .iter()
            .map(|(case, path)| {
                let meaning = known(case).unwrap_or(MaskLabels::Combined);
                (case.case_id.clone(), (path.clone(), meaning))
            })
            .collect())
    }
}

/// The names of all masks below a folder in the layouts that lie there.
fn masks_below(root: &Path, combined: bool) -> Result<BTreeSet<String>> {
    let kinds = Structure::BOTH.map(file_name);
    let mut names = BTreeSet::new();
    for path in entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() {
            names.extend(mask_name(&name).filter(|_| combined).map(str::to_owned));
        } else if kinds.contains(&name) {
            let files = entries(&path)?;
            let files = files.iter().filter_map(|file| file.file_name()?.to_str());
            names.extend(files.filter_map(mask_name).map(str::to_owned));
        } else if kinds.iter().any(|kind| nifti(path.join(kind)).is_some()) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The name of a mask's file without its extension.
fn mask_name(file: &str) -> Option<&str> {
    file.strip_suffix(".nii.gz").or_else(|| file.strip_suffix(".nii"))
}

/// What a folder holds, in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let opening = || format!("opening {}", folder.display());
    let found = std::fs::read_dir(folder).with_context(opening)?;
    let mut paths =
        found.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().with_context(opening)?;
    paths.sort();
    Ok(paths)
}

/// `lung_mask` or `infection_mask`.
fn file_name(structure: Structure) -> String {
    format!("{}_mask", structure.name())
}

/// The file of that name with either extension.
fn nifti(base: PathBuf) -> Option<PathBuf> {
    ["nii.gz", "nii"].iter().map(|e| PathBuf::from(format!("{}.{e}", base.display()))).find(|p| p.is_file())
}

/// What each case may be called in the folder.
fn names(cases: &[&Case]) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        for name in std::iter::once(&case.case_id).chain(&case.aliases) {
            *owners.entry(name).or_default() += 1;
        }
    }
    let of = |case: &&Case| {
        let aliases = case.aliases.iter().filter(|a| owners.get(a.as_str()) == Some(&1)).cloned();
        (case.case_id.clone(), std::iter::once(case.case_id.clone()).chain(aliases).collect())
    };
    cases.iter().map(of).collect()
}

/// The folders that `analyze` wrote: this one, or those in it.
fn analyses(root: &Path) -> Result<Vec<Analysed>> {
    #[derive(Deserialize)]
    struct Input {
        sha256: String,
    }
    #[derive(Deserialize)]
    struct Analysis {
        case_id: String,
        input: Input,
    }
    let mut found = Vec::new();
    for folder in std::iter::once(root.to_owned()).chain(entries(root)?) {
        let path = folder.join("analysis.json");
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        // Another program's file of that name says nothing.
        if let Ok(Analysis { case_id, input }) = serde_json::from_slice(&bytes) {
            found.push(Analysed { folder, case_id, sha256: input.sha256 });
        }
    }
    Ok(found)
}

/// Masks of both structures without a word on their labels are 0 outside, 1 and 2 the lungs, 3 infected lung; a set in
/// which nothing is 3 may as well mean something else.
fn explain(files: &[&PathBuf]) -> Result<()> {
    let mut seen = Vec::new();
    for path in files {
        let labels = gg_io::read_labels(path, &ReadOptions::default())
            .with_context(|| path.display().to_string())?
            .value
            .0;
        seen.extend(gg_dataset::labels_present(&labels));
        if seen.contains(&INFECTED_LUNG) {
            return Ok(());
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let Some(first) = files.first() else { return Ok(()) };
    bail!(
        "{}: nothing says what the labels mean; masks such as this one hold {}; right would be a dataset.json of nnU-Net \
         beside them, the labels 0 outside, 1 and 2 the lungs and 3 infected lung, or masks of one structure each in \
         lung_mask/ and infection_mask/",
        first.display(),
        label_list(&seen)
    )
}
