//! What made a result, so that it can be made again.

use crate::settings::Settings;
use crate::words;
use gg_dataset::Task;
pub(crate) use gg_io::sha256_hex as sha256;
use gg_nn::engine::Arithmetic;
use gg_nn::{Bundle, BundleInfo};
use gg_report::ModelLine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The program that wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Commit the program was built from, or `unknown` outside a checkout.
    pub(crate) commit: String,
}

impl Program {
    pub(crate) fn this() -> Self {
        Self {
            name: "groundglass".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("GROUNDGLASS_COMMIT").to_owned(),
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.commit)
    }
}

/// What the bytes of a result may depend on besides input, settings and weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compute {
    pub(crate) device: String,
    pub(crate) instruction_set: String,
    pub(crate) precision: String,
}

impl Compute {
    /// The engine that computed, by its name, and how it did.
    pub(crate) fn new(engine: &str, arithmetic: Arithmetic) -> Self {
        Self {
            device: engine.to_owned(),
            instruction_set: arithmetic.isa.name().to_owned(),
            precision: arithmetic.precision.name().to_owned(),
        }
    }

    /// Names what another part of the work computed with, where that differs.
    pub(crate) fn add(&mut self, other: &Self) {
        let parts = [
            (&mut self.device, &other.device),
            (&mut self.instruction_set, &other.instruction_set),
            (&mut self.precision, &other.precision),
        ];
        for (named, more) in parts {
            for one in more.split(", ") {
                if !named.split(", ").any(|n| n == one) {
                    *named = format!("{named}, {one}");
                }
            }
        }
    }
}

/// How a model was trained: the manifest inside its bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Training {
    pub(crate) program: Program,
    pub(crate) compute: Compute,
    pub(crate) seed: u64,
    pub(crate) fold: usize,
    /// SHA-256 of the split file's text.
    pub(crate) split_sha256: String,
    /// Whether patients leak between training and test.
    pub(crate) leaking: bool,
    pub(crate) parts: PartCounts,
    /// One hash over those of each case's settings of preparation and input files, in their order.
    pub(crate) data_sha256: String,
    /// Whom it trained and was validated on.
    #[serde(flatten)]
    pub(crate) known: Known,
    /// SHA-256 of the trained weights that the training began with, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) init_sha256: Option<String>,
    /// SHA-256 of the trained weights that the training learned from, where there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) teacher_sha256: Vec<String>,
    /// Whom those models knew beside the patients of this training; `None` where there were no such models, and in
    /// bundles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forerunners: Option<Vec<Known>>,
    pub(crate) best_epoch: u64,
    pub(crate) steps: u64,
    pub(crate) settings: Settings,
}

/// Whom one training knew, by hashes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// What is hashed before each patient's name, so that hashes of two bundles cannot be compared; empty in older bundles.
    #[serde(default)]
    pub(crate) patient_salt: String,
    /// Hashes of the names of the patients that weights were learnt from, so that scores on them can be told apart
    /// without naming anyone.
    pub(crate) train_patients: BTreeSet<String>,
    /// SHA-256 of the files of each CT that weights were learnt from; empty in older bundles.
    #[serde(default)]
    pub(crate) train_scans: BTreeSet<String>,
    /// SHA-256 of the files of each CT that best epoch, threshold and temperature, or the weight of the infected area,
    /// were chosen on; empty in older bundles.
    #[serde(default)]
    pub(crate) val_scans: BTreeSet<String>,
}

impl Known {
    fn has_patient(&self, patient: &str) -> bool {
        self.train_patients.contains(&patient_hash(&self.patient_salt, patient))
    }
}

/// A model that took part in a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelUsed {
    pub(crate) task: Task,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) threshold: f32,
    /// What chose the threshold, in words.
    pub(crate) threshold_source: String,
    /// Postures that it sees a slice in, and what is done to its masks, in words.
    pub(crate) prediction: String,
    pub(crate) licence: String,
}

impl ModelUsed {
    /// A bundle whose file has this hash.
    pub(crate) fn of(info: &BundleInfo, sha256: &str) -> Self {
        let postures = info.mirror.words();
        Self {
            task: info.task,
            name: info.name.clone(),
            sha256: sha256.to_owned(),
            threshold: info.threshold,
            threshold_source: threshold_source(info),
            prediction: match info.task {
                Task::Classify => postures.to_owned(),
                _ => format!("{postures}; {}", clean_words(info)),
            },
            licence: info.licence.clone(),
        }
    }

    /// What every page says of it.
    pub(crate) fn line(&self) -> ModelLine {
        ModelLine {
            task: self.task.name().to_owned(),
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            note: format!(
                "threshold {:.3}, {}; {}; {}",
                self.threshold, self.threshold_source, self.prediction, self.licence
            ),
        }
    }
}

/// What is done to the masks of a bundle of lungs or infection, by the names of its settings.
pub(crate) fn clean_words(info: &BundleInfo) -> String {
    let c = &info.clean;
    match info.task {
        Task::Lung => format!("lung_smallest {}, lung_fill_holes {}", c.lung_smallest, c.lung_fill_holes),
        _ => format!(
            "infection_reach {}, infection_smallest {}, infection_inside_lungs {}, doubtful_lung {}",
            c.infection_reach, c.infection_smallest, c.infection_inside_lungs, c.doubtful_lung
        ),
    }
}

/// Whether the validation part of a bundle's training could choose its threshold.
pub(crate) fn chosen_on_validation(info: &BundleInfo) -> bool {
    let chose = if info.task == Task::Classify { "auroc" } else { "metric_at_threshold" };
    !info.scores["validation"][chose].is_null()
}

