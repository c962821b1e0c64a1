//! Masks of any program, found in a folder by the names of the cases and laid on the grid of each CT.

use anyhow::{Context as _, Result, bail};
use gg_dataset::{Case, MaskLabels, Structure, UnknownLabels};
use gg_io::{ReadOptions, Scan};
use gg_volume::{Grid, LabelVolume, Warning};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Said where nothing is found.
const LAYOUTS: &str = "understood are CASE/lung_mask.nii.gz and CASE/infection_mask.nii.gz (as `analyze` writes them), \
    lung_mask/CASE.nii.gz and infection_mask/CASE.nii.gz, or both structures in CASE.nii.gz (as nnU-Net writes them)";
/// A mask whose header places it further than this from its CT is of another scan, or of a changed one.
const FURTHEST_VOXELS: f64 = 0.5;
/// A file with more different values than this is no mask.
const MOST_LABELS: usize = 8;
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
            |case: &&&Case| Structure::BOTH.iter().any(|&s| folder.separate(&case.case_id, s).is_some());
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
            let own = analysed
                .and_then(|a| nifti(a.folder.join(file_name(structure))))
                .or_else(|| self.separate(&case.case_id, structure));
            let found = match (own, self.combined.get(&case.case_id)) {
                (Some(path), _) => {
                    let labels = read_mask(&path, grid, &mut masks.warnings)?;
                    Some(inside(&path, structure, &labels, own_labels(structure, &labels))?)
                }
                (None, Some((path, meaning))) if meaning.tell(structure) => {
                    let labels = read_mask(path, grid, &mut masks.warnings)?;
                    Some(inside(path, structure, &labels, meaning.clone())?)
                }
                _ => None,
            };
            match structure {
                Structure::Lung => masks.lung = found,
                Structure::Infection => masks.infection = found,
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

    /// The mask of one structure alone, in either layout.
    fn separate(&self, case_id: &str, structure: Structure) -> Option<PathBuf> {
        let file = file_name(structure);
        let names = self.names.get(case_id)?;
        names.iter().find_map(|name| {
            nifti(self.root.join(name).join(&file)).or_else(|| nifti(self.root.join(&file).join(name)))
        })
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
    let mut folders = vec![root.to_owned()];
    for entry in std::fs::read_dir(root).with_context(|| format!("opening {}", root.display()))? {
        folders.push(entry.with_context(|| format!("opening {}", root.display()))?.path());
    }
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
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

/// Reads a mask and lays it on the stored grid of its CT.
fn read_mask(path: &Path, ct: &Grid, warnings: &mut Vec<Warning>) -> Result<LabelVolume> {
    let named = || path.display().to_string();
    let unpacked = path.with_extension("");
    if path.extension().is_some_and(|e| e == "gz") && unpacked.is_file() {
        bail!(
            "{}: {} lies beside it, and either could be meant; right would be one of them",
            path.display(),
            unpacked.file_name().unwrap_or_default().display()
        );
    }
    let (labels, grid) = gg_io::read_labels(path, &ReadOptions::default()).with_context(named)?.value;
    let found = labels.shape();
    let laid = gg_dataset::lay(labels, &grid, ct);
    if laid.labels.shape() != ct.shape {
        let text = |[z, y, x]: [usize; 3]| format!("{x} x {y} x {z}");
        bail!(
            "{}: the mask has the shape {}, right would be that of its CT, {} (columns x rows x slices)",
            path.display(),
            text(found),
            text(ct.shape)
        );
    }
    if let Some(apart) = laid.apart_voxels.filter(|&a| a > FURTHEST_VOXELS) {
        bail!(
            "{}: the header places the mask {apart:.1} voxels away from its CT; right would be the place of the CT, also \
             with its axes turned",
            path.display()
        );
    }
    if laid.turned {
        let message =
            "a predicted mask is stored in another orientation than its CT; it was turned as the headers say";
        warnings.push(Warning::new("prediction_turned", message));
    }
    if grid.affine.is_some() != ct.affine.is_some() {
        let message = "a predicted mask and its CT do not both say how they lie; the voxels were matched by their indices";
        warnings.push(Warning::new("prediction_unplaced", message));
    }
    Ok(laid.labels)
}

/// What the labels of a mask of one structure mean: 0/1 (lungs also 0/1/2), or 0/255.
fn own_labels(structure: Structure, labels: &LabelVolume) -> MaskLabels {
    match structure {
        _ if gg_dataset::labels_present(labels).iter().all(|v| matches!(*v, 0 | u8::MAX)) => {
            MaskLabels::Lenient
        }
        Structure::Lung => MaskLabels::Lung,
        Structure::Infection => MaskLabels::Infection,
    }
}

fn inside(
    path: &Path,
    structure: Structure,
    labels: &LabelVolume,
    meaning: MaskLabels,
) -> Result<LabelVolume> {
    match gg_dataset::binary(structure, labels, &meaning) {
        Ok(found) => Ok(found.labels),
        Err(UnknownLabels { found, .. }) if found.len() > MOST_LABELS => bail!(
            "{}: {} different values from {} to {} were found, as in a CT; right would be a mask",
            path.display(),
            found.len(),
            found[0],
            found[found.len() - 1]
        ),
        Err(UnknownLabels { found, right, .. }) => bail!(
            "{}: the labels of the {} mask are {}, right would be {}",
            path.display(),
            structure.name(),
            label_list(&found),
            label_list(&right)
        ),
    }
}

fn label_list(labels: &[u8]) -> String {
    labels.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
