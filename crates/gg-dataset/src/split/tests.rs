//! Splits: who is dealt where, and what is refused.

use super::*;
use proptest::prelude::*;

/// Cases named `c0..`, each of the patient with the given number.
fn cases(patients: &[usize]) -> Vec<SplitCase> {
    let case = |(i, p): (usize, &usize)| SplitCase {
        case: format!("c{i}"),
        patient: format!("p{p}"),
        slices: Some(10 + 7 * i % 5),
        ..SplitCase::default()
    };
    patients.iter().enumerate().map(case).collect()
}

fn patients_of(cases: &[SplitCase], names: &[&str]) -> BTreeSet<String> {
    cases.iter().filter(|c| names.contains(&c.case.as_str())).map(|c| c.patient.clone()).collect()
}

#[test]
fn too_few_patients_are_named_with_the_number_that_would_do() {
    let error = Split::by_patient(&cases(&[0, 0, 1]), 5, 1).unwrap_err();
    assert_eq!(error.to_string(), "data set too small to split: found 2 patients, right would be at least 5");
    assert_eq!(Split::by_patient(&cases(&[0, 1]), 1, 1).unwrap_err(), SplitError::Folds(1));
}

#[test]
fn leaving_one_patient_out_tests_each_patient_once() {
    let cases = cases(&[0, 1, 1, 2, 3]);
    let split = Split::by_patient(&cases, 4, 7).unwrap();
    let mut tested = BTreeSet::new();
    for fold in 0..4 {
        let parts = split.parts(fold).unwrap();
        let test = patients_of(&cases, &parts.test());
        assert_eq!((test.len(), parts.val().is_empty(), parts.train().is_empty()), (1, false, false));
        tested.extend(test);
    }
    assert_eq!(tested.len(), 4);
    assert_eq!(split.parts(4).unwrap_err().to_string(), "fold 4 was asked for, right would be 0 to 3");
}

