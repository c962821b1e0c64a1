//! Opening data sets, deciding which cases are trained on, chosen on and tested, and the cache of prepared slices: the
//! same for every command.

use super::Context;
use crate::args::{CacheArgs, FoldArgs, ReadArgs};
use crate::failure::Usage;
use crate::manifest::Program;
use crate::output;
use crate::settings::Settings;
use anyhow::{Context as _, Result, anyhow};
use gg_dataset::{
    Cache, CacheError, CacheOptions, Case, CtSource, Datasets, LoadedCase, Parts, PreparedCases, Split,
    SplitCase,
};
use gg_imaging::{PrepareConfig, Prepared};
use gg_io::{ReadError, ReadOptions, Scan};
use gg_volume::{Warned, Warning};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Folds where neither a split file nor the data set's table says otherwise.
const DEFAULT_FOLDS: usize = 5;

/// Opens data sets and says aloud what is odd about them.
pub(crate) fn open(context: &Context, paths: &[PathBuf]) -> Result<(Datasets, Vec<Warning>)> {
    let opened = Datasets::open(paths)
        .map_err(|(i, e)| anyhow::Error::new(e).context(paths[i].display().to_string()))?;
    for warning in &opened.warnings {
        context.console.warn_once(&warning.message);
    }
    Ok((opened.value, opened.warnings))
}

/// A split and the parts of one of its folds.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) split: Split,
    pub(crate) fold: usize,
    pub(crate) parts: Parts,
}

/// The split to train or test with: the file that was named, else the data sets' own folds, else one by patient.
pub(crate) fn choose(
    context: &Context,
    sets: &Datasets,
    args: &FoldArgs,
    seed: u64,
    validation_share: f64,
) -> Result<Chosen> {
    let chosen = choose_any(context, sets, args, seed, validation_share)?;
    let cases = sets.cases().map(|c| (c.case_id.as_str(), c.patient.as_str()));
    let named =
        || args.split.as_ref().map_or_else(|| "the split".to_owned(), |path| path.display().to_string());
    chosen.split.keeps_patients(cases).with_context(named)?;
    Ok(chosen)
}

/// The same, of a split that may give one patient two names: what is trained and scored under it would leak.
pub(crate) fn choose_any(
    context: &Context,
    sets: &Datasets,
    args: &FoldArgs,
    seed: u64,
    validation_share: f64,
) -> Result<Chosen> {
    let split = match &args.split {
        Some(path) => read_split(path)?,
        None => {
            let cases = sets.split_cases();
            let mut split = if cases.iter().any(|c| c.fold.is_some()) {
                Split::from_table(&cases, seed)?
            } else {
                Split::by_patient(&cases, default_folds(&cases), seed)?
            };
            split.validation_share = validation_share;
            split
        }
    };
    let fold = args.fold.unwrap_or(0);
    let parts = split.parts(fold).map_err(|e| Usage(e.to_string()))?;
    for case in sets.cases() {
        if parts.part_for(&case.case_id, &case.patient, 0).is_none() {
            return Err(gg_dataset::SplitError::CaseMissing(case.case_id.clone()).into());
        }
    }
    for warning in &parts.warnings {
        context.console.warn_once(&warning.message);
    }
    Ok(Chosen { split, fold, parts })
}

fn default_folds(cases: &[SplitCase]) -> usize {
    let patients: std::collections::BTreeSet<&str> =
        cases.iter().filter(|c| c.part.is_none()).map(|c| c.patient.as_str()).collect();
    patients.len().clamp(2, DEFAULT_FOLDS)
}

/// The number of folds that the data sets' own tables name, where they name at least two.
pub(crate) fn own_folds(cases: &[SplitCase]) -> Option<usize> {
    cases.iter().filter_map(|c| c.fold).max().map(|last| last + 1).filter(|&n| n >= 2)
}

/// The remark that folds are drawn although a table names others.
pub(crate) fn other_folds(own: usize, asked: usize) -> Warning {
    let message = if own == asked {
        "the data set's own table gives folds to some of the cases alone: new ones are drawn; without --folds those cases alone are \
         tested"
            .to_owned()
    } else {
        format!(
            "the data set's own table has {own} folds, {asked} are asked for: new ones are drawn; without --folds the table's are taken"
        )
    };
    Warning::new("other_folds_than_the_table", message)
}

pub(crate) fn read_split(path: &Path) -> Result<Split> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Split::from_toml(&text).with_context(|| path.display().to_string())
}

/// Every case with the set it stands in, in order.
pub(crate) fn cases(sets: &Datasets) -> impl Iterator<Item = (&gg_dataset::Dataset, &gg_dataset::Case)> {
    sets.sets.iter().flat_map(|set| set.cases.iter().map(move |case| (set, case)))
}

