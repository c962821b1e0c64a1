//! What lies at a path: told from the first bytes of the files, names only where the bytes say nothing.

use crate::natural::natural_cmp;
use crate::walk::entries;
use crate::{ReadError, dicom, nifti, numbering, pictures};
use gg_volume::Warning;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes at the start of a file that tell its kind.
const START_BYTES: u64 = 512;
/// How the names of NIfTI files end, in small letters.
const NIFTI_ENDINGS: [&str; 2] = [".nii", ".nii.gz"];
/// Where DICOM's magic word lies, behind a preamble that may hold anything, even the start of a TIFF.
const DICM_AT: usize = 128;

/// What was found.
pub(crate) enum Input {
    /// One NIfTI file, and files beside it that are no CT.
    Nifti(PathBuf, Vec<PathBuf>),
    /// A DICOM file, or a folder with DICOM files somewhere below it.
    Dicom,
    /// Slices as pictures.
    Pictures(Pictures),
}

/// Slices in order.
#[derive(Default)]
pub(crate) struct Pictures {
    pub(crate) files: Vec<PathBuf>,
    /// Files beside them that are no pictures.
    pub(crate) others: Vec<PathBuf>,
    /// Remarks on their names.
    pub(crate) remarks: Vec<Warning>,
}

/// Files that were left out for what they are.
pub(crate) fn left_out(others: Vec<PathBuf>) -> impl Iterator<Item = (PathBuf, String)> {
    others.into_iter().map(|path| (path, "neither NIfTI, DICOM nor a picture of this scan".to_owned()))
}

/// The kind of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nifti,
    Dicom,
    Picture,
    Other,
}

/// Looks at a file or a folder.
pub(crate) fn look(path: &Path) -> Result<Input, ReadError> {
    if std::fs::metadata(path)?.is_dir() {
        return look_into(path);
    }
    if std::fs::metadata(path)?.len() == 0 {
        return Err(ReadError::empty_file());
    }
    match kind(path)? {
        Kind::Nifti => Ok(Input::Nifti(path.to_owned(), Vec::new())),
        Kind::Dicom => Ok(Input::Dicom),
        Kind::Picture => {
            Ok(Input::Pictures(Pictures { files: vec![path.to_owned()], ..Pictures::default() }))
        }
        Kind::Other => {
            let found = match foreign(&start_of(path)?) {
                Some((name, advice)) => format!("the file is {name}: {advice}"),
                None => "the file is of no known kind".to_owned(),
            };
            Err(ReadError::UnknownFormat { found })
        }
    }
}

/// The name of a format that is not read, and what to do, where a file begins like one that people have CT in.
fn foreign(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it and name what lies in it";
    const CONVERT: &str = "convert it to NIfTI";
    let known: [(&[u8], &str, &str); 7] = [
        (b"PK\x03\x04", "a ZIP archive", UNPACK),
        (b"7z\xbc\xaf", "a 7z archive", UNPACK),
        (b"NRRD000", "an NRRD", CONVERT),
        (b"ObjectType", "a MetaImage header", CONVERT),
        (b"NDims", "a MetaImage header", CONVERT),
        (b"\x93NUMPY", "a NumPy array, which knows neither spacing nor orientation", CONVERT),
        (b"\x89HDF", "an HDF5 file", CONVERT),
    ];
    let tar = start.get(257..262) == Some(b"ustar");
    let found = known.into_iter().find(|(magic, ..)| start.starts_with(magic));
    found.map(|(_, name, advice)| (name, advice)).or(tar.then_some(("a tar archive", UNPACK)))
}

fn start_of(path: &Path) -> Result<Vec<u8>, ReadError> {
    let mut start = Vec::new();
    File::open(path)?.take(START_BYTES).read_to_end(&mut start)?;
    Ok(start)
}

