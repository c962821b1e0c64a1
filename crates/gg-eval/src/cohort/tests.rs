//! Cohorts with an effect that is known, and without any.

use super::*;
use crate::bootstrap::below;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// `n` patients with one case each and four attributes of noise; the outcome follows the named one.
fn cohort(n: usize, of: impl Fn(&[f64]) -> f64, seed: u64) -> Cohort {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || below(&mut rng, 1_000_000) as f64 / 1e6;
    let mut cohort = Cohort {
        names: ["percent", "hu", "texture", "age"].map(str::to_owned).to_vec(),
        ..Cohort::default()
    };
    for i in 0..n {
        let values: Vec<f64> = [10.0, -700.0, 3.0, 60.0].iter().map(|m| m * (0.5 + uniform())).collect();
        let probability = 1.0 / (1.0 + (-of(&values)).exp());
        cohort.outcomes.push(uniform() < probability);
        cohort.rows.push(values.into_iter().map(Some).collect());
        cohort.patients.push(format!("p{i:03}"));
    }
    cohort
}

fn explained(cohort: &Cohort) -> CohortReport {
    explain_cohort(cohort, CohortConfig { resamples: 400, ..CohortConfig::default() }).unwrap()
}

#[test]
fn the_attribute_that_makes_the_outcome_ranks_first_with_the_right_sign() {
    for (name, sign, of) in [
        ("percent", 1.0, (|v: &[f64]| 1.0 * (v[0] - 10.0)) as fn(&[f64]) -> f64),
        ("hu", -1.0, |v| -0.02 * (v[1] + 700.0)),
    ] {
        let report = explained(&cohort(160, of, 3));
        let first = &report.attributes[0];
        assert_eq!(first.name, name);
        assert!(first.penalised_coefficient * sign > 0.5, "{first:?}");
        let (low, high) = first.odds_ratio_interval.unwrap();
        let ratio = first.odds_ratio.unwrap();
        assert!(low < ratio && ratio < high && if sign > 0.0 { low > 1.0 } else { high < 1.0 });
        assert!(ratio.ln() * sign > first.penalised_coefficient * sign, "no penalty draws it to 1");
        assert!(report.auroc.low.unwrap() > 0.6, "{:?}", report.auroc);
        let importance = first.importance.unwrap();
        assert!(importance.mean > 0.1 && importance.mean > 5.0 * importance.sd);
        let others = report.attributes[1..].iter();
        assert!(others.into_iter().all(|a| a.importance.unwrap().mean < 0.05));
        let (start, end) = (first.dependence[0], first.dependence[GRID - 1]);
        assert!((end.1 - start.1) * sign > 0.2 && end.0 > start.0);
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
}

#[test]
fn without_an_effect_the_interval_holds_one_half() {
    let mut holds = 0;
    for seed in 0..20 {
        let report = explained(&cohort(80, |_| 0.0, 100 + seed));
        holds += u8::from(report.auroc.low.unwrap() <= 0.5 && report.auroc.high.unwrap() >= 0.5);
    }
    assert!(holds >= 17, "{holds} of 20");
}

#[test]
fn a_patient_with_several_cases_stands_in_one_fold() {
    let positive_of: BTreeMap<&str, bool> =
        [("a", true), ("b", true), ("c", false), ("d", false), ("e", false)].into();
    let dealt = deal(&positive_of, 2, 7);
    assert_eq!(dealt.len(), 5);
    assert_ne!(dealt["a"], dealt["b"], "each fold has one with the outcome");
    // Copies of each case under its patient's name are no new evidence: the folds stay honest and the interval wide.
    let once = cohort(60, |v| 0.6 * (v[0] - 10.0), 5);
    let mut often = once.clone();
    for _ in 0..3 {
        often.rows.extend(once.rows.clone());
        often.outcomes.extend(once.outcomes.clone());
        often.patients.extend(once.patients.clone());
    }
    let (a, b) = (explained(&once), explained(&often));
    assert_eq!((b.patients, b.cases), (60, 240));
    let width = |r: &CohortReport| r.auroc.high.unwrap() - r.auroc.low.unwrap();
    assert!(width(&b) > 0.7 * width(&a), "{} {}", width(&b), width(&a));
}

#[test]
fn constant_collinear_and_missing_attributes_are_named_and_missing_values_counted() {
    let mut c = cohort(120, |v| 0.8 * (v[0] - 10.0), 11);
    c.names.extend(["same", "copy", "absent", "gaps"].map(str::to_owned));
    for (i, row) in c.rows.iter_mut().enumerate() {
        let copy = row[0].map(|v| 3.0 * v + 1.0);
        row.extend([
            Some(4.0),
            copy,
            (i < 20).then_some(i as f64),
            (i % 6 != 0).then_some((i * 37 % 50) as f64),
        ]);
    }
    let report = explained(&c);
    let reasons: BTreeMap<&str, &str> =
        report.left_out.iter().map(|l| (l.name.as_str(), l.reason.as_str())).collect();
    assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), ["absent", "copy", "same"]);
    assert!(reasons["copy"].contains("most like percent (correlation 1.00)"), "{}", reasons["copy"]);
    assert!(reasons["absent"].contains("100 of 120"), "{}", reasons["absent"]);
    let gaps = report.attributes.iter().find(|a| a.name == "gaps").unwrap();
    assert_eq!(gaps.missing, 20);
    assert!(report.warnings.iter().any(|w| w.contains("missing in gaps")), "{:?}", report.warnings);
}

