//! Whether the slice pictures of a folder are one numbered series, told from their names.
//!
//! A picture does not say where it belongs; its name is all there is. Names that differ in one number, as `slice_9`
//! and `slice_10`, are one series. Names that differ in words, or whose numbers start again for another scan as in
//! `IM-0001-0001` and `IM-0002-0001`, are several, and stacking them would make a body that nobody has. Numbers that
//! are skipped are remarked on: they may be missing slices, or slices that somebody chose.

use crate::ReadError;
use crate::natural::natural_cmp;
use gg_volume::Warning;
use std::collections::BTreeMap;

/// A step between numbers above this multiple of the usual one skips something.
const GAP: f64 = 1.5;

/// Pictures of a folder whose names belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSeries {
    /// The names with `*` for the number; it may name a patient and has no place in an output.
    pub names: String,
    /// Number of pictures.
    pub files: usize,
}

/// Checks the names of a folder's pictures, which stand in natural order.
///
/// # Errors
/// [`ReadError::SeveralPictureSeries`] where they are not one series.
pub(crate) fn check(names: &[String]) -> Result<Vec<Warning>, ReadError> {
    let names: Vec<Name> = names.iter().map(|n| Name::of(n)).collect();
    let mut patterns: BTreeMap<&[String], Vec<&Name>> = BTreeMap::new();
    for name in &names {
        patterns.entry(&name.words).or_default().push(name);
    }
    let mut all: Vec<(String, Vec<Option<u64>>)> =
        patterns.values().flat_map(|group| series(group)).collect();
    let twice = all.iter().any(|(_, numbers)| numbers.windows(2).any(|w| w[0].is_some() && w[0] == w[1]));
    match &all[..] {
        [(_, numbers)] if !twice => Ok(skipped(numbers).into_iter().collect()),
        _ => {
            all.sort_by(|a, b| natural_cmp(&a.0, &b.0));
            let series = all.into_iter().map(|(names, n)| PictureSeries { names, files: n.len() });
            Err(ReadError::SeveralPictureSeries(series.collect()))
        }
    }
}

/// A file name without extension, as words with numbers between them.
struct Name {
    words: Vec<String>,
    /// Digits without zeros in front; one fewer than words.
    numbers: Vec<String>,
}

impl Name {
    fn of(file: &str) -> Self {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let (mut words, mut numbers) = (vec![String::new()], Vec::<String>::new());
        let letters: Vec<char> = stem.chars().collect();
        for run in letters.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
            let text: String = run.iter().collect();
            let after_point = words.len() > 1 && words.last().is_some_and(|w| w == ".");
            match (run[0].is_ascii_digit(), numbers.last_mut()) {
                (true, Some(number)) if after_point => {
                    number.push('.'); // 12.5 is one number
                    number.push_str(&text);
                    words.pop();
                    words.push(String::new());
                }
                (true, _) => {
                    numbers.push(text.trim_start_matches('0').to_owned());
                    words.push(String::new());
                }
                (false, _) => *words.last_mut().unwrap_or(&mut String::new()) = text,
            }
        }
        Self { words, numbers }
    }

    /// The name with `*` in the place of one number.
    fn without(&self, number: Option<usize>) -> String {
        let mut text = String::new();
        for (i, word) in self.words.iter().enumerate() {
            text.push_str(word);
            match self.numbers.get(i) {
                Some(_) if Some(i) == number => text.push('*'),
                Some(digits) => text.push_str(if digits.is_empty() { "0" } else { digits }),
                None => {}
            }
        }
        text
    }
}

/// Takes names of one pattern apart: a name with `*` and its numbers in order, `None` where they say nothing.
fn series(group: &[&Name]) -> Vec<(String, Vec<Option<u64>>)> {
    let first = group[0];
    let varying: Vec<usize> = (0..first.numbers.len())
        .filter(|&i| group.iter().any(|n| n.numbers[i] != first.numbers[i]))
        .collect();
    let Some(&last) = varying.last() else {
        let number = first.numbers.len().checked_sub(1);
        return vec![(first.without(number), vec![Some(0); group.len()])];
    };
    if varying.len() > 1 && run_together(group, &varying) {
        return vec![(first.without(Some(last)), vec![None; group.len()])];
    }
    let mut series: BTreeMap<String, Vec<Option<u64>>> = BTreeMap::new();
    for name in group {
        series.entry(name.without(Some(last))).or_default().push(whole(&name.numbers[last]));
    }
    series.values_mut().for_each(|numbers| numbers.sort_unstable());
    series.into_iter().collect()
}

