//! Where the slices of a series lie: their order, the distance between them, and the affine.
//!
//! Slices are ordered by their position along the normal (row direction x column direction), so the array is
//! right-handed whatever the files are called and however they are numbered. The step from slice to slice is the
//! direction from the first position to the last with the median distance between neighbours as its length; where
//! the gantry was tilted it is not parallel to the normal, and the affine is sheared, as the scan is.
//!
//! Source: DICOM PS3.3 C.7.6.2.1.1. SliceThickness and SpacingBetweenSlices are not looked at: they often lie.

use super::header::{Lost, SliceHeader};
use crate::error::counted;
use crate::tilt::{TILT_DEGREES, oblique, tilted};
use crate::{ReadError, ReadOptions};
use gg_volume::{Affine, Grid, Orientation, SpacingTrust, Warning};

/// Direction cosines that differ by less are one.
pub(super) const ORIENTATION_TOLERANCE: f64 = 1e-3;
/// Direction cosines may be off from unit length and right angles by this much before they are refused.
const ORTHONORMAL_TOLERANCE: f64 = 0.01;
/// Positions closer than this along the normal are one, in mm.
pub(super) const SAME_POSITION_MM: f64 = 0.01;
/// A distance above this multiple of the usual one is a gap.
const GAP: f64 = 1.5;
/// Distances this far off the usual one (relative, or in mm for rounded positions) are remarked on ..
const UNEVEN: f64 = 0.02;
const UNEVEN_MM: f64 = 0.02;
/// .. and this far (relative) make the spacing useless.
const VERY_UNEVEN: f64 = 0.1;
/// A slice this many pixels beside the line through the others is remarked on.
const SHIFT_PIXELS: f64 = 1.0;

/// How a series lies in space.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub spacing_mm: Option<[f64; 3]>,
    pub affine: Option<Affine>,
    /// Why the spacing cannot be trusted.
    pub doubt: Option<String>,
    pub warnings: Vec<Warning>,
}

impl Layout {
    /// The grid for a volume of this shape.
    pub(super) fn grid(&self, shape: [usize; 3]) -> Grid {
        let trust = match (&self.doubt, self.spacing_mm) {
            (None, Some(_)) => SpacingTrust::Trusted,
            (Some(reason), _) => SpacingTrust::Untrusted(reason.clone()),
            (None, None) => SpacingTrust::Untrusted("the files state no spacing".to_owned()),
        };
        Grid { shape, spacing_mm: self.spacing_mm, affine: self.affine, trust }
    }
}

/// Puts slices in order along the normal, or by number where positions are missing (see [`take_placeless`]).
///
/// # Errors
/// Directions that are none, or no order at all.
pub(super) fn sort(slices: &mut [SliceHeader]) -> Result<(), ReadError> {
    slices.sort_by(super::series::content_order);
    if let Some(normal) = normal(slices)? {
        slices.sort_by(|a, b| along(a, normal).total_cmp(&along(b, normal)));
        return Ok(());
    }
    slices.sort_by_key(|s| s.instance_number);
    let ordered = slices
        .windows(2)
        .all(|w| w[0].instance_number.is_some() && w[0].instance_number < w[1].instance_number);
    if ordered {
        return Ok(());
    }
    let words = "they state neither positions nor different numbers, so that their order is unknown";
    Err(ReadError::MixedSlices(words.to_owned()))
}

/// Takes away slices that do not say where they lie, where most of their series do.
pub(super) fn take_placeless(slices: &mut Vec<SliceHeader>) -> Vec<SliceHeader> {
    let placeless = |s: &SliceHeader| s.position.is_none() || s.orientation.is_none();
    let without = slices.iter().filter(|s| placeless(s)).count();
    if 2 * without >= slices.len() {
        return Vec::new();
    }
    slices.extract_if(.., |s| placeless(s)).collect()
}

/// Runs of slices (first and last index) that lie at one position, in sorted order.
pub(super) fn same_positions(slices: &[SliceHeader]) -> Vec<(usize, usize)> {
    let Ok(Some(normal)) = normal(slices) else { return Vec::new() };
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for i in 1..slices.len() {
        if along(&slices[i], normal) - along(&slices[i - 1], normal) < SAME_POSITION_MM {
            match runs.last_mut() {
                Some(run) if run.1 == i - 1 => run.1 = i,
                _ => runs.push((i - 1, i)),
            }
        }
    }
    runs
}

