//! Single files, each whole or absent.

use crate::failure::Usage;
use anyhow::{Context, Result, bail};
use gg_report::Scene;
use std::path::Path;

/// Refuses to replace an existing file unless told to, and what a command reads at any time: an input, a file in a folder
/// of inputs, and a file that is `other` than what would be written.
pub(crate) fn check_file_free(
    dest: &Path,
    force: bool,
    inputs: &[&Path],
    other: impl Fn(&Path) -> bool,
) -> Result<()> {
    if dest.is_dir() {
        bail!("{} is a folder; a file name is needed", dest.display());
    }
    if !dest.exists() {
        return Ok(());
    }
    let place = std::fs::canonicalize(dest);
    let is_in = |input: &&&Path| {
        place.as_ref().is_ok_and(|place| std::fs::canonicalize(input).is_ok_and(|i| place.starts_with(i)))
    };
    if let Some(input) = inputs.iter().find(is_in) {
        let lies = if input.is_dir() {
            format!("lies in the input {}", input.display())
        } else {
            "is an input".to_owned()
        };
        return Err(Usage(format!("{} {lies}; choose another name for the output", dest.display())).into());
    }
    if other(dest) {
        bail!(
            "{} holds something else than this command writes; it is left alone, choose another name for the output",
            dest.display()
        );
    }
    if !force {
        return Err(
            Usage(format!("{} exists; --force replaces it, or choose another name", dest.display())).into()
        );
    }
    Ok(())
}

/// Writes a text file so that it is either whole or absent.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    gg_io::atomic_write(path, |f| f.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Writes a value as readable JSON, keys in a fixed order.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_text(path, &text)
}

/// Scale of the PNG beside each SVG.
const PNG_SCALE: f64 = 2.0;

/// A drawing as SVG and PNG.
pub(crate) fn write_drawing(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    write_text(&dir.join(format!("{name}.svg")), &scene.to_svg())?;
    write_picture(dir, name, scene)
}

/// A drawing with pictures of CT in it, as PNG alone.
pub(crate) fn write_picture(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    let path = dir.join(format!("{name}.png"));
    let bytes = scene.to_png(PNG_SCALE);
    gg_io::atomic_write(&path, |f| f.write_all(&bytes)).with_context(|| format!("writing {}", path.display()))
}
