//! Colours at points that are known beforehand: in the PNG, in the SVG, and in the pictures inside it.

use crate::check;
use crate::pixels::{PAPER, Pixels, check_colours, embedded, near};
use gg_report::{
    BLUE, Confusion, Fill, Grey, HeatPanel, Ink, Overlay, RegionNumbers, Scene, SlicePicture, Stroke,
    confusion_matrix, heat_figure, slice_scene, zone_bars,
};

const INFECTION: [u8; 3] = [0xf0, 0x7d, 0x1a];
const LUNG: [u8; 3] = [0x3f, 0xc1, 0xf0];
/// What a bar leaves free.
const PANEL: [u8; 3] = [0xf2, 0xf4, 0xf7];

fn holds(pixels: &Pixels, points: &[(f64, f64, [u8; 3])]) {
    for &(x, y, right) in points {
        let found = pixels.at(x, y);
        assert!(near(found, right), "{found:?} at {x}, {y}, right would be {right:?}");
    }
}

#[test]
fn each_kind_of_shape_has_its_colour_where_it_is_drawn() {
    let (red, green, dark) = (Ink::Rgb(200, 0, 0), Ink::Rgb(0, 150, 0), Ink::Rgb(10, 20, 30));
    let mut scene = Scene::new(60.0, 40.0, "");
    scene.rect(2.0, 2.0, 10.0, 8.0, Fill::solid(red));
    scene.rect(2.0, 14.0, 10.0, 8.0, Fill { ink: red, opacity: 0.5 });
    scene.disc(22.0, 7.0, 5.0, green);
    let square =
        |(x, y): (f64, f64), side: f64| vec![(x, y), (x + side, y), (x + side, y + side), (x, y + side)];
    let ring = vec![square((32.0, 2.0), 18.0), square((38.0, 8.0), 6.0)];
    scene.path(ring, true, Some(Fill::solid(dark)), None);
    scene.line((2.0, 30.0), (58.0, 30.0), Stroke::solid(BLUE, 4.0));
    check("shapes", &scene);
    for scale in [1.0, 2.0] {
        let pixels = Pixels::of(&scene.to_png(scale));
        assert_eq!((pixels.width as f64, pixels.height as f64), (60.0 * scale, 40.0 * scale));
        let points = [
            (7.0, 6.0, red.rgb()),
            (7.0, 18.0, [227, 127, 127]), // half of it paper
            (22.0, 7.0, green.rgb()),
            (17.0, 2.0, PAPER), // beside the disc
            (35.0, 5.0, dark.rgb()),
            (47.0, 11.0, dark.rgb()),
            (41.0, 11.0, PAPER), // inside the ring
            (30.0, 30.0, BLUE.rgb()),
            (30.0, 25.0, PAPER),
            (55.0, 5.0, PAPER),
        ];
        holds(&pixels, &points.map(|(x, y, colour)| (x * scale, y * scale, colour)));
    }
}

#[test]
#[should_panic(expected = "right would be")]
fn a_png_without_the_shapes_of_its_scene_is_noticed() {
    let mut scene = Scene::new(20.0, 20.0, "");
    let blank = Pixels::of(&scene.to_png(1.0));
    scene.rect(2.0, 2.0, 16.0, 16.0, Fill::solid(BLUE));
    check_colours("blank", &scene, &blank);
}

#[test]
#[should_panic(expected = "shows nothing")]
fn a_drawing_that_draws_nothing_is_noticed() {
    check("nothing", &Scene::new(20.0, 20.0, ""));
}

#[test]
fn bars_and_cells_are_as_long_and_as_dark_as_they_should_be() {
    let zone = |percent: f64| RegionNumbers { percent: Some(percent), ..RegionNumbers::default() };
    let zones = zone_bars(&[0.0, 0.0, 24.0, 0.0, 0.0, 40.0].map(zone));
    // A full bar is 50 % and 174 units long: leftwards from 266 for the right lung, rightwards from 354 for the left one.
    let bars = [
        (5.0, 5.0, PAPER),
        (220.0, 100.0, PANEL),
        (400.0, 100.0, PANEL),
        (220.0, 192.0, INFECTION),
        (150.0, 192.0, PANEL),
        (470.0, 192.0, INFECTION),
        (510.0, 192.0, PANEL),
    ];
    holds(&Pixels::of(&zones.to_png(1.0)), &bars);
    let counts = Confusion { tp: 9, fp: 1, fn_: 2, tn: 18 };
    let matrix = confusion_matrix("Confusion matrix", &counts, "positive", "negative");
    let cells = [
        (5.0, 5.0, PAPER),
        (130.0, 102.0, [0x54, 0x91, 0xc6]),
        (410.0, 102.0, [0xf6, 0xdc, 0xc8]),
        (130.0, 250.0, [0xfb, 0xee, 0xe4]),
        (410.0, 250.0, [0x3b, 0x81, 0xbd]),
    ];
    holds(&Pixels::of(&matrix.to_png(1.0)), &cells);
}

