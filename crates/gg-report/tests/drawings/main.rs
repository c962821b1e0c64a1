//! Drawings hold whatever they are given: well-formed SVG, a PNG of its size and colours, the same bytes each time.
//!
//! The snapshots are our own output; `GG_UPDATE_SNAPSHOTS=1 cargo test -p gg-report` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic)]

mod colours;
mod pixels;

use gg_report::*;
use pixels::{Pixels, check_colours};
use std::path::Path;

fn check(name: &str, scene: &Scene) {
    let svg = scene.to_svg();
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{name}: {e}"));
    for node in document.descendants() {
        for attribute in node.attributes() {
            let number = !matches!(attribute.name(), "aria-label" | "href");
            assert!(
                !number || !attribute.value().contains("NaN") && !attribute.value().contains("inf"),
                "{name}"
            );
            if attribute.name() == "href" {
                assert!(attribute.value().starts_with("data:image/png;base64,"), "{name}");
            }
        }
    }
    assert!(!scene.to_inline_svg().contains("http"), "{name} refers to something outside");
    let png = scene.to_png(1.0);
    assert_eq!(png, scene.to_png(1.0), "{name}: the same scene gives the same bytes");
    let pixels = Pixels::of(&png);
    for (side, found) in [("width", pixels.width), ("height", pixels.height)] {
        let right: f64 = document.root_element().attribute(side).unwrap().parse().unwrap();
        // The SVG keeps two decimals of what the PNG rounds.
        assert!((found as f64 - right).abs() < 0.51, "{name}: {side} {found}, in the SVG {right}");
    }
    check_colours(name, scene, &pixels);
}

fn grey(width: usize, height: usize) -> Grey {
    let pixels = (0..width * height).map(|i| (i % width * 5 + i / width * 3) as u8).collect();
    Grey::new(width, height, pixels).unwrap()
}

/// An ellipse of lung with a disc of infection.
fn slice(width: usize, height: usize) -> SlicePicture {
    let within = |i: usize, cx: f64, cy: f64, rx: f64, ry: f64| {
        let (x, y) = ((i % width) as f64 / width as f64 - cx, (i / width) as f64 / height as f64 - cy);
        u8::from((x / rx).powi(2) + (y / ry).powi(2) < 1.0)
    };
    let draw = |cx, cy, rx, ry| (0..width * height).map(|i| within(i, cx, cy, rx, ry)).collect();
    SlicePicture {
        lung: Some(draw(0.5, 0.5, 0.3, 0.4)),
        infection: Some(draw(0.6, 0.5, 0.1, 0.1)),
        pixel_mm: Some([2.0, 1.0]),
        sides: Some(Sides::AXIAL),
        caption: "slice <1> & \"more\"".to_owned(),
        ..SlicePicture::plain(grey(width, height))
    }
}

fn snapshot(name: &str, scene: &Scene) {
    check(name, scene);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.svg"));
    let svg = scene.to_svg();
    if std::env::var_os("GG_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &svg).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(without_pixels(&svg), without_pixels(&kept), "{name} looks different than before");
}

/// The drawing without the bytes of its pictures: which deflate writes them depends on what else is built along.
fn without_pixels(svg: &str) -> String {
    let mut parts = svg.split("base64,");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(&part[part.find('"').unwrap_or(0)..]);
    }
    text
}

#[test]
fn small_drawings_look_as_before() {
    let points = vec![(1.0, 0.9), (2.0, 0.5), (3.0, 0.35), (4.0, 0.3)];
    let line = Mark::Line { name: "training".into(), points, ink: BLUE, dashed: false };
    let axes = (Axis::fit("epoch").whole(), Axis::fit("loss"));
    let chart = Chart { title: "Loss".into(), x: axes.0, y: axes.1, marks: vec![line], ..Chart::default() };
    snapshot("line", &chart.scene());
    snapshot(
        "confusion",
        &confusion_matrix(
            "Confusion matrix",
            &Confusion { tp: 9, fp: 1, fn_: 2, tn: 18 },
            "positive",
            "negative",
        ),
    );
    let zone =
        |percent: f64| RegionNumbers { percent: Some(percent), score: Some(1), ..RegionNumbers::default() };
    snapshot("zones", &zone_bars(&[zone(1.0), zone(5.5), zone(24.0), zone(0.0), zone(0.01), zone(40.0)]));
    snapshot("slice", &slice_scene(&slice(24, 16), 120.0, Overlay::default()));
    let levels = [UnetLevel { channels: 8, size: 32 }, UnetLevel { channels: 16, size: 16 }];
    snapshot("unet", &unet_drawing("U-Net", &levels, ""));
}

