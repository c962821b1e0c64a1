//! `prepare`: fills the cache that `train` and `evaluate` use, and draws each step for one slice.

use super::{Context, data};
use crate::args::PrepareArgs;
use crate::manifest::Program;
use crate::output::{self, Staged, write_picture};
use crate::pictures::Shown;
use crate::settings::Settings;
use anyhow::{Context as _, Result, anyhow, bail};
use gg_dataset::{Cache, CacheSummary, LoadedCase, SampleSource};
use gg_imaging::{PrepareSteps, prepare_labels, prepare_steps};
use gg_report::{Captioned, ClaheFlow, Fact, Figure, Grey, PrepareReport, Provenance, Scene, SliceTally};
use gg_volume::Warning;
use serde::Serialize;

/// Prepared slices on the sheet of Fig. 10.
const SHEET: usize = 48;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    summary: CacheSummary,
    figures_of_case: String,
    figures_of_slice: usize,
    warnings: Vec<Warning>,
}

pub(super) fn run(context: &Context, args: PrepareArgs) -> Result<()> {
    let settings = Settings::resolve(&args.settings)?;
    settings.remarks().iter().for_each(|remark| context.console.warn(remark));
    output::check_apart(&args.out.out, &args.dataset)?;
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let cache_dir = data::cache_dir(&args.cache, &args.out.out)?;
    let staged = Staged::begin(&args.out.out, args.out.force, "summary.json")?;
    let dir = staged.path();
    let cache = data::build_cache(context, &sets, &settings, args.read.options(), &cache_dir)?;
    warnings.extend(cache.warnings());
    let (case, z) = choose(&cache, args.case.as_deref(), args.slice)?;
    let case_id = cache.cases()[case].case_id.clone();
    let (set, case_source) = data::cases(&sets).nth(case).ok_or_else(|| anyhow!("no such case"))?;
    let loaded = data::load(set, case_source, &args.read)?;
    let sheet = sheet(&cache, case)?;
    let figures = figures(&settings, &loaded, &case_id, z, sheet)?;
    let folder = dir.join("figures");
    std::fs::create_dir_all(&folder).context("making the folder of figures")?;
    for (name, figure) in &figures {
        write_picture(&folder, name, &figure.scene)?;
    }
    let summary = cache.summary();
    let report = PrepareReport {
        title: format!("Preparation of {case_id}, slice {z}"),
        figures: figures.into_iter().map(|(_, f)| f).collect(),
        tally: SliceTally {
            kept: summary.slices,
            dropped: summary.dropped.iter().map(|(k, v)| (k.clone(), *v)).collect(),
        },
        provenance: Provenance {
            leaking: false,
            warnings: warnings.iter().map(|w| w.message.clone()).collect(),
            facts: facts(&settings, &summary),
            models: Vec::new(),
            program: Program::this().to_string(),
        },
    };
    output::write_text(&dir.join("report.html"), &gg_report::prepare_report(&report))?;
    output::write_text(&dir.join("settings.toml"), &settings.to_toml()?)?;
    output::write_json(&dir.join("summary.json"), &summary)?;
    staged.commit()?;
    let answer = Answer { summary, figures_of_case: case_id, figures_of_slice: z, warnings };
    context.answer(&answer, || {
        format!(
            "{} slices of {} cases prepared in {}; figures of {}, slice {}, in {}",
            answer.summary.slices,
            answer.summary.cases,
            cache_dir.display(),
            answer.figures_of_case,
            answer.figures_of_slice,
            args.out.out.join("report.html").display()
        )
    })
}

/// The case and canonical slice to draw: what was asked for, else where most is infected (or most is lung).
pub(super) fn choose(cache: &Cache, case: Option<&str>, slice: Option<usize>) -> Result<(usize, usize)> {
    let infos = cache.infos();
    let wanted = match case {
        Some(name) => Some(
            cache
                .cases()
                .iter()
                .position(|c| c.case_id == name)
                .ok_or_else(|| anyhow!("no case is called `{name}`; `inspect` lists some of them"))?,
        ),
        None => None,
    };
    let best = infos
        .iter()
        .filter(|i| wanted.is_none_or(|w| i.case == w))
        .filter(|i| slice.is_none_or(|z| i.z == z))
        .max_by_key(|i| (i.infection_pixels, i.lung_pixels, std::cmp::Reverse((i.case, i.z))));
    match best {
        Some(info) => Ok((info.case, info.z)),
        None => bail!("slice {} is not among the kept slices", slice.unwrap_or(0)),
    }
}

/// Prepared slices of a case, evenly spread.
pub(super) fn sheet(cache: &Cache, case: usize) -> Result<Vec<Grey>> {
    let samples = cache.cases()[case].samples.clone();
    let n = samples.len().min(SHEET);
    (0..n)
        .map(|i| {
            let sample = cache.sample(samples.start + i * samples.len() / n)?;
            Ok(Grey::new(cache.size(), cache.size(), sample.image)?)
        })
        .collect()
}

