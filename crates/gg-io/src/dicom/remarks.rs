//! What is odd about a series, in words: of its pixels, of files that could not be read, and all of it for `inspect`.

use super::geometry::{lay_out, place_of, same_positions, sort, take_placeless};
use super::header::{Lost, Skip, SliceHeader};
use super::series::{Series, one_frame, one_person};
use super::transfer_syntax::Codec;
use crate::error::counted;
use crate::{ReadError, ReadOptions};
use gg_volume::Warning;
use std::collections::BTreeSet;

/// A remark on objects that may hold slices of the scan and are of a kind that is not read.
pub(super) fn unread_objects(skipped: &[Skip]) -> Option<Warning> {
    let n = skipped.iter().filter(|s| matches!(s, Skip::MultiFrame | Skip::Colour)).count();
    let message = || {
        let were = if n == 1 { "was" } else { "were" };
        format!(
            "{} in colour, or of many frames without a place for each, {were} left out",
            counted(n, "object")
        )
    };
    (n > 0).then(|| Warning::new("objects_left_out", message()))
}

/// Remarks on files and frames that could not be read, and where their slices belong.
pub(super) fn warn_lost(slices: &[SliceHeader], lost: &[Lost], warnings: &mut Vec<Warning>) {
    let (placeless, lost): (Vec<&Lost>, Vec<&Lost>) = lost.iter().partition(|l| l.placeless);
    if !placeless.is_empty() {
        let (say, were) = match placeless.len() {
            1 => ("does not say where it lies", "was"),
            _ => ("do not say where they lie", "were"),
        };
        let message = format!(
            "{} {say}, as the others do, and {were} left out: no millilitres are reported",
            counted(placeless.len(), "slice")
        );
        warnings.push(Warning::new("slices_without_place", message));
    }
    let what = match lost.iter().filter(|l| l.frame.is_some()).count() {
        0 => "file",
        n if n == lost.len() => "frame",
        _ => "slice",
    };
    let message = match &lost[..] {
        [] => return,
        [one] => {
            let place =
                place_of(slices, one).map_or(String::new(), |place| format!("; its slice belongs {place}"));
            format!("one {what} could not be read and was left out{place}")
        }
        many => {
            let places: BTreeSet<_> = many.iter().map(|one| place_of(slices, one)).collect();
            let place = match places.first() {
                Some(Some(place)) if places.len() == 1 => format!("; their slices belong {place}"),
                _ => String::new(),
            };
            format!("{} could not be read and were left out{place}", counted(many.len(), what))
        }
    };
    warnings.push(Warning::new("unreadable_files", message));
}

/// What is odd about the pixels of a series.
pub(super) fn remarks(slices: &[SliceHeader]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if slices.iter().any(|s| !s.format.has_rescale) {
        let message =
            "slices state no rescale slope and intercept; their values are taken as they are stored";
        warnings.push(Warning::new("no_rescale", message));
    }
    if slices.iter().any(|s| s.format.inverted) {
        let message = if slices.iter().all(|s| s.format.has_rescale) {
            "the slices are to be shown inverted (MONOCHROME1); their values are measurements and stay as they are"
        } else {
            "the slices are inverted (MONOCHROME1); their shades were turned round"
        };
        warnings.push(Warning::new("monochrome1", message));
    }
    warnings.extend(other_intercepts(slices));
    let averaged = slices.iter().filter(|s| s.averaged).count();
    if averaged > 0 {
        let message = format!(
            "{} of {} each the mean over a slab, as ImageType says: small infection is blurred into the lung around it",
            averaged,
            if slices.len() == 1 { "1 slice is".to_owned() } else { format!("{} slices are", slices.len()) }
        );
        warnings.push(Warning::new("averaged_slices", message));
    }
    warnings
}

/// Intercepts that differ by less are rounded otherwise.
const LEAST_HU: f64 = 1.0;

/// A remark where slices of one slope state different intercepts: HU have one zero. Where the slope changes too, each
/// slice may have been stretched to the range of its bits.
fn other_intercepts(slices: &[SliceHeader]) -> Option<Warning> {
    let first = &slices.first()?.format;
    if slices.iter().any(|s| s.format.slope != first.slope) {
        return None;
    }
    let intercepts = slices.iter().map(|s| s.format.intercept);
    let (low, high) = intercepts.fold((first.intercept, first.intercept), |(l, h), i| (l.min(i), h.max(i)));
    (high - low >= LEAST_HU).then(|| {
        let message = format!(
            "slices state different rescale intercepts, from {low} to {high}, with the same slope, right would be one for all: HU of some \
             are probably off by up to {}, and so are all means of HU",
            high - low
        );
        Warning::new("rescale_intercepts_differ", message)
    })
}

/// What `inspect` says about a series.
pub(super) fn oddities(series: &Series, lost: &[Lost]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut slices = series.slices.clone();
    let placeless = take_placeless(&mut slices);
    let lost =
        &[lost, &placeless.iter().map(|s| Lost { placeless: true, ..Lost::of_slice(s) }).collect::<Vec<_>>()]
            .concat()[..];
    let note = |code: &str, e: ReadError| Warning::new(code, e.to_string());
    if let Err(e) = sort(&mut slices) {
        return vec![note("refused", e)];
    }
    if let Err(e) = one_person(series).and_then(|()| one_frame(series)) {
        return vec![note("refused", e)];
    }
    let repeated: usize = same_positions(&slices).iter().map(|(from, to)| to - from).sum();
    if repeated > 0 {
        let message = match repeated {
            1 => "one slice lies at the position of another".to_owned(),
            n => format!("{n} slices lie at the position of another"),
        };
        warnings.push(Warning::new("same_position", message));
        let runs = same_positions(&slices);
        let mut i = 0;
        slices.retain(|_| {
            i += 1;
            !runs.iter().any(|(from, to)| (from + 1..=*to).contains(&(i - 1)))
        });
    }
    match lay_out(&slices, lost, &ReadOptions { allow_gaps: true, ..ReadOptions::default() }) {
        Ok(layout) => warnings.extend(layout.warnings),
        Err(e) => warnings.push(note("refused", e)),
    }
    warn_lost(&slices, lost, &mut warnings);
    warnings.extend(remarks(&slices));
    if slices.iter().any(|s| s.syntax.codec == Codec::Unsupported) {
        warnings.push(note("refused", ReadError::TransferSyntax(series.summary.transfer_syntax.clone())));
    }
    if slices.iter().any(|s| s.format.padding.is_some()) {
        let message =
            "pixels outside the field of view are marked; they are set to the lowest measured value";
        warnings.push(Warning::new("padding", message));
    }
    let numbers: Vec<i64> = slices.iter().filter_map(|s| s.instance_number).collect();
    if numbers.len() > 1 && numbers.windows(2).all(|w| w[0] > w[1]) {
        warnings.push(Warning::new(
            "numbered_backwards",
            "the slices are numbered against their order along the normal",
        ));
    }
    warnings
}