/// Reads a CT that the user named; the error names its place. What file names could tell stands there too, on stderr
/// alone: the last cause holds no name and may go into an output.
pub(crate) fn read_ct(path: &Path, options: &ReadOptions) -> Result<Warned<Scan>> {
    gg_io::read_ct(path, options).map_err(|error| {
        if path.is_dir()
            && let Ok(set) = gg_dataset::Dataset::open(path)
        {
            let summary = set.value.summary();
            return anyhow!(
                "it is a data set ({}, cases: {}), not one CT; `evaluate`, `train` and `prepare` take a data set, \
                 `inspect` says what is in it, and any of its CTs can be named by itself",
                summary.layout.name(),
                summary.cases
            )
            .context(path.display().to_string());
        }
        refused(path, error)
    })
}

/// Why a CT was not read, with its place; a choice where there is none is wrong usage.
pub(crate) fn refused(path: &Path, error: ReadError) -> anyhow::Error {
    let place = place(path, &error);
    match error {
        ReadError::NoSeries(_) => anyhow::Error::new(Usage(error.to_string())),
        ReadError::SeveralNifti(_) if output::is_ours(path) => {
            anyhow!("it is a result of groundglass, right would be the CT that it is of")
        }
        error => anyhow::Error::new(error),
    }
    .context(place)
}

/// A path, and the names of the files in it where the error is about them.
fn place(path: &Path, error: &ReadError) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = match error {
        ReadError::SeveralPictureSeries(series) => series.iter().map(|s| s.names.clone()).collect(),
        ReadError::SeveralNifti(files) => {
            files.iter().map(|f| f.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
        }
        _ if path.is_dir() => only_nifti(path).into_iter().collect(),
        _ => return path.display().to_string(),
    };
    if names.is_empty() {
        return path.display().to_string();
    }
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    format!("{} ({})", path.display(), shown.join(", "))
}

/// The name of the NIfTI file in a folder that holds one: what is wrong is wrong with it.
fn only_nifti(folder: &Path) -> Option<String> {
    let names =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found = names.filter(|name| name.ends_with(".nii") || name.ends_with(".nii.gz"));
    found.next().filter(|_| found.next().is_none())
}

/// Says on stderr which files were left out, and why.
pub(crate) fn say_left_out(context: &Context, skipped: &[(PathBuf, String)]) {
    const SHOWN: usize = 50;
    for (path, reason) in skipped.iter().take(SHOWN) {
        context.console.say(format!("left out: {}: {reason}", path.display()));
    }
    if skipped.len() > SHOWN {
        context.console.say(format!("left out: {} more", skipped.len() - SHOWN));
    }
}

/// Reads one case; the error names it and its file.
pub(crate) fn load(
    set: &gg_dataset::Dataset,
    case: &gg_dataset::Case,
    read: &ReadArgs,
) -> Result<LoadedCase> {
    set.load(case, &read.options()).map_err(|e| at_fault(case, e))
}

/// A fault of a case with the file that has it.
fn at_fault(case: &gg_dataset::Case, error: gg_dataset::DatasetError) -> anyhow::Error {
    let masks = [("the lung mask", &case.lung), ("the infection mask", &case.infection)];
    let what = error.case().map(|(_, what)| what);
    let mask = masks.into_iter().find(|(name, _)| Some(*name) == what);
    let mask = mask.and_then(|(_, own)| own.as_ref().or(case.combined.as_ref()));
    let place = match mask.map_or(&case.ct, |mask| &mask.files) {
        CtSource::File(path) => path.display().to_string(),
        CtSource::Slices(files) => {
            files.first().and_then(|f| f.parent()).map_or(String::new(), |d| d.display().to_string())
        }
    };
    anyhow!(error).context(format!("{} ({place})", case.case_id))
}

/// Tables rarely say how many slices a volume has: the files do.
pub(crate) fn with_slice_counts(sets: &Datasets, read: &ReadOptions) -> Result<Vec<SplitCase>> {
    cases(sets)
        .map(|(_, case)| {
            let mut split_case = case.split_case();
            if split_case.slices.is_none()
                && let CtSource::File(path) = &case.ct
            {
                let seen = gg_io::read_ct(path, read).with_context(|| path.display().to_string())?;
                let grid = &seen.value.ct.grid;
                split_case.slices = Some(grid.axis_map().canonical_shape(grid.shape)[0]);
            }
            Ok(split_case)
        })
        .collect()
}

/// The folder of prepared slices: the one that was named, else `cache` beside the output folder, so that commands whose
/// outputs lie side by side share it. It is only ever added to.
pub(crate) fn cache_dir(args: &CacheArgs, out: &Path) -> Result<PathBuf> {
    let dir = args.cache.clone().unwrap_or_else(|| output::parent_of(out).join("cache"));
    let whole = |p: &Path| std::path::absolute(p).with_context(|| p.display().to_string());
    if whole(&dir)?.starts_with(whole(out)?) {
        return Err(Usage(format!(
            "the cache {} lies in the output folder {}, which is replaced as a whole; --cache names another folder",
            dir.display(),
            out.display()
        ))
        .into());
    }
    Ok(dir)
}

