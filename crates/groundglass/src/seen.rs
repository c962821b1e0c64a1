//! Whether a model was trained on what it is now asked about: what it says there tells nothing about new patients.

use crate::manifest::Training;
use crate::pipeline::{Model, Models};
use gg_dataset::Task;
use gg_volume::Warning;

/// Code of the remark that a model was trained on this very scan.
const SCAN: &str = "trained_on_this_scan";
/// Code of the remark that a model was trained on a patient of this name.
const NAME: &str = "trained_on_patient_of_this_name";
/// Code of the remark that a model's best epoch, its threshold unless others gave it, the weight of the infected area
/// or the interval of the percentage was chosen on this very scan.
const CHOSEN: &str = "chosen_on_this_scan";

/// What is known of a case that a model is asked about.
pub(crate) struct Asked {
    /// The patient's name, where there is one.
    pub(crate) patient: Option<String>,
    /// SHA-256 of the CT's files.
    pub(crate) scan: String,
}

/// How the networks of each model were trained, where its bundle says.
pub(crate) fn trainings(models: &Models) -> Vec<(Task, Vec<Training>)> {
    let of = |m: &Model| (m.bundle.info.task, Training::all_of(&m.bundle.info));
    models.all().map(of).collect()
}

/// Whether one of them was trained with a split that leaks.
pub(crate) fn leaking(trainings: &[(Task, Vec<Training>)]) -> bool {
    trainings.iter().flat_map(|(_, networks)| networks).any(|n| n.leaking)
}

/// One remark for each model and each way in which it knows some of the cases: the scan itself, or a patient's name.
pub(crate) fn warnings(trainings: &[(Task, Vec<Training>)], asked: &[Asked]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (task, networks) in trainings {
        let (task, all) = (task.name(), asked.len());
        let (same, others): (Vec<_>, Vec<_>) =
            asked.iter().partition(|a| networks.iter().any(|n| n.knows_scan(&a.scan)));
        let scans = |known: usize| match (known, all) {
            (0, _) => None,
            (_, 1) => Some("this very scan: what it says here".to_owned()),
            (n, _) => Some(format!("{n} of these {all} scans, byte by byte: what it says on them")),
        };
        if let Some(scans) = scans(same.len()) {
            let message = format!("the {task} model was trained on {scans} tells nothing about new patients");
            warnings.push(Warning::new(SCAN, message));
        }
        let chosen = others.iter().filter(|a| networks.iter().any(|n| n.was_chosen_by(&a.scan))).count();
        if let Some(scans) = scans(chosen) {
            let message =
                format!("the {task} model was chosen by {scans} may be better than on new patients");
            warnings.push(Warning::new(CHOSEN, message));
        }
        let known =
            |a: &&&Asked| a.patient.as_ref().is_some_and(|p| networks.iter().any(|n| n.knows_patient(p)));
        let named = others.iter().filter(known).count();
        let cases = match (named, all) {
            (0, _) => continue,
            (_, 1) => "a patient of this name".to_owned(),
            (n, _) => format!("patients of the same names as those of {n} of {all} cases"),
        };
        let message = format!(
            "the {task} model was trained on {cases}; where they are the same people, what it says on them tells \
             nothing about new patients"
        );
        warnings.push(Warning::new(NAME, message));
    }
    warnings
}

