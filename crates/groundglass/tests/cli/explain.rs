//! Where the classifier looks, and how attributes of a cohort move the prediction of an outcome.

use crate::run::{Fixture, Ran, TINY, arg, files, groundglass, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Width and height of a PNG.
fn size(png: &Path) -> (u32, u32) {
    let bytes = fs::read(png).unwrap();
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// The phantom's CT as 8-bit grey of a lung window.
fn grey_copy(ct: &Path, dir: &Path) -> PathBuf {
    let scan = gg_io::read_ct(ct, &gg_io::ReadOptions::default()).unwrap().value;
    let grey = scan.ct.voxels.map(|v| ((v + 1350.0) / 1500.0 * 255.0).clamp(0.0, 255.0) as u8);
    let path = dir.join("grey.nii.gz");
    gg_io::write_labels_nifti(&path, &grey, &scan.ct.grid).unwrap();
    path
}

/// A classifier of the second variant that sees three slices and none of the outer ones.
fn second_variant(dir: &Path) -> PathBuf {
    let run = dir.join("classify-b");
    let set = Fixture::get().set();
    let mut args = vec!["train", "classify", arg(&set), "--out", arg(&run)];
    args.extend(TINY.iter().filter(|a| !a.starts_with("classify.network")).copied().collect::<Vec<_>>());
    args.retain(|a| *a != "--set");
    let mut all: Vec<&str> = Vec::new();
    for a in args {
        if a.contains('=') {
            all.push("--set");
        }
        all.push(a);
    }
    all.extend([
        "--set",
        "classify.network={kind = 'classifier_b', in_channels = 3, widths = [4, 8], dense = 8}",
    ]);
    all.extend(["--set", "prepare.trim_fraction=0.2"]);
    groundglass(&all).ok();
    run.join("model.safetensors")
}

#[test]
fn a_slice_is_explained_on_the_grid_of_the_input_by_both_variants_and_for_both_kinds_of_input() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let grey = grey_copy(&f.ct(), dir.path());
    let second = second_variant(dir.path());
    for (i, (ct, model, kind)) in
        [(f.ct(), f.bundle("classify"), "hu"), (grey, second.clone(), "lung_window_8bit")]
            .into_iter()
            .enumerate()
    {
        let out = dir.path().join(format!("out{i}"));
        let ran =
            groundglass(&["explain", arg(&ct), "--slice", "9", "--model", arg(&model), "--out", arg(&out)])
                .ok();
        assert!(ran.stdout.starts_with("slice 9: probability 0."), "{}", ran.stdout);
        let found = json(&out.join("explanation.json"));
        assert_eq!(found["intensity"]["kind"], kind);
        assert_eq!(found["compute"]["precision"], "fp32", "both maps");
        assert!(!found["compute_of_masks"]["precision"].as_str().unwrap().is_empty());
        assert!(found["pixels"]["lung"].as_u64().unwrap() > 0, "{found}");
        for map in ["grad_cam", "occlusion"] {
            let numbers = &found[map]["map"];
            let (low, high) = (numbers["lowest"].as_f64().unwrap(), numbers["highest"].as_f64().unwrap());
            assert!(low <= high && high.is_finite(), "{map}: {numbers}");
            for share in ["share_in_lung", "share_in_infection", "even_share_in_lung"] {
                let value = &numbers[share];
                assert!(
                    value.is_null() || (0.0..=1.0).contains(&value.as_f64().unwrap()),
                    "{map}: {numbers}"
                );
            }
            assert_eq!(size(&out.join(format!("{map}.png"))), (64, 64), "one pixel for each of the input");
        }
        assert!(size(&out.join("explanation.png")).0 > 1000);
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains("Grad-CAM") && page.contains("<image ") && !page.contains("http"), "one file");
        let classified = dir.path().join(format!("analysed{i}"));
        groundglass(&[
            "analyze",
            arg(&ct),
            "--precision",
            "fp32",
            "--out",
            arg(&classified),
            "--model",
            arg(&model),
        ])
        .ok();
        let analysis = json(&classified.join("analysis.json"));
        let there = analysis["classification"]["probability_per_slice"][9].as_f64().unwrap();
        assert!((there - found["probability"].as_f64().unwrap()).abs() < 1e-4, "the same as `analyze` says");
    }

    let again: Vec<_> = ["1", "2"]
        .map(|threads| {
            let out = dir.path().join(format!("threads{threads}"));
            let ct = f.ct();
            groundglass(&["explain", arg(&ct), "--slice", "9", "--threads", threads, "--out", arg(&out)])
                .ok();
            files(&out)
        })
        .into();
    assert!(again[0] == again[1], "the same bytes at any number of threads");

    let out = dir.path().join("none");
    let ct = f.ct();
    let refused = |more: &[&str], code: i32, words: &[&str]| {
        let mut args = vec!["explain", arg(&ct), "--out", arg(&out)];
        args.extend(more);
        groundglass(&args).refused(code, words);
        assert!(!out.exists());
    };
    refused(&["--slice", "20"], 1, &["slice 20", "0 to 19"]);
    refused(
        &["--slice", "0", "--model", arg(&second)],
        1,
        &["does not see slice 0", "right would be 4 to 15"],
    );
    refused(&["--slice", "3", "--model", arg(&f.bundle("lung"))], 1, &["task `lung`", "task `classify`"]);
    refused(&[], 2, &["--slice"]);
}

