//! Small series made by our own writer and then bent into shape, element by element.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, open_file};
use gg_io::{DicomText, ReadError, ReadOptions, Scan, read_ct, write_dicom_series};
use gg_volume::{Affine, CtVolume, Grid, Intensity, IntensityKind, SpacingTrust, Volume, Warned};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// `[z, y, x]` of the series.
pub(crate) const SHAPE: [usize; 3] = [5, 8, 6];
/// Millimetres between its slices.
pub(crate) const STEP: f64 = 2.5;

/// A volume in whole HU in which every voxel has its own value.
pub(crate) fn volume(shape: [usize; 3]) -> CtVolume {
    let n = shape.iter().product::<usize>();
    let voxels = Volume::from_vec(shape, (0..n).map(|i| i as f32 - 1000.0).collect()).unwrap();
    let affine =
        Affine::new([[0.5, 0.0, 0.0], [0.0, 0.75, 0.0], [0.0, 0.0, STEP]], [-10.0, -20.0, 30.0]).unwrap();
    let grid = Grid {
        shape,
        spacing_mm: Some(affine.spacing_mm()),
        affine: Some(affine),
        trust: SpacingTrust::Trusted,
    };
    CtVolume { voxels, grid, intensity: Intensity::stated(IntensityKind::Hu) }
}

/// A folder of DICOM files that removes itself.
pub(crate) struct Series {
    pub(crate) dir: TempDir,
}

impl Series {
    /// The series of [`volume`].
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        write_dicom_series(&dir.path().join("series"), &volume(SHAPE), &DicomText::default()).unwrap();
        Self { dir }
    }

    /// The same, every slice changed by `edit`.
    pub(crate) fn edited(edit: impl Fn(usize, &mut InMemDicomObject)) -> Self {
        let series = Self::new();
        for z in 0..SHAPE[0] {
            series.edit(z, |o| edit(z, o));
        }
        series
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("series")
    }

    /// The file of a slice.
    pub(crate) fn file(&self, z: usize) -> PathBuf {
        self.folder().join(format!("slice-{:04}.dcm", z + 1))
    }

    pub(crate) fn object(&self, z: usize) -> InMemDicomObject {
        open_file(self.file(z)).unwrap().into_inner()
    }

    pub(crate) fn edit(&self, z: usize, edit: impl FnOnce(&mut InMemDicomObject)) {
        let mut object = self.object(z);
        edit(&mut object);
        save(&self.file(z), object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    }

    /// Puts a copy of a slice, changed by `edit`, beside the others.
    pub(crate) fn add(&self, name: &str, z: usize, edit: impl FnOnce(&mut InMemDicomObject)) {
        let mut object = self.object(z);
        edit(&mut object);
        save(&self.folder().join(name), object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    }

    pub(crate) fn read(&self) -> Result<Warned<Scan>, ReadError> {
        read_ct(&self.folder(), &ReadOptions::default())
    }

    pub(crate) fn read_with(&self, options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
        read_ct(&self.folder(), options)
    }
}

/// Writes an object as a file of the given transfer syntax (its pixels are not recoded).
pub(crate) fn save(path: &Path, object: InMemDicomObject, transfer_syntax: &str) {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1")
        .build()
        .unwrap();
    object.with_exact_meta(meta).write_to_file(path).unwrap();
}

/// Sets a text element.
pub(crate) fn set(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, value));
}

/// Sets a number element.
pub(crate) fn set_u16(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

/// Sets stored values, as 16-bit words.
pub(crate) fn set_pixels(object: &mut InMemDicomObject, values: &[u16]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U8(bytes.into())));
}

/// Moves a slice.
pub(crate) fn set_position(object: &mut InMemDicomObject, [x, y, z]: [f64; 3]) {
    set(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("{x}\\{y}\\{z}"));
}

/// Codes of all warnings.
pub(crate) fn codes(read: &Warned<Scan>) -> Vec<&str> {
    read.warnings.iter().map(|w| w.code.as_str()).collect()
}

/// The refusal's sentence.
#[track_caller]
pub(crate) fn refusal(read: Result<Warned<Scan>, ReadError>) -> String {
    match read {
        Ok(read) => panic!("read a volume of {:?} with {:?}", read.value.ct.grid.shape, read.warnings),
        Err(e) => e.to_string(),
    }
}