fn cache_options(read: ReadOptions) -> CacheOptions {
    let Program { version, commit, .. } = Program::this();
    CacheOptions { read, program: format!("{version} {commit}"), ..CacheOptions::default() }
}

/// The prepared slices of all data sets, with progress; what the folder lacks is made.
pub(crate) fn build_cache(
    context: &Context,
    sets: &Datasets,
    settings: &Settings,
    read: ReadOptions,
    dir: &Path,
) -> Result<Cache> {
    let step = context.console.step("preparing slices", sets.len() as u64);
    let cache = Cache::build(dir, sets, &settings.prepare, &cache_options(read), &|p| {
        step.set(p.finished as u64);
        if context.interrupt.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match cache {
        Err(CacheError::Interrupted) => Err(context
            .interrupt
            .error("the prepared cases are kept; the next run goes on from them".to_owned())
            .into()),
        Err(CacheError::Dataset(error)) => {
            let is_at_fault =
                |case: &&gg_dataset::Case| error.case().is_some_and(|(id, _)| id == case.case_id);
            Err(match sets.cases().find(is_at_fault) {
                Some(case) => at_fault(case, error),
                None => anyhow!(error).context(dir.display().to_string()),
            })
        }
        Err(error) => Err(error).with_context(|| dir.display().to_string()),
        Ok(cache) => {
            step.finish();
            let s = cache.summary();
            if s.reused > 0 {
                context.console.say(format!("{} of {} cases were prepared before", s.reused, s.cases));
            }
            if s.roi_failed > 0 {
                context.console.warn_once(&format!(
                    "no lung region was found in {} of {} slices; they are used whole",
                    s.roi_failed, s.slices
                ));
            }
            say_empty_lungs(context, &cache);
            Ok(cache)
        }
    }
}

/// Names the cases whose lung mask is empty although they are infected: what is said of all cases counts them alone.
fn say_empty_lungs(context: &Context, cache: &Cache) {
    let is_empty = |w: &Warning| w.code == LoadedCase::LUNGS_EMPTY;
    let cases = cache.cases().iter().filter(|c| c.warnings.iter().any(is_empty));
    let names: Vec<&str> = cases.map(|c| c.case_id.as_str()).collect();
    if !names.is_empty() {
        context
            .console
            .warn_once(&format!("the lung mask is empty, the infection mask not: {}", names.join(", ")));
    }
}

/// Prepared slices for predictions, case by case: from the cache, or made on the spot where none can be kept.
pub(crate) struct Slices(Option<PreparedCases>);

impl Slices {
    /// Opens the cache. A folder that cannot be used costs time, not the results.
    pub(crate) fn open(context: &Context, dir: &Path, read: ReadOptions) -> Self {
        match PreparedCases::open(dir, cache_options(read)) {
            Ok(cases) => Self(Some(cases)),
            Err(error) => {
                context.console.say(format!("{}: {error}; slices are prepared without it", dir.display()));
                Self(None)
            }
        }
    }

    /// The slices of one case as the networks see them; the same whether they were in the cache or not.
    pub(crate) fn get(
        &mut self,
        context: &Context,
        case: &Case,
        loaded: &LoadedCase,
        prepare: &PrepareConfig,
    ) -> Warned<Prepared> {
        if let Self(Some(cases)) = self {
            match cases.get(case, loaded, prepare) {
                Ok(prepared) => return prepared,
                Err(error) => {
                    context.console.say(format!("{error}; slices are prepared without it"));
                    *self = Self(None);
                }
            }
        }
        let ct = &loaded.scan.ct;
        gg_imaging::prepare(ct, &ct.grid.axis_map(), prepare)
    }

    /// The same in several sizes of the picture, as a run of the pipeline asks for them.
    pub(crate) fn sizes(
        &mut self,
        context: &Context,
        case: &Case,
        loaded: &LoadedCase,
        (config, sizes): (&PrepareConfig, &[usize]),
    ) -> Warned<Vec<Prepared>> {
        let mut warnings = Vec::new();
        let sized = |&size: &usize| PrepareConfig { size, ..config.clone() };
        let get = |config| self.get(context, case, loaded, &config).drain_into(&mut warnings);
        let prepared = sizes.iter().map(sized).map(get).collect();
        Warned::new(prepared, warnings)
    }

    /// Remembers for the next time which inputs were seen.
    pub(crate) fn close(self, context: &Context) {
        if let Self(Some(cases)) = self
            && let Err(error) = cases.close()
        {
            context.console.say(error.to_string());
        }
    }
}