/// Phantoms of growing infection, analysed: `summary.csv`, and the true percentages.
fn cohort(dir: &Path, count: usize) -> (PathBuf, Vec<f64>) {
    let f = Fixture::get();
    let set = dir.join("cohort");
    groundglass(&[
        "phantom",
        "--out",
        arg(&set),
        "--count",
        &count.to_string(),
        "--size",
        "48x48x16",
        "--seed",
        "21",
    ])
    .ok();
    let truth = json(&set.join("truth.json"));
    let percent = truth.as_array().unwrap().iter().map(|t| t["truth"]["percent_of_lung"].as_f64().unwrap());
    let cts: Vec<PathBuf> =
        (1..=count).map(|i| set.join(format!("ct_scans/phantom-{i:03}.nii.gz"))).collect();
    let out = dir.join("analysed");
    let bundles = ["lung", "infection", "classify"].map(|t| f.bundle(t));
    let mut args = vec!["analyze"];
    args.extend(cts.iter().map(|c| arg(c)));
    args.extend(["--out", arg(&out), "--model"]);
    args.extend(bundles.iter().map(|b| arg(b)));
    groundglass(&args).ok();
    (out.join("summary.csv"), percent.collect())
}

/// One column of a CSV table.
fn column(table: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap();
    let mut lines = text.lines();
    let at = lines.next().unwrap().split(',').position(|c| c == name).unwrap();
    lines.map(|l| l.split(',').nth(at).unwrap().to_owned()).collect()
}