#[test]
fn plots_hold_empty_single_and_impossible_values() {
    let lists: [Vec<(f64, f64)>; 5] = [
        vec![],
        vec![(0.5, 0.5)],
        vec![(f64::NAN, 0.1), (0.2, f64::INFINITY)],
        vec![(0.0, 0.0); 3],
        (0..4000).map(|i| (f64::from(i) / 4000.0, 1e12 * f64::from(i))).collect(),
    ];
    for (i, points) in lists.into_iter().enumerate() {
        let operating = points.first().copied();
        let curve = ScoreCurve { points: points.clone(), area: Some(f64::NAN), operating };
        check(&format!("roc {i}"), &roc_plot(&curve));
        check(&format!("pr {i}"), &pr_plot(&curve, Some(f64::NAN)));
        let pairs: Vec<BurdenPair> =
            points.iter().map(|p| BurdenPair { truth: p.0, pred: p.1, interval: Some((p.0, p.1)) }).collect();
        check(&format!("scatter {i}"), &agreement_scatter(&pairs));
        check(&format!("bland-altman {i}"), &bland_altman(&pairs));
        let bins: Vec<ReliabilityBin> = points
            .iter()
            .take(9)
            .map(|p| ReliabilityBin { predicted: p.0, observed: p.1, count: 0 })
            .collect();
        check(
            &format!("reliability {i}"),
            &reliability_plot(&Reliability { after: bins.clone(), ..Reliability::default() }),
        );
        let both =
            Reliability { before: bins.clone(), after: bins, ece: Some(f64::NAN), ..Reliability::default() };
        check(&format!("reliability before and after {i}"), &reliability_plot(&both));
        let ends = (points.first().map_or(0.0, |p| p.0), points.last().map_or(0.0, |p| p.1));
        let interval = PercentInterval { found: ends.0, ends, readers: ends, ..PercentInterval::default() };
        check(&format!("interval {i}"), &interval_bar(&interval));
        for y in [Axis::fit("y"), Axis::fit("y").log()] {
            let line = Mark::Line { name: "n".into(), points: points.clone(), ink: BLUE, dashed: true };
            let chart = Chart { x: Axis::fit("x"), y, marks: vec![line], ..Chart::default() };
            check(&format!("chart {i}"), &chart.scene());
        }
    }
    check("matrix of nothing", &confusion_matrix("Confusion matrix", &Confusion::default(), "", ""));
    let full = Confusion { tp: u64::MAX, fp: u64::MAX, fn_: u64::MAX, tn: u64::MAX };
    check("matrix of everything", &confusion_matrix("Confusion matrix", &full, "p", "n"));
    check("zones of nothing", &zone_bars(&[RegionNumbers::default(); 6]));
    check("strip of nothing", &slice_strip(&SliceStrip::default()));
    assert!(training_curves(&[], None).is_empty());
    assert!(training_curves(&[EpochRow { epoch: 1, ..EpochRow::default() }], Some(1)).is_empty());
}

#[test]
fn one_epoch_and_many_epochs_are_drawn() {
    for n in [1usize, 2, 1000] {
        let row = |epoch| EpochRow {
            epoch,
            learning_rate: Some(1e-4),
            train_loss: Some(1.0 / epoch as f64),
            val_dice: Some(f64::NAN),
            ..EpochRow::default()
        };
        let epochs: Vec<EpochRow> = (1..=n).map(row).collect();
        let figures = training_curves(&epochs, Some(n));
        assert_eq!(figures.len(), 2, "the loss and the learning rate were measured");
        figures.iter().for_each(|f| check(&f.title, &f.scene));
    }
}

#[test]
fn a_strip_of_dice_holds_none_one_and_four_hundred_cases() {
    let band = HumanBand { low: 0.6, high: f64::NAN, label: "x".repeat(500) };
    for n in [0, 1, 400] {
        let cases: Vec<(String, Option<f64>)> =
            (0..n).map(|i| (format!("<case {i}>"), (i % 3 != 1).then(|| i as f64 / 300.0))).collect();
        check(&format!("{n} cases"), &dice_strip("Dice", &cases, Some(&band)));
    }
}