/// Whether several numbers change from each name to the next and never turn, as a slice's number and its position do.
fn run_together(group: &[&Name], varying: &[usize]) -> bool {
    varying.iter().all(|&i| {
        let values: Vec<f64> = group.iter().map(|n| number(&n.numbers[i])).collect();
        values.windows(2).all(|w| w[0] < w[1]) || values.windows(2).all(|w| w[0] > w[1])
    })
}

fn number(digits: &str) -> f64 {
    if digits.is_empty() { 0.0 } else { digits.parse().unwrap_or(f64::NAN) }
}

/// A number that can count slices.
fn whole(digits: &str) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

fn skipped(numbers: &[Option<u64>]) -> Option<Warning> {
    let steps: Vec<u64> = numbers.windows(2).filter_map(|w| Some(w[1]? - w[0]?)).collect();
    let mut sorted = steps.clone();
    sorted.sort_unstable();
    let usual = *sorted.get(sorted.len() / 2)? as f64;
    let wide = |step: u64| step as f64 > GAP * usual;
    let first = steps.iter().position(|s| wide(*s))?;
    let missing: f64 = steps.iter().filter(|s| wide(**s)).map(|s| (*s as f64 / usual).round() - 1.0).sum();
    let message = format!(
        "the numbers in the pictures' names skip about {missing:.0} (the first after slice {first}, counted from 0); \
         if these are missing slices, the others are stacked without the gap"
    );
    Some(Warning::new("numbers_skip", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[track_caller]
    fn one(list: &[&str], skips: bool) {
        assert_eq!(check(&names(list)).unwrap().len(), usize::from(skips), "{list:?}");
    }

    #[track_caller]
    fn several(list: &[&str], expected: &[(&str, usize)]) {
        let Err(ReadError::SeveralPictureSeries(found)) = check(&names(list)) else { panic!("{list:?}") };
        let found: Vec<(&str, usize)> = found.iter().map(|s| (s.names.as_str(), s.files)).collect();
        assert_eq!(found, expected, "{list:?}");
    }

    #[test]
    fn one_series_in_its_many_spellings() {
        one(&["0000.png", "0001.png", "0002.png"], false);
        one(&["slice_9.png", "slice_10.jpg"], false);
        one(&["scan.png"], false);
        one(&["p1_slice3_512x512.png", "p1_slice4_512x512.png"], false);
        one(&["IM-0001-0008.png", "IM-0001-0010.png", "IM-0001-0012.png"], false);
        one(&["z001_t10.5.png", "z002_t8.0.png", "z003_t5.5.png"], false);
        one(&["99999999999999999999999.png"], false);
    }

    #[test]
    fn skipped_numbers_are_remarked_on() {
        one(&["1.png", "2.png", "3.png", "7.png", "8.png"], true);
        one(&["1.png", "4.png", "7.png", "10.png"], false);
    }

    #[test]
    fn other_words_and_numbers_that_start_again_are_several_series() {
        several(&["a_1.png", "a_2.png", "b_1.png"], &[("a_*", 2), ("b_*", 1)]);
        several(
            &["IM-0001-0001.png", "IM-0001-0002.png", "IM-0002-0001.png", "IM-0002-0002.png"],
            &[("IM-1-*", 2), ("IM-2-*", 2)],
        );
        several(&["s-1-1.png", "s-1-2.png", "s-2-3.png", "s-2-4.png"], &[("s-1-*", 2), ("s-2-*", 2)]);
        several(&["1_ct.png", "1_mask.png", "2_ct.png", "2_mask.png"], &[("*_ct", 2), ("*_mask", 2)]);
        several(&["1.jpg", "1.png", "2.png"], &[("*", 3)]);
    }
}
