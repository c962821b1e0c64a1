//! Where the classifier looks in one slice: Grad-CAM and occlusion on the grid of the input, beside the masks of the
//! models in the box.

use crate::args::ExplainArgs;
use crate::builtin;
use crate::commands::{Context, data};
use crate::manifest::{Compute, ModelUsed, Program};
use crate::output::{self, Staged, write_picture};
use crate::pictures::Shown;
use crate::pipeline::{self, Models};
use crate::seen::{self, Asked};
use crate::words::kind_in_words;
use anyhow::{Context as _, Result, anyhow, bail};
use gg_dataset::{LEAK, PATIENTS_LEAK};
use gg_imaging::SliceWay;
use gg_nn::engine::{Arithmetic, Precision};
use gg_nn::explain::{Patch, SaliencyMap, grad_cam, occlusion};
use gg_report::{
    Fact, Figure, HeatPanel, Provenance, Section, SlicePicture, StudyReport, TextTable, heat_figure,
    heat_picture,
};
use gg_volume::{AxisMap, Intensity, Warning, correlation};
use serde::Serialize;
use std::path::Path;

/// Version of `explanation.json`.
const SCHEMA_VERSION: u32 = 1;
/// Width of a panel of the figure, in scene units.
const PANEL: f64 = 300.0;

/// `explanation.json`.
#[derive(Serialize)]
struct Explanation {
    schema_version: u32,
    research_use_only: bool,
    /// Counted from 0 at the feet where the orientation is known, else in stored order.
    slice: usize,
    stored_index: usize,
    intensity: Intensity,
    /// Of the network, which is what the maps explain.
    network_probability: f32,
    /// As `analyze` says it: 0 where there is no lung, and with the infected area weighed in where the bundle does so.
    probability: f32,
    threshold: f32,
    positive: bool,
    /// Pixels of the slice on the grid of the input, of the lungs and of the infection in it, by the segmentation models.
    pixels: Pixels,
    grad_cam: Cam,
    occlusion: Hidden,
    /// Correlation of the two maps inside the picture that the classifier saw; null where one of them is flat.
    agreement: Option<f64>,
    warnings: Vec<Warning>,
    models: Vec<ModelUsed>,
    program: Program,
    /// Of both maps and the probability of the network.
    compute: Compute,
    /// Of the masks, which are those that `analyze` makes.
    compute_of_masks: Compute,
}

#[derive(Serialize)]
struct Pixels {
    seen: usize,
    lung: usize,
    infection: usize,
}

#[derive(Serialize)]
struct Cam {
    layer: String,
    /// Rows and columns of the layer's maps: how finely Grad-CAM can tell places apart.
    layer_size: [usize; 2],
    logit: f32,
    map: MapNumbers,
}

#[derive(Serialize)]
struct Hidden {
    /// Side and step of the square in pixels of the prepared picture, and the side of that picture.
    patch: usize,
    step: usize,
    picture: usize,
    largest_drop: f32,
    map: MapNumbers,
}

/// A map on the grid of the input, inside the picture that the classifier saw.
#[derive(Serialize)]
struct MapNumbers {
    lowest: f32,
    highest: f32,
    mean: f64,
    /// Row and column of the highest value.
    peak: [usize; 2],
    /// Share of the map's positive sum inside the lungs, and inside the infection; null where nothing is positive.
    share_in_lung: Option<f64>,
    share_in_infection: Option<f64>,
    /// What these shares would be if the map were the same everywhere.
    even_share_in_lung: f64,
    even_share_in_infection: f64,
}

/// A slice with what the networks say of it, on the canonical grid.
struct Explained {
    explanation: Explanation,
    picture: SlicePicture,
    cam: Vec<f32>,
    hidden: Vec<f32>,
}

pub(super) fn run(context: &Context, args: &ExplainArgs, ct: &Path, slice: usize) -> Result<()> {
    output::check_apart(&args.out.out, &[ct.to_owned()])?;
    let staged = Staged::begin(&args.out.out, args.out.force, "explanation.json")?;
    let found = explain(context, args, ct, slice)?;
    for warning in &found.explanation.warnings {
        context.console.warn(&warning.message);
    }
    write(staged.path(), &found)?;
    staged.commit()?;
    context.answer(&found.explanation, || text(&found.explanation, &args.out.out))
}

