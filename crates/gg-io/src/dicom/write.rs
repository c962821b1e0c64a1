//! A volume to a folder of CT Image Storage objects: explicit VR little endian, one file per slice.
//!
//! The values are whole Hounsfield units, stored as signed 16-bit numbers with an intercept of -1024. UIDs follow
//! from the voxels alone (`2.25.` and 122 bits of their hash), so that the same volume gives the same bytes.
//!
//! Source: DICOM PS3.3 A.3 (CT image), PS3.5 B.2 (UIDs from a UUID).

use crate::{WriteError, sync_folder};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use gg_volume::{Affine, CtVolume};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// What stored values are above Hounsfield units.
const INTERCEPT_HU: f32 = -1024.0;
/// Most characters of a decimal string.
const DECIMAL_CHARACTERS: usize = 16;

/// What to write into the attributes that describe a patient, their scan and the place where it was made.
///
/// Everything is empty by default: groundglass invents no patient. Tests fill it with markers, to see whether one of
/// them comes out anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DicomText {
    /// Patient's Name.
    pub patient_name: String,
    /// Patient ID.
    pub patient_id: String,
    /// Patient's Birth Date, `YYYYMMDD`.
    pub patient_birth_date: String,
    /// Patient's Sex: `M`, `F`, `O`.
    pub patient_sex: String,
    /// Patient's Age, as `063Y`.
    pub patient_age: String,
    /// Accession Number.
    pub accession_number: String,
    /// Study Date, `YYYYMMDD`; Series, Acquisition and Content Date too.
    pub study_date: String,
    /// Study Time, `HHMMSS`.
    pub study_time: String,
    /// Study ID.
    pub study_id: String,
    /// Study Description.
    pub study_description: String,
    /// Series Description.
    pub series_description: String,
    /// Protocol Name.
    pub protocol_name: String,
    /// Institution Name, Institution Address and Institutional Department Name.
    pub institution: String,
    /// Referring Physician's Name, Performing Physician's Name and Operators' Name.
    pub physician: String,
    /// Manufacturer, its Model Name, Station Name and Device Serial Number.
    pub device: String,
    /// Image Comments and Patient Comments.
    pub comments: String,
    /// Start of every UID instead of `2.25`, e.g. `1.2.3`; empty for `2.25`.
    pub uid_root: String,
    /// Start of every file name; empty for `slice-`.
    pub file_prefix: String,
}

impl DicomText {
    /// Every free text set to one marker. Dates, sex and UIDs keep their form, so that the files stay valid.
    pub fn marked(marker: &str) -> Self {
        let m = || marker.to_owned();
        Self {
            patient_name: m(),
            patient_id: m(),
            accession_number: m(),
            study_id: m(),
            study_description: m(),
            series_description: m(),
            protocol_name: m(),
            institution: m(),
            physician: m(),
            device: m(),
            comments: m(),
            file_prefix: format!("{marker}-"),
            ..Self::default()
        }
    }
}

/// Writes a volume in Hounsfield units as a DICOM CT series into a folder that does not exist yet or is empty.
///
/// # Errors
/// [`WriteError::Unfit`] where the volume is not in HU, has no affine or does not fit 16 bits; [`WriteError::DiskFull`]
/// and [`WriteError::Io`]. Nothing half-written stays behind.
pub fn write_dicom_series(folder: &Path, ct: &CtVolume, text: &DicomText) -> Result<(), WriteError> {
    let Some(affine) = ct.grid.affine else {
        return unfit("a DICOM series needs the position of its slices, and the volume has none");
    };
    let Some(offset) = ct.intensity.kind.hu_offset() else {
        return unfit("a DICOM CT holds Hounsfield units, and the volume does not");
    };
    let parent = match folder.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    if folder.is_dir() && std::fs::read_dir(folder)?.next().is_some() {
        return unfit("the folder for the DICOM series is not empty");
    }
    std::fs::create_dir_all(parent)?;
    let beside = make_folder_beside(parent)?;
    let seed = seed(ct, &affine);
    let prefix = if text.file_prefix.is_empty() { "slice-" } else { &text.file_prefix };
    for z in 0..ct.voxels.shape()[0] {
        let bytes = slice_bytes(ct, &affine, offset, z, &seed, text)?;
        let mut file = std::fs::File::create(beside.path().join(format!("{prefix}{:04}.dcm", z + 1)))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
    }
    if folder.is_dir() {
        std::fs::remove_dir(folder)?; // empty; renaming onto it is not possible everywhere
    }
    std::fs::rename(beside.path(), folder)?;
    let _ = beside.keep(); // renamed: nothing left to remove
    sync_folder(parent);
    Ok(())
}

