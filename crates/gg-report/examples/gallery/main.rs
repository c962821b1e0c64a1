//! Writes every drawing and page of this crate, made from a phantom, into a folder, to be looked at:
//! `cargo run --release -p gg-report --example gallery -- FOLDER`.

mod phantom_pictures;
mod reports;

use gg_report::*;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let case = phantom_pictures::case();
    for (name, scene) in drawings(&case) {
        std::fs::write(folder.join(format!("{name}.png")), scene.to_png(2.0))?;
        std::fs::write(folder.join(format!("{name}.svg")), scene.to_svg())?;
    }
    pages(&folder, &case)
}

fn drawings(case: &phantom_pictures::Case) -> Vec<(String, Scene)> {
    let mut all: Vec<(String, Scene)> = Vec::new();
    let mut add = |name: &str, scene: Scene| all.push((name.to_owned(), scene));
    for figure in training_curves(&reports::epochs(), Some(31)) {
        add(&figure.title.to_lowercase().replace(' ', "-"), figure.scene);
    }
    let class = reports::classification(case);
    add("roc", roc_plot(&class.roc));
    add("pr", pr_plot(&class.pr, Some(0.4)));
    add("reliability", reliability_plot(&class.reliability));
    add("confusion", confusion_matrix("Confusion matrix", &class.confusion, "positive", "negative"));
    let seg = reports::segmentation(case);
    add("scatter", agreement_scatter(&seg.burden));
    add("bland-altman", bland_altman(&seg.burden));
    add("dice-strip", dice_strip("Dice per patient: infection", &seg.dice, seg.human_band.as_ref()));
    add("interval", interval_bar(&reports::burden().interval.unwrap_or_default()));
    add("zones", zone_bars(&reports::burden().zones.unwrap_or_default()));
    add("slice-strip", slice_strip(&reports::strip(case)));
    add("montage", montage(&case.slices, 4, 220.0));
    add("coronal", slice_figure(&case.coronal, 420.0));
    add("panels", comparison_panels(&seg.comparisons, 260.0));
    add("fig-02", sample_figure(&case.slices[2..6]));
    add("fig-03", contrast_figure(&case.slices[4].grey, &case.contrast));
    add("fig-04", steps_figure("Steps of the crop", &case.steps, 3));
    add("fig-05", prepared_figure("Prepared CT, lung and infection", &case.prepared));
    add("fig-06", layer_table("Layers of the classifier", &reports::layers()));
    add("fig-07", cnn_drawing("The classifier", &reports::layers()));
    add("fig-08", reports::unet());
    let flow = ClaheFlow {
        before: case.slices[4].grey.clone(),
        after: case.contrast.clone(),
        tiles: [8, 8],
        tile: [4, 2],
        clip: 3.0,
    };
    add("fig-09", clahe_figure(&flow));
    let sheet: Vec<Grey> = case.slices.iter().cycle().take(40).map(|s| s.grey.clone()).collect();
    add("fig-10", sheet_figure("Prepared slices", &sheet, 8));
    add("fig-11", steps_figure("Original, contrast, crop", &case.steps[..3], 3));
    add("fig-12", classification_figure(&class.scores, &class.confusion, &class.examples));
    add(
        "fig-13",
        segmentation_figure("Infection segmentation", &reports::epochs(), Some(31), &seg.comparisons),
    );
    all
}

fn pages(folder: &Path, case: &phantom_pictures::Case) -> std::io::Result<()> {
    let write = |name: &str, page: String| std::fs::write(folder.join(name), page);
    write("analysis.html", analysis_report(&reports::analysis(case)))?;
    write("evaluation.html", evaluation_report(&reports::evaluation(case)))?;
    write("training.html", training_report(&reports::training(case)))?;
    write("quickstart.html", quickstart_report(&reports::quickstart(case)))?;
    write("prepare.html", prepare_report(&reports::prepare(case)))
}
