//! Nothing that could name a patient leaves the reader.

use crate::nifti_edit::unzipped;
use crate::run::{Fixture, arg, files, groundglass};
use gg_io::DicomText;
use gg_phantom::{PhantomSpec, phantom};
use std::fs;
use std::path::Path;

/// In every text attribute, file name and folder name of the input.
const MARKER: &str = "ZQXPATIENT";

#[test]
fn a_marker_in_every_attribute_and_name_reaches_no_output() {
    let dir = tempfile::tempdir().unwrap();
    let series = dir.path().join(MARKER).join(format!("study-{MARKER}"));
    fs::create_dir_all(series.parent().unwrap()).unwrap();
    let spec = PhantomSpec::new(3, [16, 48, 48], 10.0);
    let text = DicomText { file_prefix: MARKER.to_owned(), ..DicomText::marked(MARKER) };
    gg_io::write_dicom_series(&series, &phantom(&spec).ct, &text).unwrap();
    fs::write(series.join(format!("{MARKER}.txt")), MARKER).unwrap();
    let marked = fs::read_dir(&series).unwrap().filter(|e| {
        let bytes = fs::read(e.as_ref().unwrap().path()).unwrap();
        bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes())
    });
    assert_eq!(marked.count(), 17, "the marker is in every input file");

    let out = dir.path().join("out");
    let ran = Fixture::get().analyze(&series, &out, &["--json"]).ok();
    assert!(!ran.stdout.contains(MARKER), "stdout");
    let nifti = dir.path().join("plain.nii.gz");
    let converted = groundglass(&["convert", arg(&series), arg(&nifti), "--json"]).ok();
    assert!(!converted.stdout.contains(MARKER), "convert");
    let inspected = groundglass(&["inspect", arg(&series), "--json"]).ok();
    assert!(!inspected.stdout.contains(MARKER), "inspect");

    let mut written = files(&out);
    written.insert("plain.nii.gz".into(), fs::read(&nifti).unwrap());
    assert_unmarked(written);
}

/// Offsets and lengths of the text fields of a NIfTI-1 header: data_type, db_name, descrip, aux_file, intent_name.
const NIFTI_TEXTS: [(usize, usize); 5] = [(4, 10), (14, 18), (148, 80), (228, 24), (328, 16)];

#[test]
fn a_marker_in_every_text_of_a_nifti_file_reaches_no_output() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(MARKER);
    fs::create_dir(&folder).unwrap();
    let f = Fixture::get();
    let mut bytes = unzipped(&fs::read(f.ct()).unwrap());
    for (at, length) in NIFTI_TEXTS {
        bytes[at..at + length].copy_from_slice(&MARKER.repeat(8).as_bytes()[..length]);
    }
    // A header extension of 64 bytes (code 6: a comment), and one behind it for whoever reads on.
    bytes[348] = 1;
    let mut extension = [64i32.to_le_bytes(), 6i32.to_le_bytes()].concat();
    extension.extend(&MARKER.repeat(8).as_bytes()[..56]);
    bytes.splice(352..352, extension);
    bytes[108..112].copy_from_slice(&416f32.to_le_bytes());
    let ct = folder.join(format!("{MARKER}.nii"));
    fs::write(&ct, &bytes).unwrap();

    let out = dir.path().join("out");
    let analysed = f.analyze(&ct, &out, &["--json"]).ok();
    let plain = dir.path().join("deeper/plain.nii.gz");
    let converted = groundglass(&["convert", arg(&ct), arg(&plain), "--json"]).ok();
    let inspected = groundglass(&["inspect", arg(&ct), "--json"]).ok();
    fs::copy(&ct, folder.join(format!("{MARKER}-2.nii"))).unwrap();
    let both = groundglass(&["inspect", arg(&folder), "--json"]).ok();
    assert!(both.stdout.contains("\"nifti_files\": 2"), "{}", both.stdout);
    for ran in [analysed, converted, inspected, both] {
        assert!(!ran.stdout.contains(MARKER), "{}", ran.stdout);
    }
    let mut written = files(&out);
    written.insert("plain.nii.gz".into(), fs::read(&plain).unwrap());
    assert_unmarked(written);
    let header = unzipped(&fs::read(&plain).unwrap());
    for (at, length) in NIFTI_TEXTS {
        // `descrip` says who wrote the file, and nothing else does.
        let text: &[u8] = if at == 148 { b"groundglass" } else { b"" };
        let (said, rest) = header[at..at + length].split_at(text.len());
        assert!(said == text && rest.iter().all(|b| *b == 0), "the field at {at} holds text");
    }
}

#[test]
fn the_names_of_pictures_reach_no_summary() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pictures");
    fs::create_dir(&folder).unwrap();
    for name in ["1_a", "2_a", "1_b"] {
        fs::write(folder.join(format!("{MARKER}{name}.png")), "names are looked at first").unwrap();
    }
    let f = Fixture::get();
    let out = dir.path().join("out");
    let ran = f.analyze(&folder, &out, &[arg(&f.ct())]).refused(1, &["2 series", "1 of 2"]);
    assert!(ran.stderr.contains(&format!("`{MARKER}*_a`")), "stderr names them: {}", ran.stderr);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(summary.contains("2 series") && !summary.contains(MARKER), "{summary}");
}

