//! Named arrays and one text as a safetensors file, in memory and on disk.
//!
//! The text, a JSON object, stands in the file's `__metadata__` under one key, so that the same content always gives the
//! same bytes. It ends in the SHA-256 of itself without that and of all arrays, by which damage is noticed; files of
//! earlier versions have none.
//!
//! Reading believes nothing: sizes are checked by the safetensors crate before any array is made, arrays are decoded from
//! what is there.

use crate::weights::{Tensor, Weights};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Key of the text in the metadata.
const TEXT_KEY: &str = "groundglass";
/// Around the SHA-256 at the end of the text.
const SEAL: (&str, &str) = ("\"file_sha256\":\"", "\"}");
/// Hex digits of a SHA-256.
const DIGITS: usize = 64;

/// How weights are stored; running statistics and single values always are `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// All bits.
    #[default]
    F32,
    /// Half the bytes, 11 bits of precision, values up to 65,504.
    F16,
    /// Half the bytes, 8 bits of precision, all magnitudes of `f32`.
    Bf16,
}

impl Precision {
    /// Whether a value comes back as it was.
    pub fn keeps(self, value: f32) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 => f16::from_f32(value).to_f32() == value,
            Self::Bf16 => bf16::from_f32(value).to_f32() == value,
        }
    }
}

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not such a file, or not whole.
    #[error("not a whole safetensors file: {0}")]
    Format(String),
    /// A kind of number that weights do not have.
    #[error("array {name} holds {found} numbers, right would be F32, F16 or BF16")]
    Dtype {
        /// Name of the array.
        name: String,
        /// Its kind of number.
        found: String,
    },
    /// No text of ours inside.
    #[error("a safetensors file without the description that groundglass writes into it")]
    NoText,
    /// Another content than was written.
    #[error("the content has another SHA-256 than the file says: it was damaged or changed")]
    Hash,
    /// A value too large for the precision.
    #[error("a value of {name} is too large for {precision:?}")]
    Overflow {
        /// Name of the array.
        name: String,
        /// The precision.
        precision: Precision,
    },
    /// The file system, where no whole file is written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A whole file that cannot be written.
    #[error("{0}")]
    Write(#[from] gg_io::WriteError),
}