/// What chose a bundle's threshold, in words.
pub(crate) fn threshold_source(info: &BundleInfo) -> String {
    let validation = &info.scores["validation"];
    match info.threshold_folds {
        _ if info.area.is_some() => {
            "chosen with the weights of the infected area, on the same slices".to_owned()
        }
        None if !info.members.is_empty() => format!("median of those of its {} networks", info.members.len()),
        Some(folds) if validation.is_null() && info.threshold == 0.5 => {
            format!("one half: none of its {} had data to choose on", words::folds(folds))
        }
        Some(folds) => {
            format!("median of {}, each chosen on its validation data, where it had any", words::folds(folds))
        }
        None if info.scores.get("validation").is_none() => {
            "of which the bundle does not say what chose it".to_owned()
        }
        None if validation.is_null() => "chosen on no data, for want of a validation part".to_owned(),
        None if !chosen_on_validation(info) => {
            "chosen on no data: the validation part held one class only".to_owned()
        }
        None => "chosen on validation data".to_owned(),
    }
}

/// Samples of each part, and the cases that they come from; of the test part, all cases of the split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartCounts {
    pub(crate) train_cases: usize,
    pub(crate) train_samples: usize,
    pub(crate) val_cases: usize,
    pub(crate) val_samples: usize,
    pub(crate) test_cases: usize,
}

impl Training {
    /// The manifest of a bundle of one network; `None` where another program made it.
    pub(crate) fn of(bundle: &Bundle) -> Option<Self> {
        serde_json::from_value(bundle.info.manifest.clone()).ok()
    }

    /// The manifests of all networks of a bundle, as far as they are known.
    pub(crate) fn all_of(info: &BundleInfo) -> Vec<Self> {
        let members = info.members.iter().map(|m| &m.manifest);
        let all = std::iter::once(&info.manifest).chain(members);
        all.filter_map(|manifest| serde_json::from_value(manifest.clone()).ok()).collect()
    }

    /// Whom this training and those before it knew.
    pub(crate) fn all_known(&self) -> impl Iterator<Item = &Known> {
        std::iter::once(&self.known).chain(self.forerunners.iter().flatten())
    }

    /// Whether weights were learnt from a patient of this name, by this training or one before it.
    pub(crate) fn knows_patient(&self, patient: &str) -> bool {
        self.all_known().any(|known| known.has_patient(patient))
    }

    /// Whether weights were learnt from the CT of this hash, by this training or one before it.
    pub(crate) fn knows_scan(&self, scan: &str) -> bool {
        self.all_known().any(|known| known.train_scans.contains(scan))
    }

    /// Whether the CT of this hash chose epoch, threshold or temperature of this training or one before it.
    pub(crate) fn was_chosen_by(&self, scan: &str) -> bool {
        self.all_known().any(|known| known.val_scans.contains(scan))
    }
}

/// Characters of a salt and of a patient's hash.
const HASH_CHARS: usize = 16;

/// The salt of a bundle: another one for other data or another seed, the same for the same run.
pub(crate) fn patient_salt(seed: u64, data_sha256: &str) -> String {
    sha256(format!("groundglass salt {seed} {data_sha256}").as_bytes()).chars().take(HASH_CHARS).collect()
}

/// A patient's name as a bundle keeps it.
pub(crate) fn patient_hash(salt: &str, patient: &str) -> String {
    let text = match salt {
        "" => format!("groundglass patient {patient}"),
        _ => format!("groundglass patient {salt} {patient}"),
    };
    sha256(text.as_bytes()).chars().take(HASH_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infection_in_the_box() -> BundleInfo {
        let bytes = crate::builtin::BUNDLES.iter().find(|(task, _)| *task == Task::Infection).unwrap().1;
        Bundle::from_bytes(bytes).unwrap().info
    }

    #[test]
    fn a_page_says_of_a_model_what_chose_its_threshold_how_it_predicts_and_its_licence() {
        let info = infection_in_the_box();
        let line = ModelUsed::of(&info, "0123").line();
        assert_eq!((line.task.as_str(), line.sha256.as_str()), ("infection", "0123"));
        let source = threshold_source(&info);
        for part in [source.as_str(), info.mirror.words(), "infection_reach", info.licence.as_str()] {
            assert!(line.note.contains(part), "{} lacks {part}", line.note);
        }
    }

    #[test]
    fn what_chose_a_threshold_is_said_as_it_was() {
        let box_model = infection_in_the_box();
        assert!(threshold_source(&box_model).starts_with("one half: none of its 5 folds"));
        let with = |scores: serde_json::Value, folds: Option<usize>| {
            threshold_source(&BundleInfo { scores, threshold_folds: folds, ..box_model.clone() })
        };
        let scored =
            |value: serde_json::Value| serde_json::json!({ "validation": { "metric_at_threshold": value } });
        assert_eq!(with(scored(0.8.into()), None), "chosen on validation data");
        assert!(with(scored(0.8.into()), Some(3)).starts_with("median of 3 folds"));
        assert!(with(scored(serde_json::Value::Null), None).contains("one class only"));
        assert!(with(serde_json::json!({ "validation": null }), None).contains("want of a validation part"));
        assert!(with(serde_json::Value::Null, None).contains("does not say"));
    }

    #[test]
    fn what_computed_is_named_once() {
        let of = |device: &str, precision: &str| Compute {
            device: device.to_owned(),
            instruction_set: "avx2".to_owned(),
            precision: precision.to_owned(),
        };
        let mut all = of("cpu", "int8");
        for more in [of("cpu", "fp32"), of("gpu, cpu", "int8, fp32")] {
            all.add(&more);
        }
        assert_eq!(all, of("cpu, gpu", "int8, fp32"));
    }
}
