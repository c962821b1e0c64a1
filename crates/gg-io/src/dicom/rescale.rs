//! Slices whose rescale slope and intercept are not those of the others: honest where their values then continue those
//! of their neighbours (some exports stretch each slice to the range of its bits), a fault where they would only do so
//! with the usual pair.
//!
//! One such slice, or a few of many, is remarked on; more of them make the measures wrong, and the kind of the grey values
//! doubtful: they are refused.
//!
//! Where the pair changes from slice to slice, the mean distance of their values is compared with what it would be had the
//! odd one gone through the usual pair.

use super::geometry::count_from_feet;
use super::header::SliceHeader;
use crate::error::{ReadError, counted};
use gg_volume::Warning;

/// A mean distance between neighbours from which on their values may not belong together, in HU; slices of thick scans
/// differ by less.
const JUMP_HU: f64 = 150.0;
/// The usual pair must bring it down to this share.
const MENDED: f64 = 0.5;
/// Two and more of such slices are refused where they are more than one in so many.
const ONE_IN: usize = 10;
/// At most so many of them are named.
const MOST_NUMBERS: usize = 5;

/// A remark on slices that fit their neighbours with the usual slope and intercept and not with their own. Padding is NaN.
///
/// # Errors
/// More of them than can be lived with.
pub(super) fn rescale_jump(
    slices: &[SliceHeader],
    voxels: &[f32],
    size: usize,
) -> Result<Option<Warning>, ReadError> {
    let Some((torn, furthest)) = torn(slices, voxels, size) else { return Ok(None) };
    let (odd, all) = (torn.len(), slices.len());
    if odd > 1 && odd * ONE_IN > all {
        return Err(ReadError::TornRescale { odd, all });
    }
    let (states, their) = if odd == 1 { ("states", "its") } else { ("state", "their") };
    let message = format!(
        "{} of {all} {states} another rescale slope or intercept than the rest; {their} values lie {furthest:.0} from {their} \
         neighbours' on average and would fit with the rest's: they are probably wrong{}",
        counted(odd, "slice"),
        numbers(torn.into_iter().map(|z| count_from_feet(slices, z)).collect())
    );
    Ok(Some(Warning::new("rescale_jump", message)))
}

/// A few slices by their numbers, as words at the end of a sentence.
fn numbers(mut some: Vec<usize>) -> String {
    some.sort_unstable();
    let more = if some.len() > MOST_NUMBERS { ", .." } else { "" };
    let noun = if some.len() == 1 { "slice" } else { "slices" };
    let some: Vec<String> = some.iter().take(MOST_NUMBERS).map(usize::to_string).collect();
    format!(" ({noun} {}{more}, counted from 0)", some.join(", "))
}

/// The slices, and how far the furthest lies from its neighbours; `None` without any.
fn torn(slices: &[SliceHeader], voxels: &[f32], size: usize) -> Option<(Vec<usize>, f64)> {
    let pair = |z: usize| (slices[z].format.slope, slices[z].format.intercept);
    if slices
        .windows(2)
        .all(|w| w[0].format.slope == w[1].format.slope && w[0].format.intercept == w[1].format.intercept)
    {
        return None;
    }
    let count = |wanted: (f64, f64)| (0..slices.len()).filter(|&z| pair(z) == wanted).count();
    // The first of equally usual ones; where each slice has its own, none is usual.
    let usual =
        (0..slices.len()).map(pair).reduce(|best, p| if count(p) > count(best) { p } else { best })?;
    if 2 * count(usual) < slices.len() {
        return None;
    }
    let slice = |z: usize| &voxels[z * size..(z + 1) * size];
    let mut odd = Vec::new();
    let mut furthest = 0.0_f64;
    let mut from = 0;
    while from < slices.len() {
        let to = (from..slices.len()).find(|&z| pair(z) != pair(from)).unwrap_or(slices.len());
        if pair(from) != usual {
            let borders = [(from, from.checked_sub(1)), (to - 1, (to < slices.len()).then_some(to))];
            let jumps = borders.into_iter().filter_map(|(z, beside)| Some((z, beside?)));
            let jumps = jumps.filter(|&(_, beside)| pair(beside) == usual);
            let worst = jumps.filter_map(|(z, beside)| jump(slice(z), slice(beside), pair(z), usual));
            if let Some(worst) = worst.reduce(f64::max) {
                odd.extend(from..to);
                furthest = furthest.max(worst);
            }
        }
        from = to;
    }
    (!odd.is_empty()).then_some((odd, furthest))
}

/// The mean distance between a slice and the one beside it, where the usual pair would bring them together.
fn jump(slice: &[f32], beside: &[f32], own: (f64, f64), usual: (f64, f64)) -> Option<f64> {
    let (mut as_is, mut as_usual, mut n) = (0.0, 0.0, 0_u32);
    for (v, b) in slice.iter().zip(beside).filter(|(v, b)| v.is_finite() && b.is_finite()) {
        let (v, b) = (f64::from(*v), f64::from(*b));
        as_is += (v - b).abs();
        as_usual += ((v - own.1) / own.0 * usual.0 + usual.1 - b).abs();
        n += 1;
    }
    let mean = as_is / f64::from(n.max(1));
    (mean > JUMP_HU && as_usual < MENDED * as_is).then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_slices_are_named_in_ascending_order() {
        assert_eq!(numbers(vec![7]), " (slice 7, counted from 0)");
        assert_eq!(numbers(vec![9, 2]), " (slices 2, 9, counted from 0)");
        assert_eq!(numbers((0..6).rev().collect()), " (slices 0, 1, 2, 3, 4, .., counted from 0)");
    }
}