#[test]
fn chance_among_few_cases_is_not_collinearity_but_no_more_attributes_than_cases_take_part() {
    let mut few = cohort(39, |v| 0.8 * (v[0] - 10.0), 11);
    let mut state = 1u64;
    for k in 0..45 {
        few.names.push(format!("chance {k}"));
        for row in &mut few.rows {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            row.push(Some((state >> 40) as f64));
        }
    }
    let report = explained(&few);
    let left: Vec<&LeftOut> =
        report.left_out.iter().filter(|l| !l.reason.contains("as many as 39 cases can tell apart")).collect();
    assert!(left.len() <= 4, "{left:?}");
    assert!(report.attributes.len() <= 38 && report.attributes.len() >= 33, "{}", report.attributes.len());
    // So many tell any cases apart: no interval could be believed.
    assert!(report.warnings.iter().any(|w| w.contains("(separation)")), "{:?}", report.warnings);
    assert!(report.attributes.iter().all(|a| a.odds_ratio.is_none() && a.odds_ratio_interval.is_none()));
}

#[test]
fn a_sum_of_attributes_that_is_the_outcome_is_separation_and_a_noisy_one_is_not() {
    let mut c = cohort(80, |v| 0.3 * (v[0] - 10.0), 4);
    let told = |c: &Cohort| explained(c).warnings.iter().any(|w| w.contains("(separation)"));
    assert!(!told(&c));
    let sum = |row: &[Option<f64>]| (row[0].unwrap() - 10.0) + 0.01 * (row[1].unwrap() + 700.0) > 0.0;
    c.outcomes = c.rows.iter().map(|row| sum(row)).collect();
    assert!(told(&c));
    let report = explained(&c);
    assert!(report.attributes.iter().all(|a| a.odds_ratio.is_none() && a.odds_ratio_interval.is_none()));
    c.outcomes[7] = !c.outcomes[7];
    assert!(!told(&c));
    for a in explained(&c).attributes {
        let (low, high) = a.odds_ratio_interval.unwrap();
        let ratio = a.odds_ratio.unwrap();
        assert!(low < ratio && ratio < high, "{a:?}");
    }
}