#[test]
fn the_attribute_that_makes_an_outcome_ranks_first_and_a_shuffled_outcome_is_explained_by_nothing() {
    let dir = tempfile::tempdir().unwrap();
    const N: usize = 48;
    let (summary, truth) = cohort(dir.path(), N);
    let cases = column(&summary, "case_id");
    assert_eq!(cases.len(), N);
    let lung_hu: Vec<f64> = column(&summary, "lung_mean_hu").iter().map(|v| v.parse().unwrap()).collect();
    let mut sorted = lung_hu.clone();
    sorted.sort_by(f64::total_cmp);
    // The outcome goes with dark lungs alone; every sixth case is an exception. The shuffled one is dealt anew.
    let died = |i: usize| (lung_hu[i] < sorted[N / 2]) != (i % 6 == 5);
    let mut table = String::from("case_id,died,shuffled,age,stage\n");
    for (i, case) in cases.iter().enumerate() {
        let shuffled = (i * 31 + i * i * 11) % 13 < 6;
        table += &format!(
            "{case},{},{},{},{}\n",
            if died(i) { "yes" } else { "no" },
            u8::from(shuffled),
            40 + (i * 17) % 41,
            i % 3
        );
    }
    let join = dir.path().join("outcomes.csv");
    fs::write(&join, table).unwrap();
    let run = |outcome: &str, out: &Path, more: &[&str]| {
        let mut args = vec![
            "explain",
            "--table",
            arg(&summary),
            "--join",
            arg(&join),
            "--outcome",
            outcome,
            "--out",
            arg(out),
            "--resamples",
            "300",
            "--attributes",
            "lung_mean_hu,age,lung_ml",
        ];
        args.extend(more);
        groundglass(&args)
    };
    let out = dir.path().join("died");
    let ran = run("died", &out, &[]).ok();
    let found = json(&out.join("cohort.json"));
    let first = &found["attributes"][0];
    assert_eq!(first["name"], "lung_mean_hu", "{}", ran.stdout);
    let ratio = first["odds_ratio"].as_f64().unwrap();
    let penalised = first["penalised_coefficient"].as_f64().unwrap();
    assert!(
        penalised < -0.5 && ratio < 0.7 && ratio.ln() < penalised,
        "no penalty draws the odds ratio to 1"
    );
    let ends = &first["odds_ratio_interval"];
    assert!(ends[0].as_f64().unwrap() < ratio && ratio < ends[1].as_f64().unwrap(), "{ends}");
    assert!(found["odds_ratios_of"].as_str().unwrap().contains("without a penalty"));
    assert!(found["other_numbers_of"].as_str().unwrap().contains("an L2 penalty of 1 "));
    assert!(ran.stdout.contains("odds ratios: logistic regression without a penalty"), "{}", ran.stdout);
    let pairs = format!("over {} pairs of cases of the same fold", found["auroc_pairs"]);
    assert!(ran.stdout.contains(&pairs), "{}", ran.stdout);
    assert!(found["auroc"]["low"].as_f64().unwrap() > 0.5, "{}", ran.stdout);
    assert_eq!((found["positive"].as_str(), found["cases"].as_u64()), (Some("yes"), Some(N as u64)));
    assert!(ran.stderr.contains("too few cases") && ran.stderr.contains("no column names the patients"));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Partial dependence") && page.contains("too few cases") && !page.contains("http"));
    assert!(page.contains(&pairs) && page.contains("without a penalty"));
    for file in
        ["attributes.csv", "figures/odds_ratios.png", "figures/importance.svg", "figures/dependence_01.png"]
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    for case in &cases {
        assert!(!page.contains(case.as_str()), "no case is named");
    }

    let again = dir.path().join("again");
    run("died", &again, &["--threads", "1"]).ok();
    assert!(files(&out) == files(&again), "the same bytes at any number of threads");

    let nothing = dir.path().join("shuffled");
    run("shuffled", &nothing, &[]).ok();
    let auroc = &json(&nothing.join("cohort.json"))["auroc"];
    let (low, high) = (auroc["low"].as_f64().unwrap(), auroc["high"].as_f64().unwrap());
    assert!(low <= 0.5 && high >= 0.5, "{auroc}");

    let none = dir.path().join("none");
    run("stage", &none, &[]).refused(1, &["3 different values", "right would be two"]);
    run("sex", &none, &[]).refused(1, &["no column `sex`"]);
    run("died", &none, &["--penalty", "0"]).refused(2, &["a number above 0"]);
    assert!(!none.exists());
    assert_eq!(truth.len(), N);
}

/// A summary of so many cases, of which every fifth is in doubt and every third carries another remark, and its
/// outcomes: two rows for each patient, and one patient with both outcomes.
fn tables(dir: &Path, count: usize) -> (PathBuf, PathBuf) {
    let mut summary = String::from("case_id,status,percent_of_lung,warnings\n");
    let mut outcomes = String::from("case_id,patient,age,died\n");
    for i in 0..count {
        let remarks = match (i % 5, i % 3) {
            (0, _) => "one_slice hu_doubtful",
            (_, 0) => "one_slice",
            _ => "",
        };
        summary += &format!("scan-{i:02},analysed,{},{remarks}\n", (i * 17) % 41);
        let died = if i == 7 || (i / 2) % 3 == 1 { ["Yes ", "yes", "YES"][i % 3] } else { "no" };
        outcomes += &format!("scan-{i:02},p{},{},{died}\n", i / 2, 40 + (i * 29) % 37);
    }
    let paths = ["summary.csv", "outcomes.csv"].map(|name| dir.join(name));
    fs::write(&paths[0], summary).unwrap();
    fs::write(&paths[1], outcomes).unwrap();
    let [summary, outcomes] = paths;
    (summary, outcomes)
}