fn unfit<T>(words: &str) -> Result<T, WriteError> {
    Err(WriteError::Unfit(words.to_owned()))
}

fn make_folder_beside(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".groundglass-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o777)); // the umask takes its share
    }
    builder.tempdir_in(parent)
}

/// Hash of voxels and geometry, from which all UIDs follow.
fn seed(ct: &CtVolume, affine: &Affine) -> Vec<u8> {
    let mut sum = Sha256::new();
    for value in affine.columns().iter().flatten().chain(&affine.origin()) {
        sum.update(value.to_le_bytes());
    }
    for value in ct.voxels.data() {
        sum.update(value.to_le_bytes());
    }
    sum.finalize().to_vec()
}

fn uid(seed: &[u8], what: &str, root: &str) -> String {
    let hash = Sha256::new().chain_update(seed).chain_update(what).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0F | 0x80; // a UUID of version 8 (made from anything), variant 1
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let number = u128::from_be_bytes(bytes);
    let root = if root.is_empty() { "2.25" } else { root };
    let mut uid = format!("{root}.{number}");
    uid.truncate(64);
    uid
}

/// A decimal string: as exact as 16 characters allow.
fn decimal(value: f64) -> String {
    let exact = format!("{value}");
    if exact.len() <= DECIMAL_CHARACTERS {
        return exact;
    }
    let rounded = (0..DECIMAL_CHARACTERS).rev().map(|digits| format!("{value:.digits$}"));
    let fixed = rounded.into_iter().find(|t| t.len() <= DECIMAL_CHARACTERS);
    fixed.unwrap_or_else(|| format!("{value:.8e}"))
}

fn decimals(values: &[f64]) -> String {
    values.iter().map(|v| decimal(*v)).collect::<Vec<_>>().join("\\")
}

fn slice_bytes(
    ct: &CtVolume,
    affine: &Affine,
    offset: f32,
    z: usize,
    seed: &[u8],
    text: &DicomText,
) -> Result<Vec<u8>, WriteError> {
    let [_, rows, columns] = ct.voxels.shape();
    let size = |n: usize| {
        u16::try_from(n).map_err(|_| WriteError::Unfit("DICOM slices have at most 65535 rows".into()))
    };
    let mut stored = Vec::with_capacity(rows * columns);
    for value in ct.voxels.slice(z) {
        let number = (value + offset - INTERCEPT_HU).round();
        if !(f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(&number) {
            return unfit("a value lies outside the Hounsfield units that 16 bits can hold");
        }
        stored.push(number as i16);
    }
    let uid = |what: &str| uid(seed, what, &text.uid_root);
    let instance = uid(&format!("instance {z}"));
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag: Tag, vr: VR, value: PrimitiveValue| {
        object.put(DataElement::new(tag, vr, value));
    };
    for (tag, vr, value) in described(text) {
        put(tag, vr, value.into());
    }
    for (tag, vr, value) in [
        (tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY\\AXIAL".to_owned()),
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
        (tags::SOP_INSTANCE_UID, VR::UI, instance.clone()),
        (tags::MODALITY, VR::CS, "CT".to_owned()),
        (tags::STUDY_INSTANCE_UID, VR::UI, uid("study")),
        (tags::SERIES_INSTANCE_UID, VR::UI, uid("series")),
        (tags::FRAME_OF_REFERENCE_UID, VR::UI, uid("frame")),
        (tags::SERIES_NUMBER, VR::IS, "1".to_owned()),
        (tags::INSTANCE_NUMBER, VR::IS, (z + 1).to_string()),
        (tags::ACQUISITION_NUMBER, VR::IS, "1".to_owned()),
        (tags::KVP, VR::DS, String::new()),
        (tags::POSITION_REFERENCE_INDICATOR, VR::LO, String::new()),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
        (tags::RESCALE_INTERCEPT, VR::DS, decimal(f64::from(INTERCEPT_HU))),
        (tags::RESCALE_SLOPE, VR::DS, "1".to_owned()),
        (tags::RESCALE_TYPE, VR::LO, "HU".to_owned()),
    ] {
        put(tag, vr, value.into());
    }
    let [x, y, _] = affine.columns();
    let unit = |v: [f64; 3], mm: f64| v.map(|c| c / mm);
    let [z_mm, y_mm, x_mm] = affine.spacing_mm();
    let (along_row, along_column) = (unit(x, x_mm), unit(y, y_mm));
    let position = affine.apply([0.0, 0.0, z as f64]);
    for (tag, values) in [
        (tags::IMAGE_POSITION_PATIENT, position.to_vec()),
        (tags::IMAGE_ORIENTATION_PATIENT, [along_row, along_column].concat()),
        (tags::PIXEL_SPACING, vec![y_mm, x_mm]),
        (tags::SLICE_THICKNESS, vec![z_mm]),
    ] {
        put(tag, VR::DS, decimals(&values).into());
    }
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, size(rows)?),
        (tags::COLUMNS, size(columns)?),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 1),
    ] {
        put(tag, VR::US, value.into());
    }
    let pixels: Vec<u8> = stored.iter().flat_map(|v| v.to_le_bytes()).collect();
    put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U8(pixels.into()));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid(instance)
        .build()
        .map_err(|e| WriteError::Unfit(e.to_string()))?;
    let mut bytes = Vec::new();
    object.with_exact_meta(meta).write_all(&mut bytes).map_err(|e| WriteError::Unfit(e.to_string()))?;
    Ok(bytes)
}