/// What to say beside scores on scans or patients that one of the models knows, if these remarks tell of any.
pub(crate) fn not_held_out(warnings: &[Warning]) -> Option<&'static str> {
    let told = |code: &str| warnings.iter().any(|w| w.code == code);
    if told(SCAN) {
        Some(
            "NOT HELD OUT: a model was trained on some of these scans, and what it scores there tells nothing about new patients",
        )
    } else if told(NAME) {
        Some("perhaps not held out: a model was trained on patients of some of these names")
    } else if told(CHOSEN) {
        Some(
            "not quite held out: some of these scans chose a model, which may be better on them than on new patients",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::SettingsArgs;
    use crate::manifest::{Compute, Known, PartCounts, Program, patient_hash, patient_salt};
    use crate::settings::Settings;

    fn training(salt: &str) -> Training {
        Training {
            program: Program::this(),
            compute: Compute::new("cpu", gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect())),
            seed: 1,
            fold: 0,
            split_sha256: String::new(),
            leaking: false,
            parts: PartCounts {
                train_cases: 1,
                train_samples: 1,
                val_cases: 0,
                val_samples: 0,
                test_cases: 0,
            },
            data_sha256: "d".into(),
            known: Known {
                patient_salt: salt.to_owned(),
                train_patients: [patient_hash(salt, "anna")].into(),
                train_scans: ["s1".to_owned()].into(),
                val_scans: ["s9".to_owned()].into(),
            },
            init_sha256: None,
            teacher_sha256: Vec::new(),
            forerunners: None,
            best_epoch: 1,
            steps: 1,
            settings: Settings::resolve(&SettingsArgs::default()).unwrap(),
        }
    }

    fn asked(patient: Option<&str>, scan: &str) -> Asked {
        Asked { patient: patient.map(str::to_owned), scan: scan.to_owned() }
    }

    fn codes(cases: &[(Option<&str>, &str)]) -> Vec<String> {
        let cases: Vec<Asked> = cases.iter().map(|&(patient, scan)| asked(patient, scan)).collect();
        warnings(&[(Task::Lung, vec![training("x")])], &cases).into_iter().map(|w| w.code).collect()
    }

    #[test]
    fn a_scan_is_known_for_certain_and_a_patient_by_name() {
        assert_eq!(codes(&[(None, "s1")]), ["trained_on_this_scan"]);
        assert_eq!(codes(&[(Some("anna"), "s1")]), ["trained_on_this_scan"], "the surer remark is enough");
        assert_eq!(codes(&[(Some("anna"), "s2")]), ["trained_on_patient_of_this_name"]);
        assert_eq!(codes(&[(Some("bert"), "s2"), (None, "s3")]), Vec::<String>::new());
        assert_eq!(codes(&[(None, "s9")]), ["chosen_on_this_scan"]);
        assert_eq!(codes(&[(None, "s3"), (Some("bert"), "s9")]), ["chosen_on_this_scan"]);
        let both = warnings(
            &[(Task::Lung, vec![training("y"), training("x")])],
            &[("anna", "s1"), ("anna", "s2"), ("bert", "s3")].map(|(p, scan)| asked(Some(p), scan)),
        );
        assert!(both.iter().all(|w| not_held_out(std::slice::from_ref(w)).is_some()));
        assert!(not_held_out(&both).is_some_and(|w| w.starts_with("NOT HELD OUT")));
        assert!(not_held_out(&both[1..]).is_some_and(|w| w.starts_with("perhaps")));
        assert_eq!(not_held_out(&[]), None);
        let chosen = warnings(&[(Task::Lung, vec![training("x")])], &[asked(None, "s9")]);
        assert!(not_held_out(&chosen).is_some_and(|w| w.starts_with("not quite")), "{chosen:?}");
        let graver = [chosen, both[1..].to_vec()].concat();
        assert!(not_held_out(&graver).is_some_and(|w| w.starts_with("perhaps")), "the graver remark wins");
        assert!(both[0].message.contains("1 of these 3 scans"), "{both:?}");
        assert!(both[1].message.contains("1 of 3 cases"), "{both:?}");
    }

    #[test]
    fn hashes_of_two_bundles_cannot_be_compared() {
        let salts = [patient_salt(1, "a"), patient_salt(2, "a"), patient_salt(1, "b")];
        let hashes = salts.each_ref().map(|salt| patient_hash(salt, "anna"));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
        assert_eq!(patient_salt(1, "a"), salts[0]);
        assert!(training(&salts[0]).knows_patient("anna") && !training(&salts[0]).knows_patient("bert"));
    }

    #[test]
    fn a_bundle_from_before_there_were_salts_is_still_understood() {
        let mut json = serde_json::to_value(training("")).unwrap();
        let fields = json.as_object_mut().unwrap();
        fields.remove("patient_salt");
        fields.remove("train_scans");
        fields.remove("val_scans");
        let old: Training = serde_json::from_value(json).unwrap();
        assert!(old.knows_patient("anna") && old.known.train_scans.is_empty());
        let mut models = Models::new(gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect()));
        crate::builtin::fill(&mut models).unwrap();
        assert_eq!(
            trainings(&models).iter().filter(|(_, networks)| networks.len() == 1).count(),
            3,
            "the models in the box say how they were trained"
        );
    }
}
