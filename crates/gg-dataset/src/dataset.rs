//! A data set: its layout and its cases, read from tables alone; and several of them together.

use crate::DatasetError;
use crate::case::Case;
use crate::layouts::{self, Layout};
use crate::load::{LoadedCase, load};
use crate::split::{Part, SplitCase};
use gg_io::ReadOptions;
use gg_volume::{Warned, Warning};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A data set of one layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// How it lies on disk.
    pub layout: Layout,
    /// Its cases, in the order of its table or of file names.
    pub cases: Vec<Case>,
    /// Whether its table states patients.
    pub has_patient_column: bool,
    /// Its folder.
    pub root: PathBuf,
}

/// What `inspect` says of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// How it lies on disk.
    pub layout: Layout,
    /// Number of cases.
    pub cases: usize,
    /// Number of patients; `None` where the data set does not state them.
    pub patients: Option<usize>,
    /// Number of slices, where its table lists them.
    pub slices: Option<usize>,
    /// Cases with a lung mask.
    pub with_lung_mask: usize,
    /// Cases with an infection mask.
    pub with_infection_mask: usize,
    /// Slices labelled as infected, as free of infection, and unknown, where there are slice labels.
    pub slice_labels: Option<[usize; 3]>,
    /// Number of cases of each class.
    pub classes: BTreeMap<String, usize>,
    /// Number of cases in each fold that the table states.
    pub folds: BTreeMap<usize, usize>,
    /// Number of cases in each part that the table states.
    pub parts: BTreeMap<Part, usize>,
}

impl Dataset {
    /// Opens a folder (or its table) as a data set; the layout is told by what is there.
    ///
    /// # Errors
    /// [`DatasetError`] where no layout fits, a file of the table is missing or its cells make no sense.
    pub fn open(path: &Path) -> Result<Warned<Self>, DatasetError> {
        // A scan that lies beside some table is not that data set.
        let is_table =
            path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("json"));
        let root = match path.is_file() {
            true if is_table => path.parent().unwrap_or(Path::new("")),
            true => return Err(DatasetError::NotRecognised),
            false => path,
        };
        if !root.is_dir() && !root.as_os_str().is_empty() {
            return Err(DatasetError::NoFolder);
        }
        layouts::open(root)
    }

    /// Reads the CT, masks and labels of a case.
    ///
    /// # Errors
    /// [`DatasetError`] where a file cannot be read, a mask has another shape than its CT or an unknown label.
    pub fn load(&self, case: &Case, options: &ReadOptions) -> Result<LoadedCase, DatasetError> {
        load(case, options)
    }

    /// Counts of what the tables tell.
    pub fn summary(&self) -> DatasetSummary {
        let count = |f: &dyn Fn(&Case) -> bool| self.cases.iter().filter(|c| f(c)).count();
        let patients: BTreeSet<&str> = self.cases.iter().map(|c| c.patient.as_str()).collect();
        let labelled = self.cases.iter().any(|c| c.slice_labels.is_some());
        // A case of which no slice is labelled counts with all its slices as unknown.
        let of = |wanted: Option<bool>| -> usize {
            let count = |c: &Case| match &c.slice_labels {
                Some(labels) => labels.iter().filter(|&&l| l == wanted).count(),
                None if wanted.is_none() => c.slices().unwrap_or(0),
                None => 0,
            };
            self.cases.iter().map(count).sum()
        };
        let mut summary = DatasetSummary {
            layout: self.layout,
            cases: self.cases.len(),
            patients: self.has_patient_column.then_some(patients.len()),
            slices: self.cases.iter().map(Case::slices).sum(),
            with_lung_mask: count(&Case::has_lung),
            with_infection_mask: count(&Case::has_infection),
            slice_labels: labelled.then(|| [of(Some(true)), of(Some(false)), of(None)]),
            classes: BTreeMap::new(),
            folds: BTreeMap::new(),
            parts: BTreeMap::new(),
        };
        for case in &self.cases {
            if let Some(class) = &case.class {
                *summary.classes.entry(class.clone()).or_default() += 1;
            }
            if let Some(fold) = case.fold {
                *summary.folds.entry(fold).or_default() += 1;
            }
            if let Some(part) = case.part {
                *summary.parts.entry(part).or_default() += 1;
            }
        }
        summary
    }
}

/// Several data sets used together: case names are unique, and a patient has one name in all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Datasets {
    /// The data sets.
    pub sets: Vec<Dataset>,
}

impl Datasets {
    /// Opens folders (or their tables) and joins them.
    ///
    /// # Errors
    /// As [`Dataset::open`], with the index of the data set that failed.
    pub fn open(paths: &[PathBuf]) -> Result<Warned<Self>, (usize, DatasetError)> {
        let mut warnings = Vec::new();
        let mut sets = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            sets.push(Dataset::open(path).map_err(|e| (i, e))?.drain_into(&mut warnings));
        }
        let mut joined = Self::join(sets);
        warnings.append(&mut joined.warnings);
        warnings.dedup();
        Ok(Warned::new(joined.value, warnings))
    }

    /// Joins data sets. Patients of equal name are one; so are the patients of cases whose scan has the same name
    /// (of the case or of its files) in two sets, with a warning where the tables do not say so themselves.
    pub fn join(mut sets: Vec<Dataset>) -> Warned<Self> {
        let mut warnings = Vec::new();
        join_patients(&mut sets, &mut warnings);
        rename_clashes(&mut sets, &mut warnings);
        Warned::new(Self { sets }, warnings)
    }

    /// All cases, set by set.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.sets.iter().flat_map(|s| &s.cases)
    }

    /// What a split needs to know, from the tables alone.
    pub fn split_cases(&self) -> Vec<SplitCase> {
        self.cases().map(Case::split_case).collect()
    }

    /// Number of cases.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|s| s.cases.len()).sum()
    }

    /// Whether there is no case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The published table of the 20-volume set says `coronacases_org_001` where its masks say `coronacases_001`.