/// The attributes that describe patient, scan and place.
fn described(text: &DicomText) -> Vec<(Tag, VR, String)> {
    let t = |s: &String| s.clone();
    vec![
        (tags::STUDY_DATE, VR::DA, t(&text.study_date)),
        (tags::SERIES_DATE, VR::DA, t(&text.study_date)),
        (tags::ACQUISITION_DATE, VR::DA, t(&text.study_date)),
        (tags::CONTENT_DATE, VR::DA, t(&text.study_date)),
        (tags::STUDY_TIME, VR::TM, t(&text.study_time)),
        (tags::ACCESSION_NUMBER, VR::SH, t(&text.accession_number)),
        (tags::MANUFACTURER, VR::LO, t(&text.device)),
        (tags::INSTITUTION_NAME, VR::LO, t(&text.institution)),
        (tags::INSTITUTION_ADDRESS, VR::ST, t(&text.institution)),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, t(&text.physician)),
        (tags::STATION_NAME, VR::SH, t(&text.device)),
        (tags::STUDY_DESCRIPTION, VR::LO, t(&text.study_description)),
        (tags::SERIES_DESCRIPTION, VR::LO, t(&text.series_description)),
        (tags::INSTITUTIONAL_DEPARTMENT_NAME, VR::LO, t(&text.institution)),
        (tags::PERFORMING_PHYSICIAN_NAME, VR::PN, t(&text.physician)),
        (tags::OPERATORS_NAME, VR::PN, t(&text.physician)),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO, t(&text.device)),
        (tags::PATIENT_NAME, VR::PN, t(&text.patient_name)),
        (tags::PATIENT_ID, VR::LO, t(&text.patient_id)),
        (tags::PATIENT_BIRTH_DATE, VR::DA, t(&text.patient_birth_date)),
        (tags::PATIENT_SEX, VR::CS, t(&text.patient_sex)),
        (tags::PATIENT_AGE, VR::AS, t(&text.patient_age)),
        (tags::PATIENT_COMMENTS, VR::LT, t(&text.comments)),
        (tags::DEVICE_SERIAL_NUMBER, VR::LO, t(&text.device)),
        (tags::PROTOCOL_NAME, VR::LO, t(&text.protocol_name)),
        (tags::STUDY_ID, VR::SH, t(&text.study_id)),
        (tags::IMAGE_COMMENTS, VR::LT, t(&text.comments)),
    ]
}