/// Four greys, lung in the lower left corner and infection in the upper right one: no mirror image and no turn looks the
/// same.
fn lopsided() -> SlicePicture {
    let draw = |at: &dyn Fn(usize, usize) -> u8| -> Vec<u8> { (0..96).map(|i| at(i % 12, i / 12)).collect() };
    let grey = draw(&|x, y| [[20, 80], [140, 200]][y / 4][x / 6]);
    SlicePicture {
        lung: Some(draw(&|x, y| u8::from(x < 4 && y >= 5))),
        infection: Some(draw(&|x, y| u8::from(x >= 8 && y < 3))),
        ..SlicePicture::plain(Grey::new(12, 8, grey).unwrap())
    }
}

#[test]
fn a_slice_is_neither_mirrored_nor_turned_in_the_png_and_in_the_svg() {
    // Ten units a pixel.
    let scene = slice_scene(&lopsided(), 120.0, Overlay { fill: 0.5, line: 4.0 });
    check("lopsided", &scene);
    let points = [
        (8.0, 8.0, [20; 3]),
        (110.0, 8.0, [160, 103, 53]), // half of it infection's colour, half a grey of 80
        (8.0, 72.0, [140; 3]),
        (112.0, 72.0, [200; 3]),
        // The inner outlines of lung and infection, and the places where a mirror image would have them.
        (40.0, 65.0, LUNG),
        (80.0, 15.0, INFECTION),
        (80.0, 65.0, [200; 3]),
        (40.0, 15.0, [20; 3]),
    ];
    holds(&Pixels::of(&scene.to_png(1.0)), &points);

    let svg = scene.to_svg();
    let pictures = embedded(&svg);
    let [slice] = &pictures[..] else { panic!("{} pictures in the SVG", pictures.len()) };
    assert_eq!((slice.width, slice.height), (12, 8));
    let corners = [(0.0, 0.0), (11.0, 0.0), (0.0, 7.0), (11.0, 7.0)].map(|(x, y)| slice.at(x, y)[0]);
    assert_eq!(corners, [20, 80, 140, 200]);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let outline = |stroke: &str| {
        let path = document.descendants().find(|n| n.attribute("stroke") == Some(stroke)).unwrap();
        let d = path.attribute("d").unwrap();
        let numbers: Vec<f64> = d.split(['M', 'L', 'Z', ' ']).filter_map(|n| n.parse().ok()).collect();
        [0, 1].map(|axis| {
            let along = numbers.iter().copied().skip(axis).step_by(2);
            (along.clone().fold(f64::INFINITY, f64::min), along.fold(f64::NEG_INFINITY, f64::max))
        })
    };
    assert_eq!(outline("#3fc1f0"), [(0.0, 40.0), (50.0, 80.0)], "lung");
    assert_eq!(outline("#f07d1a"), [(80.0, 120.0), (0.0, 30.0)], "infection");
}

#[test]
fn a_map_over_a_slice_and_its_scale_have_the_same_colours_in_svg_and_png() {
    let mut picture = SlicePicture::plain(Grey::new(8, 8, vec![40; 64]).unwrap());
    picture.lung = Some((0..64).map(|i| u8::from(i % 8 > 2)).collect());
    let values: Vec<f32> = (0..64).map(|i| i as f32 / 64.0).collect();
    let panels = [
        HeatPanel { title: "Slice".into(), values: Vec::new(), unit: String::new() },
        HeatPanel { title: "Grad-CAM".into(), values, unit: "share".into() },
    ];
    let scene = heat_figure(&picture, &panels, 120.0);
    check("map", &scene);
    let svg = scene.to_svg();
    assert!(svg.contains("Grad-CAM") && svg.contains("0.984"), "the scale names its end");
    let pictures = embedded(&svg);
    let [slice, map] = &pictures[..] else { panic!("{} pictures in the SVG", pictures.len()) };
    assert_eq!((slice.width, slice.height, map.width, map.height), (8, 8, 8, 8));
    assert!(slice.rgb.iter().all(|p| *p == [40; 3]));
    assert_eq!(map.rgb[0], [40; 3], "nothing is coloured where the map is 0");
    assert!(near(map.rgb[63], [199, 190, 123]), "three quarters of the warmest colour: {:?}", map.rgb[63]);

    let png = Pixels::of(&scene.to_png(1.0));
    // Fifteen units a pixel, read in its middle; the map lies 134 units right of the slice.
    for (i, (grey, heat)) in slice.rgb.iter().zip(&map.rgb).enumerate() {
        let (x, y) = (16.0 + (i % 8) as f64 * 15.0 + 7.0, 42.0 + (i / 8) as f64 * 15.0 + 7.0);
        holds(&png, &[(x, y, *grey), (x + 134.0, y, *heat)]);
    }
    let document = roxmltree::Document::parse(&svg).unwrap();
    let steps: Vec<_> = document.descendants().filter(|n| n.attribute("height") == Some("8")).collect();
    assert_eq!(steps.len(), 48, "steps of the scale");
    for step in steps {
        let number = |name: &str| step.attribute(name).unwrap().parse::<f64>().unwrap();
        let fill = step.attribute("fill").unwrap();
        let right = [1, 3, 5].map(|at| u8::from_str_radix(&fill[at..at + 2], 16).unwrap());
        holds(&png, &[(number("x") + 1.0, number("y") + 4.0, right)]);
    }
}