/// The bytes of a file with these arrays and this text.
///
/// # Errors
/// A value too large for the precision.
pub(crate) fn encode<'a>(
    named: impl IntoIterator<Item = (String, &'a Tensor)>,
    precision: Precision,
    text: &str,
) -> Result<Vec<u8>, StoreError> {
    let mut arrays = Vec::new();
    for (name, t) in named {
        let precision = if name.contains(".running_") { Precision::F32 } else { precision };
        let (dtype, bytes) = to_bytes(&name, &t.values, precision)?;
        arrays.push((name, dtype, &t.shape, bytes));
    }
    let mut views = Vec::with_capacity(arrays.len());
    for (name, dtype, shape, bytes) in &arrays {
        let view =
            TensorView::new(*dtype, shape.to_vec(), bytes).map_err(|e| StoreError::Format(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    serialize(views, text)
}

/// A file with the same arrays, byte by byte, and another text.
///
/// # Errors
/// Bytes that are no such file.
pub(crate) fn with_text(bytes: &[u8], text: &str) -> Result<Vec<u8>, StoreError> {
    let format = |e: safetensors::SafeTensorError| StoreError::Format(e.to_string());
    let arrays = SafeTensors::deserialize(bytes).map_err(format)?;
    serialize(arrays.tensors(), text)
}

fn serialize<N: AsRef<str> + Ord + std::fmt::Display>(
    arrays: Vec<(N, TensorView<'_>)>,
    text: &str,
) -> Result<Vec<u8>, StoreError> {
    let hash = || hash(text, arrays.iter().map(|(name, view)| (name.as_ref(), view)).collect());
    // Text that is no object is a passing one, which nobody will read.
    let sealed = match text.strip_suffix('}') {
        Some("{") => format!("{{{}{}{}", SEAL.0, hash(), SEAL.1),
        Some(open) => format!("{open},{}{}{}", SEAL.0, hash(), SEAL.1),
        None => text.to_owned(),
    };
    let text = HashMap::from([(TEXT_KEY.to_string(), sealed)]);
    safetensors::serialize(arrays, Some(text)).map_err(|e| StoreError::Format(e.to_string()))
}

/// SHA-256 over the text and the arrays by their names.
fn hash(text: &str, mut arrays: Vec<(&str, &TensorView<'_>)>) -> String {
    arrays.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(text.as_bytes());
    for (name, view) in arrays {
        add(name.as_bytes());
        let kind: &[u8] = match view.dtype() {
            Dtype::F32 => b"f32",
            Dtype::F16 => b"f16",
            Dtype::BF16 => b"bf16",
            _ => b"other", // refused when its values are read
        };
        add(kind);
        for side in view.shape() {
            add(&(*side as u64).to_le_bytes());
        }
        add(view.data());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The text without the SHA-256 at its end, and that; `None` for files of earlier versions.
fn unseal(text: &str) -> Option<(String, &str)> {
    let open = text.strip_suffix(SEAL.1)?;
    let (open, hash) = open.split_at_checked(open.len().checked_sub(DIGITS)?)?;
    let open = open.strip_suffix(SEAL.0)?;
    Some((format!("{}}}", open.strip_suffix(',').unwrap_or(open)), hash))
}

/// All arrays of one network, for [`encode`].
pub(crate) fn named(weights: &Weights) -> impl Iterator<Item = (String, &Tensor)> {
    weights.tensors.iter().map(|(name, t)| (name.clone(), t))
}

/// A file that was read.
pub(crate) struct Decoded {
    /// The arrays, as `f32`.
    pub(crate) weights: Weights,
    pub(crate) text: String,
    /// Whether it says its own hash, which it then has.
    pub(crate) sealed: bool,
}

/// The text of a file, whether or not the rest is as it was written.
///
/// # Errors
/// Bytes that are no such file.
pub(crate) fn text(bytes: &[u8]) -> Result<String, StoreError> {
    let text = text_as_stored(bytes)?;
    Ok(unseal(&text).map_or_else(|| text.clone(), |(open, _)| open))
}

fn text_as_stored(bytes: &[u8]) -> Result<String, StoreError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| StoreError::Format(e.to_string()))?;
    metadata.metadata().as_ref().and_then(|m| m.get(TEXT_KEY)).cloned().ok_or(StoreError::NoText)
}

/// The arrays and the text of a file.
///
/// # Errors
/// Bytes that are no such file, or not all of it, or not as they were written.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, StoreError> {
    let text = text_as_stored(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| StoreError::Format(e.to_string()))?;
    let (text, sealed) = match unseal(&text) {
        Some((open, sealed)) => {
            let views = file.tensors();
            if hash(&open, views.iter().map(|(name, view)| (name.as_str(), view)).collect()) != sealed {
                return Err(StoreError::Hash);
            }
            (open, true)
        }
        None => (text, false),
    };
    let mut weights = Weights::default();
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(StoreError::Dtype { name: name.to_string(), found: format!("{other:?}") }),
        };
        weights.tensors.insert(name.to_string(), Tensor { shape: view.shape().to_vec(), values });
    }
    Ok(Decoded { weights, text, sealed })
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`StoreError::Write`].
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    Ok(gg_io::atomic_write(path, |file| file.write_all(bytes))?)
}

fn to_bytes<'a>(
    name: &str,
    values: &'a [f32],
    precision: Precision,
) -> Result<(Dtype, Cow<'a, [u8]>), StoreError> {
    let mut fits = true;
    let (dtype, bytes) = match precision {
        Precision::F32 if cfg!(target_endian = "little") => {
            (Dtype::F32, Cow::Borrowed(bytemuck::cast_slice(values)))
        }
        Precision::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Precision::F16 => {
            let small: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
            fits = small.iter().all(|v| v.is_finite());
            (Dtype::F16, small.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Precision::Bf16 => {
            let small: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
            fits = small.iter().all(|v| v.is_finite());
            (Dtype::BF16, small.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
    };
    if fits { Ok((dtype, bytes)) } else { Err(StoreError::Overflow { name: name.to_string(), precision }) }
}