#[test]
fn pictures_hold_odd_sizes_and_labels_that_do_not_fit() {
    let mut wrong = slice(24, 16);
    wrong.lung = Some(vec![1; 3]);
    wrong.infection = Some(vec![]);
    let area = PixelBox { x0: 2, y0: 3, x1: 400, y1: 9 };
    for (name, picture) in [
        ("plain", SlicePicture::plain(grey(1, 1))),
        ("flat", SlicePicture::plain(grey(600, 1))),
        ("labels of another size", wrong.clone()),
        ("cropped", slice(24, 16).cropped(area)),
        ("cropped with wrong labels", wrong.cropped(area)),
        ("cropped to nothing", slice(24, 16).cropped(PixelBox { x0: 9, y0: 0, x1: 9, y1: 4 })),
        ("spacing that is none", SlicePicture { pixel_mm: Some([0.0, f64::NAN]), ..slice(9, 9) }),
    ] {
        check(name, &slice_scene(&picture, 64.0, Overlay::default()));
        check(name, &montage(&[picture.clone(), picture.clone()], 9, 50.0));
        let row = Comparison { title: name.to_owned(), truth: picture.clone(), pred: picture };
        check(name, &comparison_panels(&[row], 40.0));
    }
    check("nothing", &montage(&[], 0, 50.0));
    check("nothing", &comparison_panels(&[], 50.0));
    check("400 slices", &montage(&vec![slice(8, 8); 400], 20, 24.0));
    assert!(Grey::new(0, 4, vec![]).is_err() && Grey::new(2, 2, vec![0; 3]).is_err());
}

#[test]
fn the_coronal_view_has_the_head_on_top_and_the_right_proportions() {
    let row = |v: u8| CoronalRow { grey: vec![v; 4], lung: vec![1; 4], infection: vec![] };
    let view = coronal_picture(&[row(10), row(20)], Some([5.0, 1.0]), Some(Sides::CORONAL), "").unwrap();
    assert_eq!(view.grey.pixels(), [20, 20, 20, 20, 10, 10, 10, 10]);
    assert_eq!(view.infection, None);
    assert!((view.aspect() - 2.5).abs() < 1e-12);
    assert!(coronal_picture(&[], None, None, "").is_err());
}

#[test]
fn the_montage_shows_the_most_infected_slice_and_only_slices_with_lung() {
    let lung = [0, 0, 5, 5, 5, 5, 5, 5, 5, 0];
    let infection = [0, 0, 0, 1, 0, 0, 0, 9, 0, 0];
    let picked = pick_slices(&lung, &infection, 3);
    assert!(picked.contains(&7) && picked.iter().all(|z| (2..9).contains(z)), "{picked:?}");
    assert_eq!(pick_slices(&[], &[], 5), Vec::<usize>::new());
    assert_eq!(pick_slices(&[0, 0], &[0, 0], 5), [0, 1], "without lung the whole scan is shown");
}

#[test]
fn figures_of_the_paper_hold_little_and_odd_input() {
    let one = grey(7, 5);
    check("fig 2", &sample_figure(&[]));
    check("fig 3", &contrast_figure(&one, &grey(40, 40)));
    check("fig 4", &steps_figure("Steps", &[], 3));
    check("fig 4", &steps_figure("Steps", &vec![Captioned::new(one.clone(), "a"); 7], 3));
    check("fig 5", &prepared_figure("Prepared", &[]));
    let mask = Captioned::mask(2, 2, &[0, 1, 2, 0], "lung").unwrap();
    assert_eq!(mask.grey.pixels(), [0, 255, 255, 0]);
    check("fig 5", &prepared_figure("Prepared", &[vec![mask], vec![]]));
    check("fig 6", &layer_table("Layers", &[]));
    check("fig 7", &cnn_drawing("CNN", &[]));
    check("fig 7", &cnn_drawing("CNN", &vec![LayerRow { parameters: u64::MAX, ..LayerRow::default() }; 30]));
    check("fig 8", &unet_drawing("U-Net", &[], ""));
    for tiles in [[8, 8], [0, 0], [900, 1]] {
        let flow = ClaheFlow { before: one.clone(), after: one.clone(), tiles, tile: [99, 99], clip: 3.0 };
        check("fig 9", &clahe_figure(&flow));
        check("fig 9", &clahe_figure(&ClaheFlow { clip: 0.0, ..flow }));
    }
    check("fig 10", &sheet_figure("Sheet", &[], 0));
    check("fig 10", &sheet_figure("Sheet", &vec![one; 50], 8));
    check("fig 12", &classification_figure(&[], &Confusion::default(), &[]));
    check("fig 13", &segmentation_figure("Lung", &[], None, &[]));
}