/// The kind of a file.
pub(crate) fn kind(path: &Path) -> Result<Kind, ReadError> {
    let start = start_of(path)?;
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    Ok(if start.get(DICM_AT..).is_some_and(|s| s.starts_with(b"DICM")) {
        Kind::Dicom
    } else if nifti::is_nifti_header(&start) || ends(&NIFTI_ENDINGS) || start.starts_with(&nifti::GZIP_MAGIC)
    {
        Kind::Nifti
    } else if pictures::format_of(&start).is_some() || ends(&[".png", ".jpg", ".jpeg", ".tif", ".tiff"]) {
        Kind::Picture
    } else if dicom::looks_like_dicom(path) {
        Kind::Dicom
    } else {
        Kind::Other
    })
}

fn look_into(folder: &Path) -> Result<Input, ReadError> {
    let (mut nifti, mut pictures, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = 0;
    let mut dicom = false;
    let mut refused = None;
    for entry in entries(folder) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                // An unreadable corner of the folder is no reason to give up.
                refused.get_or_insert(e.io_error().map_or(std::io::ErrorKind::Other, std::io::Error::kind));
                continue;
            }
        };
        files += 1;
        let direct = entry.depth() == 1;
        match kind(entry.path()) {
            Ok(Kind::Dicom) => {
                // The files behind it are the series' and are not opened here; a name is enough to tell a volume beside it.
                dicom = true;
                nifti.extend(named_nifti(folder));
                break;
            }
            Ok(Kind::Nifti) if direct => nifti.push(entry.into_path()),
            Ok(Kind::Picture) if direct => pictures.push(entry.into_path()),
            Ok(_) | Err(_) => others.push(entry.into_path()),
        }
    }
    if dicom && nifti.is_empty() {
        return Ok(Input::Dicom);
    }
    let n = nifti.len();
    let ambiguous = |found: String| Err(ReadError::Ambiguous { found });
    match (nifti.pop(), pictures.is_empty()) {
        (Some(_), _) if dicom => ambiguous("folder holds NIfTI files beside DICOM files".to_owned()),
        (Some(_), false) => ambiguous("folder holds NIfTI files beside slice pictures".to_owned()),
        (Some(last), true) if n > 1 => {
            nifti.push(last);
            Err(ReadError::SeveralNifti(nifti))
        }
        (Some(only), true) => Ok(Input::Nifti(only, others)),
        (None, false) => {
            let remarks = numbering::check(&sort_naturally(&mut pictures))?;
            Ok(Input::Pictures(Pictures { files: pictures, others, remarks }))
        }
        (None, true) if files == 0 => {
            Err(refused.map_or(ReadError::EmptyFolder, |kind| ReadError::Io(kind.into())))
        }
        (None, true) => {
            let is_empty = |f: &&PathBuf| std::fs::metadata(f).is_ok_and(|m| m.len() == 0);
            let empty = match others.iter().filter(is_empty).count() {
                0 => String::new(),
                n if n == files => " (all are empty)".to_owned(),
                n => format!(" ({n} are empty)"),
            };
            Err(ReadError::UnknownFormat {
                found: format!("none of the folder's {files} files is a CT{empty}"),
            })
        }
    }
}

/// The visible files in a folder itself whose names are those of NIfTI files.
fn named_nifti(folder: &Path) -> Vec<PathBuf> {
    let is_nifti = |name: &str| !name.starts_with('.') && NIFTI_ENDINGS.iter().any(|e| name.ends_with(e));
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = listed.flatten().filter(|e| is_nifti(&e.file_name().to_string_lossy().to_lowercase()));
    named.map(|e| e.path()).filter(|path| path.is_file()).collect()
}

/// By file name, as people number slices; gives the names in order.
fn sort_naturally(paths: &mut [PathBuf]) -> Vec<String> {
    let name = |p: &PathBuf| p.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
    paths.sort_by(|a, b| natural_cmp(&name(a), &name(b)));
    paths.iter().map(name).collect()
}