fn explain(context: &Context, args: &ExplainArgs, path: &Path, z: usize) -> Result<Explained> {
    let mut models = Models::open(args.model.as_slice(), context.processor(None)?, true)?;
    if let (Some(named), None) = (&args.model, &models.classify) {
        let task = models.all().next().map_or("another task", |m| m.bundle.info.task.name());
        bail!(
            "{}: this bundle is for the task `{task}`; right would be one for the task `classify`, the lungs and the \
             infection are drawn by the models in the box",
            named.display()
        );
    }
    if let (Some(named), Some(model)) = (&args.model, &models.classify)
        && !model.bundle.info.members.is_empty()
    {
        bail!(
            "{}: found {} networks in one bundle, right would be a bundle of one: Grad-CAM is of one network",
            named.display(),
            model.bundle.info.members.len()
        );
    }
    builtin::fill(&mut models)?;
    let mut warnings = Vec::new();
    let scan = data::read_ct(path, &args.read.options())?.drain_into(&mut warnings);
    data::say_left_out(context, &scan.skipped);
    let ct = &scan.ct;
    let asked = Asked { patient: None, scan: scan.sha256.clone() };
    // All of them: the classifier may go by the area that the others find.
    let trainings = seen::trainings(&models);
    warnings.extend(seen::warnings(&trainings, &[asked]));
    if seen::leaking(&trainings) {
        warnings.push(Warning::new(PATIENTS_LEAK, LEAK));
    }
    let sides = args
        .orientation
        .map(AxisMap::from_orientation)
        .or_else(|| ct.grid.affine.as_ref().map(|_| ct.grid.axis_map()));
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let [n, h, w] = map.canonical_shape(ct.voxels.shape());
    if z >= n {
        bail!("slice {z} was asked for, right would be 0 to {}: the CT has {n} slices", n - 1);
    }

    let used = models.used();
    let classifier = models.classify.take().ok_or_else(|| anyhow!("there is no classifier"))?;
    let compute_of_masks = models.compute();
    let bundle = &classifier.bundle;
    let prepared = gg_imaging::prepare(ct, &map, &bundle.info.prepare).drain_into(&mut warnings);
    let Some(index) = prepared.ways.iter().position(|way| way.z == z) else {
        let reason = prepared.dropped.iter().find(|(dropped, _)| *dropped == z);
        bail!(
            "the classifier does not see slice {z}: it is {}; right would be {} to {}",
            reason.map_or("left out", |(_, r)| pipeline::drop_reason(*r)),
            prepared.ways.first().map_or(0, |way| way.z),
            prepared.ways.last().map_or(0, |way| way.z)
        );
    };
    let step = context.console.step("masks", 0);
    let told = |done, of| step.set_of(done, of);
    let masks = pipeline::run(
        &mut models,
        ct,
        pipeline::Run {
            sides,
            prepare: &mut |config, sizes| Ok(gg_imaging::prepare_sizes(ct, &map, config, sizes)),
            told: &told,
            seen: None,
            every_slice: false,
            stop: &context.interrupt,
        },
    )?;
    step.finish();
    let way = &prepared.ways[index];
    let picture = pipeline::picture(&prepared, index, bundle.graph()?.in_channels());
    // Differences of probabilities are small: all in fp32.
    let arithmetic = Arithmetic { precision: Precision::Fp32, ..context.arithmetic(None)? };
    let cam = grad_cam(bundle, &picture)?;
    let patch_side = (way.size * usize::from(args.patch)).div_ceil(100).max(1);
    let patch = Patch { side: patch_side, step: (patch_side / 3).max(1) };
    let step = context.console.step("hiding parts", 0);
    let hidden = occlusion(bundle, arithmetic, &picture, patch, &mut |done, of| step.set_of(done, of))?;
    step.finish();
    context.interrupt.check()?;

    let shown = Shown {
        ct,
        map,
        oriented: sides.is_some(),
        lung: masks.lung.as_ref(),
        infection: masks.infection.as_ref(),
    };
    let picture = shown.axial(z, format!("slice {z}"))?;
    let (cam_map, hidden_map) = (on_input(&cam.map, way), on_input(&hidden.map, way));
    let inside = |labels: &Option<Vec<u8>>| -> Vec<bool> {
        labels.as_ref().map_or(vec![false; h * w], |l| l.iter().map(|&v| v != 0).collect())
    };
    let (lung, infection) = (inside(&picture.lung), inside(&picture.infection));
    let seen: Vec<bool> =
        on_input(&SaliencyMap { side: [way.size; 2], values: vec![1.0; way.size * way.size] }, way)
            .iter()
            .map(|&v| v > 0.0)
            .collect();
    let count = |mask: &[bool]| mask.iter().filter(|&&m| m).count();
    let in_sight = (0..seen.len()).filter(|&i| seen[i]);
    let threshold = bundle.info.threshold;
    let probability = masks.weighed(bundle.info.area.as_ref())(z, hidden.probability);
    let explanation = Explanation {
        schema_version: SCHEMA_VERSION,
        research_use_only: true,
        slice: z,
        stored_index: map.stored_index(ct.voxels.shape(), [z, 0, 0])[map.axis[0]],
        intensity: ct.intensity.clone(),
        network_probability: hidden.probability,
        probability,
        threshold,
        positive: probability >= threshold,
        pixels: Pixels { seen: count(&seen), lung: count(&lung), infection: count(&infection) },
        grad_cam: Cam {
            layer: cam.layer,
            layer_size: cam.map.side,
            logit: cam.logit,
            map: numbers(&cam_map, w, &seen, &lung, &infection),
        },
        occlusion: Hidden {
            patch: patch.side,
            step: patch.step,
            picture: way.size,
            largest_drop: hidden.largest_drop,
            map: numbers(&hidden_map, w, &seen, &lung, &infection),
        },
        agreement: correlation(in_sight.map(|i| (f64::from(cam_map[i]), f64::from(hidden_map[i])))),
        warnings,
        models: used,
        program: Program::this(),
        compute: Compute::new("burn-flex for Grad-CAM, cpu for occlusion", arithmetic),
        compute_of_masks,
    };
    Ok(Explained { explanation, picture, cam: cam_map, hidden: hidden_map })
}