/// `explain` of two tables.
fn explained(table: &Path, join: &Path, out: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["explain", "--table", arg(table), "--join", arg(join), "--outcome", "died"];
    args.extend(["--out", arg(out), "--resamples", "50"]);
    args.extend(more);
    groundglass(&args)
}

#[test]
fn cases_in_doubt_are_named_on_the_console_counted_in_the_report_and_left_out_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (summary, outcomes) = tables(dir.path(), 48);
    for (more, used, left_out, words) in [
        (
            &[][..],
            48,
            false,
            "warning: 10 cases (scan-00, scan-05, scan-10, scan-15, scan-20 and 5 more) with",
        ),
        (&["--skip-doubtful"][..], 38, true, "scan-20 and 5 more) left out for remarks"),
    ] {
        let out = dir.path().join(format!("out{used}"));
        let ran = explained(&summary, &outcomes, &out, more).ok();
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert!(ran.stderr.contains("warning: 1 patient with both outcomes"), "{}", ran.stderr);
        let found = json(&out.join("cohort.json"));
        assert_eq!(
            (found["cases"].as_u64(), found["rows_doubtful"].as_u64(), found["doubtful_left_out"].as_bool()),
            (Some(used), Some(10), Some(left_out))
        );
        assert_eq!((found["positive"].as_str(), found["negative"].as_str()), (Some("YES"), Some("no")));
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains(if left_out { "10, left out" } else { "10, not left out" }));
        assert!(page.contains("10 cases") && !page.contains("scan-"), "no case is named");
        assert!(!found.to_string().contains("scan-"), "no case is named");
    }
    groundglass(&["explain", "ct.nii.gz", "--slice", "1", "--out", "x", "--skip-doubtful"])
        .refused(2, &["--skip-doubtful"]);
}