fn scan_name(name: &str) -> String {
    name.to_lowercase().replace("_org_", "_")
}

/// Gives one name to all that may be one patient.
fn join_patients(sets: &mut [Dataset], warnings: &mut Vec<Warning>) {
    // Names of patients and of scans are nodes; a case ties its patient to the names of its scan.
    let mut groups = Groups::default();
    for (set, case) in numbered(sets) {
        let patient = groups.node(&patient_node(set, case));
        for name in std::iter::once(&case.case_id).chain(&case.aliases) {
            let scan = groups.node(&scan_node(set, name));
            groups.tie(patient, scan);
        }
    }
    // The name of a group is the least name that a table states, else the least name of a case.
    let mut names: BTreeMap<usize, (bool, String)> = BTreeMap::new();
    for (set, case) in numbered(sets) {
        let root = groups.root_of(&patient_node(set, case));
        let candidate = (!case.patient_known, case.patient.clone());
        let name = names.entry(root).or_insert_with(|| candidate.clone());
        if candidate < *name {
            *name = candidate;
        }
    }
    let mut joined = BTreeSet::new();
    for (set, case) in sets.iter_mut().enumerate().flat_map(|(i, s)| s.cases.iter_mut().map(move |c| (i, c)))
    {
        let (_, name) = &names[&groups.root_of(&patient_node(set, case))];
        if *name != case.patient {
            joined.insert((set, case.case_id.clone()));
            case.patient.clone_from(name);
        }
    }
    if !joined.is_empty() {
        let n = joined.len();
        warnings.push(Warning::new(
            "patients_joined",
            format!(
                "{n} cases have the name of another scan whose patient is named differently or not at all; \
                 they are taken for the same patient"
            ),
        ));
    }
}

fn numbered(sets: &[Dataset]) -> impl Iterator<Item = (usize, &Case)> {
    sets.iter().enumerate().flat_map(|(i, s)| s.cases.iter().map(move |c| (i, c)))
}

fn patient_node(set: usize, case: &Case) -> String {
    if case.patient_known { format!("patient {}", case.patient) } else { scan_node(set, &case.patient) }
}

/// A name of digits alone is a counter: it says nothing about a scan of the same number in another set.
fn scan_node(set: usize, name: &str) -> String {
    let counter = name.chars().all(|c| c.is_ascii_digit());
    if counter { format!("scan {name} of set {set}") } else { format!("scan {}", scan_name(name)) }
}

/// Puts the number of the set before case names that an earlier set has too; the first keeps its names.
fn rename_clashes(sets: &mut [Dataset], warnings: &mut Vec<Warning>) {
    let mut owners: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (i, set) in sets.iter().enumerate() {
        for case in &set.cases {
            owners.entry(case.case_id.clone()).or_default().insert(i);
        }
    }
    let clashes: BTreeMap<String, usize> = owners
        .iter()
        .filter(|(_, sets)| sets.len() > 1)
        .filter_map(|(name, sets)| Some((name.clone(), *sets.first()?)))
        .collect();
    if clashes.is_empty() {
        return;
    }
    let mut taken: BTreeSet<String> = owners.into_keys().collect();
    for (i, set) in sets.iter_mut().enumerate() {
        let later = |c: &&mut Case| clashes.get(&c.case_id).is_some_and(|&first| first != i);
        for case in set.cases.iter_mut().filter(later) {
            let mut name = format!("set{}_{}", i + 1, case.case_id);
            while !taken.insert(name.clone()) {
                name.insert(0, '_');
            }
            if !case.patient_known && scan_node(i, &case.patient) == scan_node(i, &case.case_id) {
                case.patient.clone_from(&name);
            }
            if !case.aliases.contains(&case.case_id) {
                case.aliases.push(case.case_id.clone());
            }
            case.case_id = name;
        }
    }
    let n = clashes.len();
    warnings.push(Warning::new(
        "case_names_clash",
        format!(
            "{n} case names stand in more than one data set; the number of the data set was put before those of the later ones"
        ),
    ));
}

/// Union-find over names.
#[derive(Default)]
struct Groups {
    index: BTreeMap<String, usize>,
    parent: Vec<usize>,
}

impl Groups {
    fn node(&mut self, name: &str) -> usize {
        let next = self.parent.len();
        let node = *self.index.entry(name.to_owned()).or_insert(next);
        if node == next {
            self.parent.push(next);
        }
        node
    }

    fn root(&self, mut node: usize) -> usize {
        while self.parent[node] != node {
            node = self.parent[node];
        }
        node
    }

    fn tie(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    fn root_of(&self, name: &str) -> usize {
        self.index.get(name).map_or(usize::MAX, |&node| self.root(node))
    }
}