/// The paper's figures of the preparation, by number.
pub(super) fn figures(
    settings: &Settings,
    loaded: &LoadedCase,
    case_id: &str,
    z: usize,
    sheet: Vec<Grey>,
) -> Result<Vec<(&'static str, Figure)>> {
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let steps = prepare_steps(ct, &map, &settings.prepare, z);
    let shown = Shown {
        ct,
        map,
        oriented: ct.grid.affine.is_some(),
        lung: loaded.lung.as_ref(),
        infection: loaded.infection.as_ref(),
    };
    let grey = |name: &str| -> Result<Captioned> {
        let p = steps.picture(name).ok_or_else(|| anyhow!("the preparation has no step `{name}`"))?;
        Ok(Captioned::new(Grey::new(p.width, p.height, p.pixels.clone())?, p.title))
    };
    let samples: Vec<_> = sample_slices(loaded, z)
        .into_iter()
        .map(|z| shown.axial(z, format!("slice {z}")))
        .collect::<Result<_>>()?;
    let (before, after, cropped, prepared) =
        (grey("grey")?, grey("contrast")?, grey("cropped")?, grey("prepared")?);
    let mut figures = vec![
        (
            "fig02_sample",
            fig("Fig. 2 · Sample CT with infection marked", case_id, gg_report::sample_figure(&samples)),
        ),
        (
            "fig03_contrast",
            fig(
                "Fig. 3 · Contrast before and after CLAHE",
                "The slice and its histogram on either side of the contrast step.",
                gg_report::contrast_figure(&before.grey, &after.grey),
            ),
        ),
    ];
    let crop_steps: Vec<Captioned> =
        ["contrast", "z_score", "air", "eroded", "dilated", "regions", "lung_regions", "cropped"]
            .iter()
            .filter(|name| steps.picture(name).is_some())
            .map(|name| grey(name))
            .collect::<Result<_>>()?;
    figures.push(("fig04_crop", fig(
        "Fig. 4 · Steps of the crop",
        "Two kinds of tissue by k-means, air, erosion, dilation, regions, those that can be lung, the crop.",
        gg_report::steps_figure("Steps of the crop", &crop_steps, CROP_COLUMNS),
    )));
    let side = settings.prepare.size;
    let mut row = vec![prepared.clone()];
    for (labels, name) in [(&loaded.lung, "lung mask"), (&loaded.infection, "infection mask")] {
        if let Some(labels) = labels
            && let Some(mask) = prepare_labels(labels, &map, std::slice::from_ref(&steps.way)).first()
        {
            row.push(Captioned::mask(side, side, mask, name)?);
        }
    }
    figures.push((
        "fig05_prepared",
        fig(
            "Fig. 5 · Final prepared CT, lung and infection",
            "What the networks see and learn from.",
            gg_report::prepared_figure("Prepared CT and masks", &[row]),
        ),
    ));
    if let Some(flow) = clahe_flow(settings, &steps, &before, &after) {
        figures.push((
            "fig09_clahe",
            fig(
                "Fig. 9 · How CLAHE works",
                "Histogram of a tile, the clipped histogram, the map of grey values that it gives.",
                gg_report::clahe_figure(&flow),
            ),
        ));
    }
    figures.push((
        "fig10_sheet",
        fig(
            "Fig. 10 · Sheet of prepared slices",
            "Slices of the case from feet to head.",
            gg_report::sheet_figure("Prepared slices", &sheet, SHEET_COLUMNS),
        ),
    ));
    let three = [grey("original")?, after, cropped];
    figures.push((
        "fig11_side_by_side",
        fig(
            "Fig. 11 · Original, contrast, crop",
            "The same slice side by side.",
            gg_report::steps_figure("Original, contrast, crop", &three, three.len()),
        ),
    ));
    Ok(figures)
}

/// Up to four slices of the case that show infection, the drawn one among them.
fn sample_slices(loaded: &LoadedCase, z: usize) -> Vec<usize> {
    const SAMPLES: usize = 4;
    let labels = loaded.slice_infected.as_deref().unwrap_or(&[]);
    let infected: Vec<usize> = (0..labels.len()).filter(|&z| labels[z] == Some(true)).collect();
    let mut chosen = vec![z];
    for i in 1..SAMPLES {
        chosen.extend(infected.get(i * infected.len() / SAMPLES));
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

const CROP_COLUMNS: usize = 4;
const SHEET_COLUMNS: usize = 8;

fn fig(title: &str, caption: &str, scene: Scene) -> Figure {
    Figure { title: title.to_owned(), caption: caption.to_owned(), scene }
}

fn clahe_flow(
    settings: &Settings,
    steps: &PrepareSteps,
    before: &Captioned,
    after: &Captioned,
) -> Option<ClaheFlow> {
    steps.clahe_tile.as_ref()?;
    let tiles = settings.prepare.clahe_tiles;
    Some(ClaheFlow {
        before: before.grey.clone(),
        after: after.grey.clone(),
        tiles,
        tile: [tiles[0] / 2, tiles[1] / 2],
        clip: settings.prepare.clahe_clip?,
    })
}

fn facts(settings: &Settings, summary: &CacheSummary) -> Vec<Fact> {
    let p = &settings.prepare;
    let kinds: Vec<String> = summary.intensity.iter().map(|(k, n)| format!("{k} in {n} cases")).collect();
    vec![
        Fact::new("Cases", summary.cases.to_string()),
        Fact::new("Slices", summary.slices.to_string()),
        Fact::new("Grey values", kinds.join(", ")),
        Fact::new("Size", format!("{0} x {0}", p.size)),
        Fact::new(
            "Window",
            p.window_hu.map_or("each slice from its minimum to its maximum".to_owned(), |[a, b]| {
                format!("{a} to {b} HU")
            }),
        ),
        Fact::new(
            "CLAHE",
            p.clahe_clip.map_or("none".to_owned(), |c| {
                format!("clip {c}, tiles {} x {}", p.clahe_tiles[0], p.clahe_tiles[1])
            }),
        ),
        Fact::new("Slices without lung region, used whole", summary.roi_failed.to_string()),
        Fact::new("Trimmed at each end", format!("{:.0} %", p.trim_fraction * 100.0)),
    ]
}