/// A map over the prepared picture, put back on the canonical slice; 0 outside the crop.
fn on_input(map: &SaliencyMap, way: &SliceWay) -> Vec<f32> {
    let [h, w] = map.side;
    let square = gg_imaging::resize_linear_f32(&map.values, h, w, way.size, way.size);
    gg_imaging::restore_probabilities_slice(&square, way)
}

fn numbers(map: &[f32], width: usize, seen: &[bool], lung: &[bool], infection: &[bool]) -> MapNumbers {
    let inside: Vec<usize> = (0..map.len()).filter(|&i| seen[i]).collect();
    let peak = inside.iter().copied().rev().max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap_or(0);
    let positive = |mask: Option<&[bool]>| -> f64 {
        let counted = inside.iter().filter(|&&i| mask.is_none_or(|m| m[i]));
        counted.fold(0.0, |sum, &i| sum + f64::from(map[i].max(0.0)))
    };
    let total = positive(None);
    let share = |mask: &[bool]| (total > 0.0).then(|| positive(Some(mask)) / total);
    let pixels = inside.len().max(1) as f64;
    let even = |mask: &[bool]| inside.iter().filter(|&&i| mask[i]).count() as f64 / pixels;
    MapNumbers {
        lowest: inside.iter().map(|&i| map[i]).fold(f32::INFINITY, f32::min),
        highest: map[peak],
        mean: inside.iter().map(|&i| f64::from(map[i])).sum::<f64>() / pixels,
        peak: [peak / width.max(1), peak % width.max(1)],
        share_in_lung: share(lung),
        share_in_infection: share(infection),
        even_share_in_lung: even(lung),
        even_share_in_infection: even(infection),
    }
}