/// No file holds the marker, in its name or its content.
fn assert_unmarked(written: std::collections::BTreeMap<String, Vec<u8>>) {
    assert!(written.len() >= 7, "{:?}", written.keys());
    for (name, bytes) in written {
        assert!(!name.contains(MARKER), "{name}");
        let content = if name.ends_with(".gz") { unzipped(&bytes) } else { bytes };
        assert!(!content.windows(MARKER.len()).any(|w| w == MARKER.as_bytes()), "{name}");
    }
}

#[test]
fn a_failed_case_names_no_path_in_the_summary() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join(format!("{MARKER}.nii.gz"));
    fs::write(&bad, "no gzip").unwrap();
    let f = Fixture::get();
    let out = dir.path().join("out");
    let ct = f.ct();
    f.analyze(&bad, &out, &[arg(&ct)]).refused(1, &["1 of 2"]);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(summary.contains("failed") && summary.contains("analysed"), "{summary}");
    assert!(!summary.contains(MARKER), "{summary}");
    assert!(out.join("case-002/report.html").is_file(), "the other case was done");
    assert!(!out.join("case-001").exists());
}

/// Patients of a data set of DICOM series: the folder that holds it, every text attribute, the UIDs and the names of the
/// files carry the marker; the names of cases and patients are the user's, from the folders of the series and the table.
fn marked_set(root: &Path) {
    let mut table = String::from("ct_scan,lung_mask,infection_mask,lung_and_infection_mask,patient\n");
    for i in 1..=6u64 {
        let made = phantom(&PhantomSpec::new(i, [12, 48, 48], if i % 2 == 0 { 20.0 } else { 0.0 }));
        let text = DicomText { uid_root: UID.to_owned(), ..DicomText::marked(MARKER) };
        gg_io::write_dicom_series(&root.join(format!("ct_scans/scan-{i}")), &made.ct, &text).unwrap();
        for (kind, labels) in [("lung_mask", &made.lung), ("infection_mask", &made.infection)] {
            fs::create_dir_all(root.join(kind)).unwrap();
            let path = root.join(format!("{kind}/scan-{i}.nii.gz"));
            gg_io::write_labels_nifti(&path, labels, &made.ct.grid).unwrap();
        }
        table += &format!(
            "ct_scans/scan-{i},lung_mask/scan-{i}.nii.gz,infection_mask/scan-{i}.nii.gz,,person-{i}\n"
        );
    }
    fs::write(root.join("metadata.csv"), table).unwrap();
}

/// Start of every UID of the marked set.
const UID: &str = "1.2.826.0.424242";

#[test]
fn what_dicom_says_of_patients_reaches_no_output_of_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join(format!("study-{MARKER}"));
    marked_set(&set);
    let out = dir.path().join("out");
    let [prepared, cache, run, scores, split] =
        ["prepared", "cache", "run", "scores", "split.toml"].map(|n| out.join(n));
    let mut train = vec!["train", "infection", arg(&set), "--out", arg(&run), "--split", arg(&split)];
    train.extend(crate::run::TINY);
    let model = run.join("model.safetensors");
    fs::create_dir(&out).unwrap();
    for args in [
        vec!["prepare", arg(&set), "--out", arg(&prepared), "--set", "prepare.size=32"],
        vec!["split", arg(&set), "--folds", "3", "--out", arg(&split)],
        train,
        vec!["evaluate", arg(&set), "--model", arg(&model), "--split", arg(&split), "--resamples", "20"],
    ] {
        let mut args = [&args[..], &["--json"]].concat();
        if args[0] == "evaluate" {
            args.extend(["--out", arg(&scores)]);
        }
        let ran = groundglass(&args).ok();
        assert!(!ran.stdout.contains(MARKER) && !ran.stdout.contains(UID), "{}: {}", args[0], ran.stdout);
        // Logs may name the data set's folder, and nothing that stands in its files.
        let logs = ran.stderr.replace(arg(&set), "SET");
        assert!(!logs.contains(MARKER) && !logs.contains(UID), "{}: {logs}", args[0]);
    }
    let written = files(&out);
    for folder in ["prepared/", "cache/", "run/", "scores/", "split.toml"] {
        assert!(written.keys().any(|n| n.starts_with(folder)), "{folder}: {:?}", written.keys());
    }
    assert!(cache.is_dir());
    let place = arg(dir.path());
    for (name, bytes) in &written {
        for word in [MARKER, UID, place] {
            assert!(!name.contains(word), "{name}");
            assert!(!bytes.windows(word.len()).any(|w| w == word.as_bytes()), "{word} in {name}");
        }
    }
    // Cases keep the names that the data set gives them; a model keeps no name at all.
    assert!(String::from_utf8_lossy(&written["split.toml"]).contains("person-3"));
    for name in ["run/model.safetensors", "run/manifest.json", "run/report.html"] {
        let text = String::from_utf8_lossy(&written[name]);
        assert!(!text.contains("person-") && !text.contains("scan-"), "{name}");
    }
}
