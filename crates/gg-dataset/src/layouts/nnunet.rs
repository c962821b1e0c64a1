//! nnU-Net's raw layout (versions 1 and 2): `dataset.json`, `imagesTr/NAME_0000.nii.gz`, `labelsTr/NAME.nii.gz`.
//!
//! Labels are understood by their names: lungs (also left and right) and infection (also lesion, COVID-19, ground glass,
//! consolidation, opacity, pneumonia); where both are labelled, infection lies inside the lungs. Any other structure and
//! more than one channel are refused. Source: nnU-Net, documentation/dataset_format.md.

use super::{files_of, stem};
use crate::DatasetError;
use crate::case::{Case, CtSource, MaskLabels, MaskSource};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Suffix of the only channel.
const FIRST_CHANNEL: &str = "_0000";
/// What a name of an infection label may contain, in small letters without spaces and signs.
const INFECTION_WORDS: [&str; 8] =
    ["infect", "lesion", "covid", "groundglass", "ggo", "consolidation", "opacit", "pneumonia"];

#[derive(Deserialize)]
struct Description {
    #[serde(alias = "modality")]
    channel_names: Option<BTreeMap<String, serde_json::Value>>,
    labels: BTreeMap<String, serde_json::Value>,
}

impl MaskLabels {
    /// What the labels of masks mean beside which a `dataset.json` lies; nnU-Net copies it to its predictions.
    ///
    /// # Errors
    /// [`DatasetError`] where it cannot be read or names other structures than lungs and infection.
    pub fn from_dataset_json(folder: &Path) -> Result<Self, DatasetError> {
        meaning(&describe(folder)?.labels)
    }
}

fn describe(folder: &Path) -> Result<Description, DatasetError> {
    let bytes =
        std::fs::read(folder.join("dataset.json")).map_err(|e| DatasetError::Io("dataset.json", e))?;
    serde_json::from_slice(&bytes).map_err(|e| DatasetError::Json(e.to_string()))
}

pub(super) fn cases(root: &Path) -> Result<Vec<Case>, DatasetError> {
    let description = describe(root)?;
    let channels = description.channel_names.map_or(1, |c| c.len());
    if channels > 1 {
        return Err(DatasetError::SeveralChannels(channels));
    }
    let labels = meaning(&description.labels)?;
    let truth: BTreeMap<String, PathBuf> =
        files_of(&root.join("labelsTr"))?.into_iter().map(|f| (stem(&f), f)).collect();
    let mut cases = Vec::new();
    let images = files_of(&root.join("imagesTr"))?;
    let mut missing = Vec::new();
    for image in &images {
        let full = stem(image);
        let Some(name) = full.strip_suffix(FIRST_CHANNEL) else {
            let channel = full
                .rsplit_once('_')
                .filter(|(_, n)| n.len() == 4)
                .and_then(|(_, n)| n.parse::<usize>().ok());
            return Err(match channel {
                Some(n) => DatasetError::SeveralChannels(n + 1),
                None => DatasetError::Json(
                    "found a file in imagesTr without a channel number; right would be NAME_0000".to_owned(),
                ),
            });
        };
        let Some(mask) = truth.get(name) else {
            missing.push(name.to_owned());
            continue;
        };
        let mut case = Case::new(name, CtSource::File(image.clone()));
        case.combined = Some(MaskSource { files: CtSource::File(mask.clone()), labels: labels.clone() });
        cases.push(case);
    }
    super::none_missing(missing, images.len(), "labelsTr")?;
    Ok(cases)
}

/// What the values mean, from `{"lung": 1}` (version 2, also lists of values) or `{"1": "lung"}` (version 1).
fn meaning(labels: &BTreeMap<String, serde_json::Value>) -> Result<MaskLabels, DatasetError> {
    let mut lung = Vec::new();
    let mut infection = Vec::new();
    let mut known = vec![0];
    for (key, value) in labels {
        let (name, values) = match value {
            serde_json::Value::String(name) => (name.as_str(), key.parse().ok().map(|v| vec![v])),
            serde_json::Value::Number(_) => (key.as_str(), label(value).map(|v| vec![v])),
            serde_json::Value::Array(list) => (key.as_str(), list.iter().map(label).collect()),
            _ => (key.as_str(), None),
        };
        let values: Vec<u8> = values.ok_or_else(|| {
            DatasetError::Json("found a label that is no whole number; right would be 0 to 255".to_owned())
        })?;
        let lower: String = name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
        if INFECTION_WORDS.iter().any(|w| lower.contains(w)) {
            infection.extend_from_slice(&values);
        } else if lower.contains("lung") {
            lung.extend_from_slice(&values);
        } else if values != [0] {
            return Err(DatasetError::LabelName(name.to_owned()));
        }
        known.extend_from_slice(&values);
    }
    if lung.is_empty() && infection.is_empty() {
        return Err(DatasetError::Json("found no label; right would be lung, infection or both".to_owned()));
    }
    if !lung.is_empty() {
        lung.extend_from_slice(&infection);
    }
    for list in [&mut lung, &mut infection, &mut known] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(MaskLabels::Named { lung, infection, known })
}

fn label(value: &serde_json::Value) -> Option<u8> {
    value.as_u64().and_then(|v| u8::try_from(v).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values of lung, infection and all known labels.
    #[track_caller]
    fn check(json: &str, [lung, infection, known]: [&[u8]; 3]) {
        let wanted =
            MaskLabels::Named { lung: lung.to_vec(), infection: infection.to_vec(), known: known.to_vec() };
        assert_eq!(meaning(&serde_json::from_str(json).unwrap()).unwrap(), wanted);
    }

    #[test]
    fn labels_are_understood_by_their_names() {
        check(r#"{"background": 0, "lung": 1, "infection": 2}"#, [&[1, 2], &[2], &[0, 1, 2]]);
        check(r#"{"0": "background", "1": "left lung", "2": "right lung"}"#, [&[1, 2], &[], &[0, 1, 2]]);
        check(r#"{"background": 0, "COVID-19 lesion": 1}"#, [&[], &[1], &[0, 1]]);
        check(r#"{"background": 0, "lungs": [1, 2, 3], "infection": 3}"#, [&[1, 2, 3], &[3], &[0, 1, 2, 3]]);
        check(r#"{"background": 0, "Ground-glass opacity": 4}"#, [&[], &[4], &[0, 4]]);
    }

    #[test]
    fn other_structures_and_labels_that_are_no_bytes_are_refused() {
        for (json, expected) in [
            (r#"{"background": 0, "lung": 1, "heart": 2}"#, "`heart`"),
            (r#"{"background": 0}"#, "found no label"),
            (r#"{"background": 0, "lung": 1.5}"#, "no whole number"),
            (r#"{"background": 0, "lung": 300}"#, "no whole number"),
        ] {
            let error = meaning(&serde_json::from_str(json).unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