/// The usual distance between slices along the normal in mm, for tables.
pub(super) fn usual_step(slices: &[SliceHeader]) -> Option<f64> {
    let normal = normal(slices).ok().flatten()?;
    let mut places: Vec<f64> = slices.iter().map(|s| along(s, normal)).collect();
    places.sort_by(f64::total_cmp);
    let steps = places.windows(2).map(|w| w[1] - w[0]).filter(|d| *d >= SAME_POSITION_MM).collect();
    median(steps).filter(|d| d.is_finite())
}

/// Works out how sorted slices without repeats lie in space. `lost` are the files that could not be read and may have
/// been slices. A gap that they explain is remarked on, and the spacing is not trusted across it; any other gap is
/// refused. A file whose header still says where it lies explains the gap at that place, any other file one slice
/// wherever it is missing.
///
/// # Errors
/// A gap in z, spacing that is none, directions that are none.
pub(super) fn lay_out(
    slices: &[SliceHeader],
    lost: &[Lost],
    options: &ReadOptions,
) -> Result<Layout, ReadError> {
    let mut layout = Layout { spacing_mm: None, affine: None, doubt: None, warnings: Vec::new() };
    let Some(first) = slices.first() else { return Err(ReadError::EmptyFolder) };
    for (spacing, axis) in first.pixel_spacing.into_iter().flatten().zip(['y', 'x']) {
        if !(spacing > 0.0 && spacing.is_finite()) {
            return Err(ReadError::BadSpacing { axis, found: spacing });
        }
    }
    let Some(normal) = normal(slices)? else {
        let placeless = slices.iter().filter(|s| s.position.is_none() || s.orientation.is_none()).count();
        let (which, state) = match placeless {
            n if n == slices.len() => ("the slices".to_owned(), "state"),
            1 => ("1 slice".to_owned(), "states"),
            n => (counted(n, "slice"), "state"),
        };
        let order = if slices.iter().all(|s| s.place.is_some()) {
            "in the order in which they are stored"
        } else {
            "in the order of their numbers"
        };
        layout.doubt = Some(format!("{which} {state} no position or orientation"));
        layout.warn(
            "no_position",
            format!(
                "{which} {state} no position or orientation; all are {order}, and neither the distance between them nor the \
                 patient's sides are known"
            ),
        );
        return Ok(layout);
    };
    let step = step(slices, normal, lost, options, &mut layout)?;
    if lost.iter().any(|l| l.placeless) && layout.doubt.is_none() {
        layout.doubt = Some("slices of the series do not say where they lie".to_owned());
    }
    if first.pixel_spacing.is_none() {
        layout.doubt = Some("the slices state no PixelSpacing".to_owned());
        layout
            .warn("no_pixel_spacing", "the slices state no PixelSpacing, so that no length in them is known");
    }
    let (Some([row_mm, column_mm]), Some([along_row, along_column])) =
        (first.pixel_spacing, first.orientation)
    else {
        return Ok(layout);
    };
    let origin = first.position.unwrap_or_default();
    let z = step.unwrap_or(normal); // one slice: the direction is known, the distance is not
    let affine =
        Affine::new([with_length(along_row, column_mm), with_length(along_column, row_mm), z], origin)?;
    if step.is_some() {
        layout.spacing_mm = Some([norm(z), row_mm, column_mm]);
    }
    remark_direction(&affine, &mut layout);
    layout.warnings.extend(oblique(&affine, tilt_degrees(z, normal)));
    remark_shifts(slices, &affine, row_mm.min(column_mm), &mut layout);
    layout.affine = Some(affine);
    Ok(layout)
}

impl Layout {
    fn warn(&mut self, code: &str, message: impl Into<String>) {
        self.warnings.push(Warning::new(code, message));
    }
}