fn write(dir: &Path, found: &Explained) -> Result<()> {
    let e = &found.explanation;
    output::write_json(&dir.join("explanation.json"), e)?;
    for (name, values) in [("grad_cam", &found.cam), ("occlusion", &found.hidden)] {
        let picture = heat_picture(&found.picture, values).context("a map of another size than its slice")?;
        let bytes = picture.to_png();
        let path = dir.join(format!("{name}.png"));
        gg_io::atomic_write(&path, |f| f.write_all(&bytes))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let panel = |title: &str, values: &[f32], unit: &str| HeatPanel {
        title: title.to_owned(),
        values: values.to_vec(),
        unit: unit.to_owned(),
    };
    let panels = [
        panel("The slice with the masks", &[], ""),
        panel("Grad-CAM: what raises the logit", &found.cam, "weighted activity"),
        panel("Occlusion: what it needs", &found.hidden, "drop of the probability"),
    ];
    let scene = heat_figure(&found.picture, &panels, PANEL);
    write_picture(dir, "explanation", &scene)?;
    output::write_text(&dir.join("report.html"), &gg_report::study_report(&page(e, scene)))
}

fn share(value: Option<f64>) -> String {
    value.map_or("none".to_owned(), |v| format!("{:.0} %", 100.0 * v))
}

fn page(e: &Explanation, scene: gg_report::Scene) -> StudyReport {
    let words = |c: &Compute| format!("{}, {}, {}", c.device, c.instruction_set, c.precision);
    let row = |name: &str, m: &MapNumbers| {
        vec![
            name.to_owned(),
            format!("{:.3} to {:.3}", m.lowest, m.highest),
            share(m.share_in_lung),
            share(Some(m.even_share_in_lung)),
            share(m.share_in_infection),
            share(Some(m.even_share_in_infection)),
        ]
    };
    let columns = ["Map", "Values", "In the lungs", "if even", "In the infection", "if even"];
    let table = TextTable {
        caption:
            "Where the positive part of each map lies, and where it would lie if it were the same everywhere"
                .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: vec![row("Grad-CAM", &e.grad_cam.map), row("Occlusion", &e.occlusion.map)],
        text: vec![],
    };
    let called = if e.positive { "shows infection" } else { "shows no infection" };
    let [rows, columns] = e.grad_cam.layer_size;
    StudyReport {
        kind: "explanation".to_owned(),
        title: format!("Where the classifier looks: slice {}", e.slice),
        summary: format!(
            "Probability {:.3}, threshold {:.3}: the slice {called}, says the classifier{}.",
            e.probability,
            e.threshold,
            alone(e).map_or(String::new(), |words| format!(", with the masks weighed in; {words}"))
        ),
        sections: vec![Section {
            title: String::new(),
            notes: vec![
                format!(
                    "Grad-CAM weighs the maps of the layer {} ({rows} x {columns}) by how much the logit rises with each; it cannot \
                     tell places apart more finely than those maps. Occlusion lays a grey square of {} of {} pixels on \
                     one place of the prepared picture after the other; the largest drop of the probability is {:.3}. Where the probability \
                     is near 0 or 1, hiding changes it little. Cold colours: the square raised it.",
                    e.grad_cam.layer, e.occlusion.patch, e.occlusion.picture, e.occlusion.largest_drop
                ),
                format!(
                    "Correlation of the two maps: {}. Maps show what the network reacts to, not whether it is right; the \
                     outlines are other networks' masks.",
                    e.agreement.map_or("none, one of them is flat".to_owned(), |r| format!("{r:.2}"))
                ),
            ],
            tables: vec![table],
            figures: vec![Figure {
                title: "The slice and the two maps".to_owned(),
                caption: "On the grid of the input; each map has its own scale.".to_owned(),
                scene,
            }],
            ..Section::default()
        }],
        provenance: Provenance {
            leaking: e.warnings.iter().any(|w| w.code == PATIENTS_LEAK),
            warnings: e.warnings.iter().map(|w| w.message.clone()).collect(),
            facts: vec![
                Fact::new(
                    "Grey values",
                    format!("{} (confidence {:.2})", kind_in_words(e.intensity.kind), e.intensity.confidence),
                ),
                Fact::new("Stored index of the slice", e.stored_index.to_string()),
                Fact::new("Computed with", words(&e.compute)),
                Fact::new("Masks computed with", words(&e.compute_of_masks)),
            ],
            models: e.models.iter().map(ModelUsed::line).collect(),
            program: e.program.to_string(),
        },
    }
}

/// What the network says by itself, where the masks changed it.
fn alone(e: &Explanation) -> Option<String> {
    let network = e.network_probability;
    (network != e.probability)
        .then(|| format!("the network alone, which the maps explain, says {network:.3}"))
}

fn text(e: &Explanation, out: &Path) -> String {
    format!(
        "slice {}: probability {:.3} (threshold {:.3}{}); in the infection lie {} of Grad-CAM and {} of the occlusion map, {} if \
         they were even; report: {}",
        e.slice,
        e.probability,
        e.threshold,
        alone(e).map_or(String::new(), |words| format!("; {words}")),
        share(e.grad_cam.map.share_in_infection),
        share(e.occlusion.map.share_in_infection),
        share(Some(e.grad_cam.map.even_share_in_infection)),
        out.join("report.html").display()
    )
}