#[test]
fn an_attribute_that_separation_leaves_without_an_odds_ratio_has_none_in_any_output() {
    let dir = tempfile::tempdir().unwrap();
    // `rare` is 1 in 8 of the 30 cases with the outcome and 0 in all others.
    let mut table = String::from("case_id,rare,age,died\n");
    for i in 0..60 {
        let (rare, died) = (u8::from(i < 8), u8::from(i < 30));
        table += &format!("c{i:02},{rare},{},{died}\n", 40 + (i * 17) % 41 + 6 * usize::from(i < 30));
    }
    let path = dir.path().join("table.csv");
    fs::write(&path, table).unwrap();
    let out = dir.path().join("out");
    let ran = groundglass(&[
        "explain",
        "--table",
        arg(&path),
        "--outcome",
        "died",
        "--out",
        arg(&out),
        "--resamples",
        "50",
    ])
    .ok();
    let told = "rare: some values, alone or together, go with one outcome alone (quasi-complete separation)";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    let line = |name: &str| ran.stdout.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(line("rare ").ends_with("odds ratio per sd none"), "{}", ran.stdout);
    assert!(line("age ").ends_with(')'), "{}", ran.stdout);
    let found = json(&out.join("cohort.json"));
    let of = |name: &str| {
        found["attributes"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap().clone()
    };
    assert!(of("rare")["odds_ratio"].is_null() && of("rare")["odds_ratio_interval"].is_null());
    assert!(of("rare")["penalised_coefficient"].as_f64().unwrap() > 0.0);
    assert!(of("age")["odds_ratio_interval"].is_array());
    let csv = out.join("attributes.csv");
    let row = column(&csv, "attribute").iter().position(|a| a == "rare").unwrap();
    for name in ["odds_ratio_per_sd", "odds_ratio_low", "odds_ratio_high"] {
        assert_eq!(column(&csv, name)[row], "", "{name}");
        assert!(column(&csv, name)[1 - row].parse::<f64>().is_ok(), "{name}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("quasi-complete separation") && page.contains(">none<"));
    let drawn = fs::read_to_string(out.join("figures/odds_ratios.svg")).unwrap();
    assert!(drawn.contains(">age<") && !drawn.contains(">rare<"));
}

#[test]
fn tables_that_cannot_be_read_or_joined_are_refused_by_name_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (summary, outcomes) = tables(dir.path(), 48);
    let out = dir.path().join("out");
    let other = dir.path().join("other.csv");
    let text = fs::read_to_string(&outcomes).unwrap();
    let refused = |table: &Path, join: &Path, words: &[&str]| {
        let ran = explained(table, join, &out, &[]).refused(1, words);
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
        for unclear in ["CSV error", "no column"] {
            assert!(!ran.stderr.contains(unclear), "{}", ran.stderr);
        }
    };
    let semicolons = text.replace(',', ";").replace(";no", ",5;no");
    for (bytes, words) in [
        (semicolons.clone().into_bytes(), "found columns separated by semicolons, right would be commas"),
        (format!("sep=;\r\n{semicolons}").into_bytes(), "found columns separated by semicolons"),
        (text.replace(',', "\t").into_bytes(), "found columns separated by tabs"),
        (text.replace("Yes", "S\u{ed}").chars().map(|c| c as u8).collect(), "not UTF-8"),
        (
            format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "right would be the table saved as UTF-8",
        ),
    ] {
        fs::write(&other, bytes).unwrap();
        refused(&summary, &other, &["other.csv: ", words]);
        refused(&other, &outcomes, &["other.csv: ", words]);
    }
    refused(dir.path(), &outcomes, &["found a folder", "take the file summary.csv in it"]);
    fs::write(
        &other,
        text.replace("scan-", "SCAN-").replace(",p", ".nii.gz,p").replace("case_id.nii.gz", "case_id"),
    )
    .unwrap();
    refused(
        &summary,
        &other,
        &["summary.csv", "other.csv", "`scan-00`", "`SCAN-00", "only in capitals and a file ending"],
    );
    assert!(!out.exists());
}

#[test]
fn the_summary_carries_zones_attenuation_and_texture_and_leaves_hu_empty_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    // By the models in the box, which find lungs that end within these slices.
    let set = dir.path().join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "96x96x32", "--seed", "5"]).ok();
    let ct = set.join("ct_scans/phantom-001.nii.gz");
    let grey = grey_copy(&ct, dir.path());
    let out = dir.path().join("out");
    groundglass(&["analyze", arg(&ct), arg(&grey), "--out", arg(&out)]).ok();
    let summary = out.join("summary.csv");
    let of = |name: &str| column(&summary, name);
    assert!(of("percent_of_lung").iter().all(|v| v.parse::<f64>().is_ok()));
    // Zones as the analysis has them; empty where it has none.
    let mut with_zones = 0;
    for (i, case) in of("case_id").iter().enumerate() {
        let zones = json(&out.join(case).join("analysis.json"))["infection"]["zones"].clone();
        for (k, name) in ["percent_right_upper", "percent_left_lower"].into_iter().enumerate() {
            let found = of(name)[i].parse::<f64>().ok();
            let expected = zones[5 * k]["infection"]["percent_of_lung"].as_f64();
            with_zones += usize::from(found.is_some());
            assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?} for {expected:?}");
            assert!(found.zip(expected).is_none_or(|(a, b)| (a - b).abs() < 0.01), "{name}: {found:?}");
        }
    }
    assert!(with_zones > 0, "no case has zones");
    for name in ["lung_mean_hu", "lung_p95_hu", "lung_entropy", "infection_sd_hu", "infection_homogeneity"] {
        let values = of(name);
        assert!(values[0].parse::<f64>().is_ok() && values[1].is_empty(), "{name}: {values:?}");
    }
    let hu: f64 = of("lung_mean_hu")[0].parse().unwrap();
    assert!((-950.0..-300.0).contains(&hu), "{hu}");
    let analysis = |case: &str| json(&out.join(case).join("analysis.json"))["attenuation"].clone();
    assert_eq!(analysis("case-001")["lung"]["mean_hu"].as_f64(), Some(hu));
    assert!(analysis("case-002").is_null());
}