/// The step from slice to slice, or `None` where there is one slice.
fn step(
    slices: &[SliceHeader],
    normal: [f64; 3],
    lost: &[Lost],
    options: &ReadOptions,
    layout: &mut Layout,
) -> Result<Option<[f64; 3]>, ReadError> {
    let places: Vec<[f64; 3]> = slices.iter().filter_map(|s| s.position).collect();
    let (Some(&first), Some(&last)) = (places.first(), places.last()) else { return Ok(None) };
    if places.len() == 1 {
        layout.doubt = Some("there is one slice, so that the distance between slices is unknown".to_owned());
        layout.warn("one_slice", "the scan holds one slice only; the distance between slices is unknown");
        return Ok(None);
    }
    let heights: Vec<f64> = places.iter().map(|p| dot(*p, normal)).collect();
    // The lower of two middle ones, so that a gap among three slices is seen.
    let mut steps: Vec<f64> = heights.windows(2).map(|w| w[1] - w[0]).collect();
    steps.sort_by(f64::total_cmp);
    let usual_height = steps[(steps.len() - 1) / 2];
    let lost: Vec<Option<f64>> = lost.iter().map(|l| l.position.map(|p| dot(p, normal))).collect();
    let count = Count { slices: slices.len(), down: runs_down(normal) };
    check_steps(&heights, usual_height, &lost, count, options, layout)?;
    let length = median(places.windows(2).map(|w| norm(minus(w[1], w[0]))).collect()).unwrap_or(0.0);
    let whole = minus(last, first);
    let degrees = tilt_degrees(whole, normal);
    if degrees > TILT_DEGREES {
        layout.warnings.push(tilted(degrees));
    }
    Ok(Some(with_length(whole, length)))
}

/// How far the way from slice to slice is off the normal of the slices, in degrees.
fn tilt_degrees(way: [f64; 3], normal: [f64; 3]) -> f64 {
    dot(with_length(way, 1.0), normal).clamp(-1.0, 1.0).acos().to_degrees()
}

/// How people count slices: from 0 at the feet, as in `slices.csv`.
#[derive(Clone, Copy)]
struct Count {
    slices: usize,
    /// Whether the slices are stored from head to feet.
    down: bool,
}

impl Count {
    /// The number of a stored slice.
    fn one(self, stored: usize) -> usize {
        if self.down { self.slices - 1 - stored } else { stored }
    }

    /// The numbers of a stored slice and the next one, ascending.
    fn pair(self, stored: usize) -> [usize; 2] {
        let [a, b] = [self.one(stored), self.one(stored + 1)];
        [a.min(b), a.max(b)]
    }
}

/// Whether axial slices in the order of their normal run from head to feet.
fn runs_down(normal: [f64; 3]) -> bool {
    normal[2] < 0.0 && normal[2].abs() >= normal[0].abs().max(normal[1].abs())
}

/// The number of a stored slice as people count them.
pub(super) fn count_from_feet(slices: &[SliceHeader], stored: usize) -> usize {
    let down = normal(slices).ok().flatten().is_some_and(runs_down);
    Count { slices: slices.len(), down }.one(stored)
}

/// Where the slice of a file that could not be read belongs, as far as its header says it.
pub(super) fn place_of(slices: &[SliceHeader], lost: &Lost) -> Option<String> {
    let position = lost.position?;
    let normal = normal(slices).ok().flatten()?;
    let height = dot(position, normal);
    let below = slices.iter().filter(|s| along(s, normal) < height).count();
    let down = runs_down(normal);
    Some(match below {
        0 if down => "above the others".to_owned(),
        0 => "below the others".to_owned(),
        n if n == slices.len() => if down { "below the others" } else { "above the others" }.to_owned(),
        n => {
            let [a, b] = Count { slices: slices.len(), down }.pair(n - 1);
            format!("between slices {a} and {b} (counted from 0)")
        }
    })
}

