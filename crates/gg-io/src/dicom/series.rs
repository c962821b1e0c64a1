//! Slices to series, and the choice of one.
//!
//! A series here is what can be one volume: the same SeriesInstanceUID, matrix, orientation and pixel spacing.
//! The table's order and numbers come from the content alone, and nothing in it says whose scan it is.

use super::geometry::{ORIENTATION_TOLERANCE, usual_step};
use super::header::SliceHeader;
use crate::{ReadError, SeriesSummary};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Pixel spacings that differ by less (relative) are one.
const SPACING_TOLERANCE: f64 = 1e-3;

/// Slices that can be one volume, and their line in the table.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub summary: SeriesSummary,
    pub slices: Vec<SliceHeader>,
}

/// Groups slices into series, in the order of the table.
pub(super) fn group(mut slices: Vec<SliceHeader>) -> Vec<Series> {
    slices.sort_by(content_order);
    let mut groups: Vec<Vec<SliceHeader>> = Vec::new();
    for slice in slices {
        match groups.iter_mut().find(|g| belongs(&g[0], &slice)) {
            Some(group) => group.push(slice),
            None => groups.push(vec![slice]),
        }
    }
    groups.sort_by(|a, b| {
        let key =
            |g: &[SliceHeader]| (g[0].series_number.unwrap_or(i64::MAX), g[0].rows, g[0].columns, g.len());
        key(a)
            .cmp(&key(b))
            .then_with(|| content_order(&a[0], &b[0]))
            .then_with(|| a[0].series.cmp(&b[0].series))
    });
    let numbered = groups.into_iter().enumerate();
    numbered.map(|(i, slices)| Series { summary: summary(i + 1, &slices), slices }).collect()
}

/// Takes the series that was asked for, or the only one.
pub(super) fn choose(mut series: Vec<Series>, wanted: Option<&str>) -> Result<Series, ReadError> {
    let table = |series: &[Series]| series.iter().map(|s| s.summary.clone()).collect::<Vec<_>>();
    let index = match wanted {
        Some(wanted) => series.iter().position(|s| s.summary.id == wanted.trim()),
        None if series.len() > 1 => return Err(ReadError::SeveralSeries(table(&series))),
        None => Some(0),
    };
    match index {
        Some(i) if i < series.len() => {
            let chosen = series.swap_remove(i);
            one_person(&chosen)?;
            one_frame(&chosen)?;
            Ok(chosen)
        }
        _ => Err(ReadError::NoSuchSeries { wanted: wanted.unwrap_or("1").to_owned(), table: table(&series) }),
    }
}

/// Refuses a series whose slices name several persons; slices that name none say nothing.
pub(super) fn one_person(series: &Series) -> Result<(), ReadError> {
    let patients: BTreeSet<&str> = series.slices.iter().filter_map(|s| s.patient.as_deref()).collect();
    if patients.len() > 1 { Err(ReadError::SeveralPatients(patients.len())) } else { Ok(()) }
}

/// Refuses a series whose positions are in several frames of reference, which nothing relates to each other: an order and
/// distances made of them would be invented. Slices that name none say nothing.
pub(super) fn one_frame(series: &Series) -> Result<(), ReadError> {
    let frames: BTreeSet<&str> =
        series.slices.iter().filter_map(|s| s.frame_of_reference.as_deref()).collect();
    if frames.len() > 1 { Err(ReadError::SeveralFrames(frames.len())) } else { Ok(()) }
}

fn belongs(a: &SliceHeader, b: &SliceHeader) -> bool {
    a.series == b.series
        && (a.rows, a.columns) == (b.rows, b.columns)
        && near(a.pixel_spacing, b.pixel_spacing, |x, y| {
            (x - y).abs() <= SPACING_TOLERANCE * x.abs().max(y.abs())
        })
        && near(a.orientation.map(|o| o.concat()), b.orientation.map(|o| o.concat()), |x, y| {
            (x - y).abs() <= ORIENTATION_TOLERANCE
        })
}

/// Both absent, or both there with all numbers near; numbers that are none are near each other.
fn near<T: AsRef<[f64]>>(a: Option<T>, b: Option<T>, near: impl Fn(f64, f64) -> bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.as_ref().iter().zip(b.as_ref()).all(|(x, y)| near(*x, *y) || (!x.is_finite() && !y.is_finite()))
        }
        _ => false,
    }
}

/// An order of slices that knows nothing of file names.
pub(super) fn content_order(a: &SliceHeader, b: &SliceHeader) -> Ordering {
    let place = |s: &SliceHeader| s.position.unwrap_or([f64::INFINITY; 3]);
    let ([ax, ay, az], [bx, by, bz]) = (place(a), place(b));
    az.total_cmp(&bz)
        .then_with(|| ay.total_cmp(&by))
        .then_with(|| ax.total_cmp(&bx))
        .then_with(|| a.instance_number.cmp(&b.instance_number))
}

fn summary(number: usize, slices: &[SliceHeader]) -> SeriesSummary {
    let first = &slices[0];
    SeriesSummary {
        id: number.to_string(),
        slices: slices.len(),
        size: [first.rows, first.columns],
        pixel_spacing_mm: first.pixel_spacing.filter(|s| s.iter().all(|v| v.is_finite())),
        slice_spacing_mm: usual_step(slices),
        transfer_syntax: first.syntax.name.to_owned(),
    }
}
