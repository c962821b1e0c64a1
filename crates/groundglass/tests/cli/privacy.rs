//! Nothing that could name a patient leaves the reader.

use crate::run::{Fixture, arg, files, groundglass};
use gg_io::DicomText;
use gg_phantom::{PhantomSpec, phantom};
use std::fs;

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
    assert!(written.len() >= 7, "{:?}", written.keys());
    for (name, bytes) in written {
        assert!(!name.contains(MARKER), "{name}");
        let mut content = bytes.clone();
        if name.ends_with(".gz") {
            use std::io::Read;
            content.clear();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut content).unwrap();
        }
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