/// Looks for gaps and uneven distances between neighbours. `lost` are the heights of files that could not be read,
/// where known.
fn check_steps(
    heights: &[f64],
    usual: f64,
    lost: &[Option<f64>],
    count: Count,
    options: &ReadOptions,
    layout: &mut Layout,
) -> Result<(), ReadError> {
    let gaps: Vec<(usize, f64)> =
        heights.windows(2).map(|w| w[1] - w[0]).enumerate().filter(|(_, d)| *d > GAP * usual).collect();
    let missing = |d: f64| (d / usual).round() - 1.0;
    let inside =
        |h: f64, i: usize| h - heights[i] > SAME_POSITION_MM && heights[i + 1] - h > SAME_POSITION_MM;
    let there = |i: usize| lost.iter().flatten().filter(|h| inside(**h, i)).count() as f64;
    let unexplained: Vec<(usize, f64, f64)> =
        gaps.iter().map(|&(i, d)| (i, d, missing(d) - there(i))).filter(|(.., n)| *n > 0.0).collect();
    let anywhere = lost.iter().filter(|h| h.is_none()).count() as f64;
    if let Some(&(i, gap_mm, _)) = unexplained.first()
        && !options.allow_gaps
        && unexplained.iter().map(|(.., n)| n).sum::<f64>() > anywhere
    {
        return Err(ReadError::GapInZ { between: count.pair(i), gap_mm, step_mm: usual });
    }
    if let Some(&(i, _)) = if count.down { gaps.last() } else { gaps.first() } {
        let [a, b] = count.pair(i);
        let first = if gaps.len() > 1 { "the first " } else { "" };
        layout.doubt = Some("slices are missing".to_owned());
        layout.warn(
            "gap_in_z",
            format!(
                "about {} missing ({first}between slices {a} and {b}, counted from 0); the others are stacked without \
                 the gap, and no millilitres are reported",
                match gaps.iter().map(|(_, d)| missing(*d)).sum::<f64>() {
                    n if n < 1.5 => "1 slice is".to_owned(),
                    n => format!("{n:.0} slices are"),
                }
            ),
        );
    }
    let furthest = heights
        .windows(2)
        .map(|w| (w[1] - w[0] - usual).abs())
        .enumerate()
        .filter(|(i, _)| !gaps.iter().any(|(gap, _)| gap == i))
        .fold(0.0, |worst: f64, (_, off)| worst.max(off));
    if furthest > UNEVEN_MM.max(UNEVEN * usual) {
        layout.warn(
            "irregular_spacing",
            format!(
                "the distance between slices is {usual:.3} mm as a rule, but off by up to {furthest:.3} mm"
            ),
        );
        if furthest > VERY_UNEVEN * usual && layout.doubt.is_none() {
            layout.doubt = Some("the distance between slices is irregular".to_owned());
        }
    }
    Ok(())
}

fn remark_direction(affine: &Affine, layout: &mut Layout) {
    let Orientation([_, _, z]) = affine.orientation();
    match z {
        'S' => {}
        'I' => layout.warn("reversed_z", "the slices run from head to feet; they are turned for reading"),
        _ => layout.warn("not_axial", "the slices are not axial; they are read as they lie in the patient"),
    }
}

/// Remarks on slices that lie beside the line on which the affine puts them.
fn remark_shifts(slices: &[SliceHeader], affine: &Affine, pixel_mm: f64, layout: &mut Layout) {
    if slices.len() < 3 || layout.doubt.is_some() {
        return;
    }
    let [.., z] = affine.columns();
    let direction = with_length(z, 1.0);
    let beside = |s: &SliceHeader| {
        let from = minus(s.position.unwrap_or_default(), affine.origin());
        norm(minus(from, scaled(direction, dot(from, direction))))
    };
    let furthest = slices.iter().map(beside).fold(0.0, f64::max);
    if furthest > SHIFT_PIXELS * pixel_mm {
        layout.warn(
            "shifted_slices",
            format!("slices are shifted sideways against each other by up to {furthest:.1} mm"),
        );
    }
}

/// The common normal; `None` where a position or an orientation is missing.
fn normal(slices: &[SliceHeader]) -> Result<Option<[f64; 3]>, ReadError> {
    let Some([u, v]) = slices.first().and_then(|s| s.orientation) else { return Ok(None) };
    let off = [norm(u) - 1.0, norm(v) - 1.0, dot(u, v)];
    if !off.iter().all(|o| o.abs() <= ORTHONORMAL_TOLERANCE) {
        let words = "ImageOrientationPatient is no pair of perpendicular directions of length 1";
        return Err(ReadError::MixedSlices(words.to_owned()));
    }
    if slices.iter().any(|s| s.position.is_none() || s.orientation.is_none()) {
        return Ok(None);
    }
    let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    Ok(Some(with_length(n, 1.0)))
}

fn along(slice: &SliceHeader, normal: [f64; 3]) -> f64 {
    dot(slice.position.unwrap_or_default(), normal)
}

/// The middle value; the mean of the middle two where their number is even.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// The vector in the same direction; whole lengths along an axis stay whole.
fn with_length(a: [f64; 3], length: f64) -> [f64; 3] {
    let n = norm(a);
    a.map(|v| v / n * length)
}

fn scaled(a: [f64; 3], by: f64) -> [f64; 3] {
    a.map(|v| v * by)
}