#[test]
fn folds_hold_equal_numbers_of_slices_and_positives() {
    let case = |i: usize| SplitCase {
        case: format!("c{i}"),
        patient: format!("p{i}"),
        slices: Some(if i < 5 { 200 } else { 20 }),
        positives: Some(if i.is_multiple_of(2) { 20 } else { 0 }),
        ..SplitCase::default()
    };
    let cases: Vec<SplitCase> = (0..20).map(case).collect();
    let split = Split::by_patient(&cases, 5, 3).unwrap();
    for fold in 0..5 {
        let of: Vec<&SplitCase> =
            cases.iter().zip(&split.cases).filter(|(_, e)| e.fold == Some(fold)).map(|(c, _)| c).collect();
        assert_eq!(of.len(), 4);
        let slices: usize = of.iter().filter_map(|c| c.slices).sum();
        assert!((200..=500).contains(&slices), "fold {fold} has {slices} slices");
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let cases = cases(&(0..12).collect::<Vec<_>>());
    let of = |seed| Split::by_patient(&cases, 3, seed).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn the_folds_of_a_table_are_kept_and_other_sets_follow_their_patients() {
    let mut cases = cases(&[0, 1, 2, 0, 9]);
    for (c, fold) in cases.iter_mut().zip([Some(0), Some(1), Some(2), None, None]) {
        c.fold = fold;
    }
    let split = Split::from_table(&cases, 1).unwrap();
    let folds: Vec<Option<usize>> = split.cases.iter().map(|e| e.fold).collect();
    assert_eq!((split.folds, folds), (3, vec![Some(0), Some(1), Some(2), Some(0), None]));
    assert_eq!(split.parts(0).unwrap().part_of("c4", 0), Some(Part::Train));
    assert_eq!(split.parts(0).unwrap().part_of("c3", 5), Some(Part::Test));
    cases[3].fold = Some(1);
    assert!(matches!(Split::from_table(&cases, 1), Err(SplitError::PatientTorn(_))));
    cases.iter_mut().for_each(|c| c.fold = None);
    assert_eq!(Split::from_table(&cases, 1), Err(SplitError::NoTable));
}

#[test]
fn a_published_validation_part_is_tested_on_and_another_is_carved_out_of_training() {
    let mut cases = cases(&(0..20).collect::<Vec<_>>());
    for (i, c) in cases.iter_mut().enumerate() {
        c.part = Some(if i < 15 { Part::Train } else { Part::Val });
    }
    for split in [Split::from_table(&cases, 3).unwrap(), Split::by_patient(&cases, 5, 3).unwrap()] {
        let split = Split::from_toml(&split.to_toml().unwrap()).unwrap();
        let parts = split.parts(0).unwrap();
        assert_eq!(parts.test(), ["c15", "c16", "c17", "c18", "c19"]);
        assert_eq!((parts.val().len(), parts.train().len()), (3, 12));
        assert!(parts.val().iter().all(|c| !parts.train().contains(c)));
        // Neighbours in the table, which may be one patient's, stay together.
        let number = |c: &&str| c[1..].parse::<usize>().unwrap();
        let mut val: Vec<usize> = parts.val().iter().map(number).collect();
        val.sort_unstable();
        assert_eq!(val[2] - val[0], 2, "{val:?}");
        assert!(parts.warnings.is_empty(), "{:?}", parts.warnings);
    }
}

#[test]
fn stated_parts_are_kept_and_a_missing_test_part_is_remarked() {
    let mut cases = cases(&[0, 1, 2]);
    let mut parts = |stated: [Part; 3]| {
        cases.iter_mut().zip(stated).for_each(|(c, part)| c.part = Some(part));
        Split::from_table(&cases, 1).unwrap().parts(0).unwrap()
    };
    let all = parts([Part::Train, Part::Val, Part::Test]);
    assert_eq!((all.train(), all.val(), all.test()), (vec!["c0"], vec!["c1"], vec!["c2"]));
    let training = parts([Part::Train; 3]);
    assert_eq!((training.train().len(), training.val(), training.test()), (3, vec![], vec![]));
    assert_eq!(training.warnings[1].code, "no_test_part");
}

#[test]
fn a_set_for_training_only_is_never_tested() {
    let mut cases = cases(&[0, 1, 2, 3, 8, 9]);
    cases[4].part = Some(Part::Train);
    cases[5].part = Some(Part::Train);
    let split = Split::by_patient(&cases, 4, 1).unwrap();
    for fold in 0..4 {
        let parts = split.parts(fold).unwrap();
        assert!(["c4", "c5"].iter().all(|c| parts.part_of(c, 0) == Some(Part::Train)));
    }
}

#[test]
fn a_split_holds_for_other_scans_of_its_patients() {
    let split = Split::by_patient(&cases(&[0, 1, 2]), 3, 1).unwrap();
    let parts = split.parts(1).unwrap();
    for (c, p) in [("c0", "p0"), ("c1", "p1"), ("c2", "p2")] {
        assert_eq!(parts.part_for("a later scan", p, 3), parts.part_of(c, 0));
        assert_eq!(parts.part_for(c, "no table said so", 3), parts.part_of(c, 0));
    }
    assert_eq!(parts.part_for("new", "new", 0), None);
}

#[test]
fn a_split_that_gives_one_patient_two_names_is_refused() {
    let split = Split::by_patient(&cases(&[0, 1, 2]), 3, 1).unwrap();
    let keeps =
        |patients: [&'static str; 3]| split.keeps_patients(["c0", "c1", "c2"].into_iter().zip(patients));
    assert_eq!(keeps(["p0", "p1", "p2"]), Ok(()));
    assert_eq!(keeps(["other", "names", "altogether"]), Ok(()));
    assert_eq!(keeps(["p1", "p1", "p1"]), Ok(()), "a name that the split knows has one place");
    let torn = keeps(["x", "y", "x"]).unwrap_err();
    assert_eq!(
        torn.to_string(),
        "`c0` and `c2` are of one patient in the data set and of two in the split, right would be one for both"
    );
    let by_slice = Split::by_slice(&cases(&[0, 1, 2]), 3, 1).unwrap();
    assert_eq!(
        by_slice.keeps_patients([("c0", "x"), ("c2", "x")].into_iter()),
        Ok(()),
        "it leaks, and says so"
    );
}

#[test]
fn a_split_by_slice_says_that_patients_leak() {
    let cases = cases(&[0, 1]);
    let split = Split::by_slice(&cases, 5, 1).unwrap();
    assert!(split.leaking());
    assert!(split.to_toml().unwrap().starts_with("# patients leak between training and test\n"));
    let parts = split.parts(2).unwrap();
    assert_eq!(parts.warnings[0].message, "patients leak between training and test");
    let total: usize = cases.iter().filter_map(|c| c.slices).sum();
    let of = |part| {
        let slices = cases.iter().flat_map(|c| (0..c.slices.unwrap()).map(move |z| (c.case.as_str(), z)));
        slices.filter(|(c, z)| parts.part_of(c, *z) == Some(part)).count()
    };
    assert_eq!(of(Part::Test), total / 5 + usize::from(2 < total % 5));
    assert_eq!(of(Part::Train) + of(Part::Val) + of(Part::Test), total);
    assert!(of(Part::Val) > 0);
}

#[test]
fn a_split_file_comes_back_and_faults_are_refused() {
    for split in [Split::by_patient(&cases(&[0, 1, 2]), 2, 5), Split::by_slice(&cases(&[0, 1, 2]), 2, 5)] {
        let split = split.unwrap();
        assert_eq!(Split::from_toml(&split.to_toml().unwrap()).unwrap(), split);
    }
    let check = |text: &str, expected: &str| {
        let error = Split::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let head = "version = 1\nkind = \"patient\"\nseed = 1\nfolds = 2\n";
    check("version = 2\nnews = true\n", "version 2, right would be 1");
    check("hello", "no split file");
    check(&format!("{head}[[case]]\ncase = \"a\"\npatient = \"p\"\n"), "`a` has no single place");
    let torn = "[[case]]\ncase = \"a\"\npatient = \"p\"\nfold = 0\n[[case]]\ncase = \"b\"\npatient = \"p\"\nfold = 1\n";
    check(&format!("{head}{torn}"), "one patient stand in different folds");
    check(&format!("{head}[[case]]\ncase = \"a\"\npatient = \"p\"\nfold = 2\n"), "fold 2 was asked for");
    check(&format!("{head}typo = 1\n"), "unknown field");
    let by_slice = head.replace("patient", "slice");
    check(
        &format!("{by_slice}[[case]]\ncase = \"a\"\npatient = \"p\"\nfold = 0\n"),
        "`a` has no single place",
    );
    let fixed = format!("{by_slice}[[case]]\ncase = \"a\"\npatient = \"p\"\npart = \"train\"\n");
    assert_eq!(Split::from_toml(&fixed).unwrap().parts(0).unwrap().part_of("a", 3), Some(Part::Train));
}

proptest! {
    #[test]
    fn no_patient_stands_in_two_parts(
        patients in proptest::collection::vec(0usize..12, 1..40), folds in 2usize..7, seed: u64,
    ) {
        let cases = cases(&patients);
        let distinct: BTreeSet<usize> = patients.iter().copied().collect();
        let split = Split::by_patient(&cases, folds, seed);
        prop_assert_eq!(split.is_ok(), distinct.len() >= folds);
        let Ok(split) = split else { return Ok(()) };
        for fold in 0..folds {
            let parts = split.parts(fold).unwrap();
            let sets = [parts.train(), parts.val(), parts.test()].map(|names| patients_of(&cases, &names));
            prop_assert!(sets[0].is_disjoint(&sets[1]) && sets[0].is_disjoint(&sets[2]) && sets[1].is_disjoint(&sets[2]));
            prop_assert_eq!(sets.iter().map(BTreeSet::len).sum::<usize>(), distinct.len());
            prop_assert!(!sets[0].is_empty() && !sets[2].is_empty());
        }
    }
}