#[test]
fn an_attribute_that_is_the_outcome_by_another_name_is_told() {
    let mut c = cohort(80, |v| 0.3 * (v[0] - 10.0), 4);
    let said = |c: &Cohort| {
        explained(c).warnings.iter().filter(|w| w.contains("by itself")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(said(&c), Vec::<String>::new());
    for name in ["died", "alive"] {
        c.names.push(name.to_owned());
        for (row, &outcome) in c.rows.iter_mut().zip(&c.outcomes) {
            row.push(Some(f64::from(u8::from(outcome == (name == "died")))));
        }
    }
    // The second one follows from the first and is left out for that.
    let told = said(&c);
    assert!(told.len() == 1 && told[0].contains("died by itself tells"), "{told:?}");
}

#[test]
fn too_few_cases_are_said_so_and_one_class_is_refused() {
    let report = explained(&cohort(24, |v| 0.8 * (v[0] - 10.0), 2));
    assert!(report.warnings[0].contains("too few cases"), "{:?}", report.warnings);
    assert!(report.patients_per_attribute < 10.0);
    let mut one = cohort(20, |_| 0.0, 2);
    one.outcomes.fill(true);
    one.outcomes[3] = false;
    let error = explain_cohort(&one, CohortConfig::default()).unwrap_err();
    assert_eq!(error, CohortError::OneClass { positive: 19, negative: 1 });
    one.outcomes.pop();
    assert!(matches!(explain_cohort(&one, CohortConfig::default()), Err(CohortError::Lengths { .. })));
}

#[test]
fn a_cohort_without_an_attribute_says_which_were_left_out_and_why() {
    let mut c = cohort(20, |v| v[0] - 10.0, 2);
    c.names.truncate(1);
    c.rows.iter_mut().for_each(|row| *row = vec![Some(4.0)]);
    let error = explain_cohort(&c, CohortConfig::default()).unwrap_err().to_string();
    let why = "percent (all cases have the same value)";
    assert_eq!(error, format!("no attribute is left: {why}; right would be a column of numbers that differ"));
    assert!(CohortError::no_attribute(&[]).to_string().contains("left: no column is one; right would be"));
}

/// A draw from the normal distribution (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || (below(rng, 1_000_000) as f64 + 0.5) / 1e6;
    (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// `n` patients with an attribute from the normal distribution, each with so many equal cases.
fn normal_cohort(n: usize, log_odds_per_unit: f64, cases: usize, seed: u64) -> Cohort {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cohort = Cohort { names: vec!["x".to_owned()], ..Cohort::default() };
    for i in 0..n {
        let x = normal(&mut rng);
        let probability = 1.0 / (1.0 + (-log_odds_per_unit * x).exp());
        let outcome = (below(&mut rng, 1_000_000) as f64) < 1e6 * probability;
        for _ in 0..cases {
            cohort.rows.push(vec![Some(x)]);
            cohort.outcomes.push(outcome);
            cohort.patients.push(format!("p{i:03}"));
        }
    }
    cohort
}

const QUICK: CohortConfig = CohortConfig { penalty: 1.0, folds: 5, repeats: 0, resamples: 10, seed: 1 };

#[test]
fn intervals_of_odds_ratios_hold_the_truth_as_often_as_they_say() {
    const SETS: u64 = 200;
    for (n, truth, cases) in
        [(60, 3.0, 1), (40, 2.5, 1), (40, 1.5, 1), (24, 1.0, 1), (24, 0.0, 1), (40, 0.0, 3), (40, 1.5, 3)]
    {
        let (mut holds, mut all) = (0.0, 0.0);
        for seed in 0..SETS {
            let Ok(report) = explain_cohort(&normal_cohort(n, truth, cases, seed), QUICK) else { continue };
            let first = &report.attributes[0];
            let Some((low, high)) = first.odds_ratio_interval else { continue };
            let right = (truth * first.sd).exp();
            all += 1.0;
            holds += f64::from(u8::from(low <= right && right <= high));
        }
        assert!(all >= 0.9 * SETS as f64, "{n} {truth} {cases}: {all}");
        assert!(holds >= 0.92 * all, "{n} patients, {truth}, {cases} cases each: {holds} of {all}");
    }
}

/// 60 patients, half of them with the outcome; `rare` is 1 in so many of those and 0 in all others. The age overlaps.
fn partly_separated(ones: usize) -> Cohort {
    let mut cohort = Cohort { names: ["rare", "age"].map(str::to_owned).to_vec(), ..Cohort::default() };
    for i in 0..60 {
        let outcome = i < 30;
        cohort.rows.push(vec![
            Some(f64::from(u8::from(i < ones))),
            Some(40.0 + (i * 17 % 41) as f64 + if outcome { 6.0 } else { 0.0 }),
        ]);
        cohort.outcomes.push(outcome);
        cohort.patients.push(format!("p{i:02}"));
    }
    cohort
}

#[test]
fn an_attribute_that_one_outcome_alone_has_gets_no_odds_ratio_and_the_others_keep_theirs() {
    for ones in [1, 8, 29] {
        let c = partly_separated(ones);
        let report = explained(&c);
        let of = |name: &str| report.attributes.iter().find(|a| a.name == name).unwrap();
        assert_eq!((of("rare").odds_ratio, of("rare").odds_ratio_interval), (None, None), "{ones}");
        assert!(of("rare").penalised_coefficient > 0.0);
        let told: Vec<&String> =
            report.warnings.iter().filter(|w| w.contains("(quasi-complete separation)")).collect();
        assert!(told.len() == 1 && told[0].starts_with("rare: "), "{:?}", report.warnings);

        // What is left of the likelihood is that of the cases without the rare attribute.
        let mut left = Cohort { names: vec!["age".to_owned()], ..Cohort::default() };
        for i in ones..60 {
            left.rows.push(vec![c.rows[i][1]]);
            left.outcomes.push(c.outcomes[i]);
            left.patients.push(c.patients[i].clone());
        }
        if left.outcomes.iter().filter(|&&y| y).count() < 2 {
            continue;
        }
        let of_left = explained(&left);
        let per_year = |a: &AttributeEffect| {
            let (low, high) = a.odds_ratio_interval.unwrap();
            [low, a.odds_ratio.unwrap(), high].map(|ratio| ratio.ln() / a.sd)
        };
        for (found, right) in per_year(of("age")).into_iter().zip(per_year(&of_left.attributes[0])) {
            assert!((found - right).abs() < 1e-3 * right.abs().max(0.01), "{ones}: {found}, right {right}");
        }
    }
    // One case of the other class has it too: the odds ratio is finite.
    let mut c = partly_separated(8);
    c.rows[59][0] = Some(1.0);
    let report = explained(&c);
    assert!(report.attributes.iter().all(|a| a.odds_ratio_interval.is_some()));
    assert!(!report.warnings.iter().any(|w| w.contains("separation")), "{:?}", report.warnings);
}

#[test]
fn values_that_meet_at_one_value_are_quasi_complete_separation() {
    let mut c = normal_cohort(60, 0.0, 1, 3);
    for (i, (row, outcome)) in c.rows.iter_mut().zip(&mut c.outcomes).enumerate() {
        *outcome = i < 30;
        let x = row[0].unwrap().abs();
        row[0] = Some(if i % 30 < 5 {
            0.0
        } else if *outcome {
            x
        } else {
            -x
        });
    }
    let report = explained(&c);
    assert_eq!(report.attributes[0].odds_ratio_interval, None);
    assert!(
        report.warnings.iter().any(|w| w.contains("(quasi-complete separation)")),
        "{:?}",
        report.warnings
    );
}

#[test]
fn noise_has_an_auroc_of_one_half_even_among_few_patients() {
    const SETS: u64 = 200;
    for attributes in [1, 4] {
        let (mut sum, mut holds) = (0.0, 0);
        for seed in 0..SETS {
            let mut c = cohort(20, |_| 0.0, 1000 + seed);
            c.names.truncate(attributes);
            c.rows.iter_mut().for_each(|row| row.truncate(attributes));
            c.outcomes = (0..20).map(|i| i < 7).collect();
            let auroc = explain_cohort(&c, CohortConfig { resamples: 400, ..QUICK }).unwrap().auroc;
            sum += auroc.mean.unwrap();
            holds += u64::from(auroc.low.unwrap() <= 0.5 && auroc.high.unwrap() >= 0.5);
        }
        let mean = sum / SETS as f64;
        assert!(holds >= 180, "{attributes} attributes: {holds} of {SETS} intervals hold one half");
        assert!((mean - 0.5).abs() < 0.03, "{attributes} attributes: {mean}");
    }
}
