//! Output folders: claimed only when they are ours, built beside their place and renamed when whole.
//!
//! A marker in each folder lists the files that groundglass wrote there. `--force` replaces those; a folder that holds
//! any other file is refused as a whole, as is one that holds what another command wrote.

mod checks;
mod file;
mod folder;
mod held;
mod marker;
mod staged;
#[cfg(test)]
mod tests;

pub(crate) use checks::{check_apart, check_free};
pub(crate) use file::{check_file_free, write_drawing, write_json, write_picture, write_text};
pub(crate) use folder::{claim, hold, parent_of, resume, share};
pub(crate) use held::Held;
pub(crate) use marker::is_ours;
pub(crate) use staged::Staged;
