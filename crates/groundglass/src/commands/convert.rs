//! `convert`: a DICOM series or slice pictures as one NIfTI file, so that masks have something to lie on.

use super::{Context, data};
use crate::args::ConvertArgs;
use crate::failure::Usage;
use crate::output;
use anyhow::{Context as _, Result};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    shape: [usize; 3],
    spacing_mm: Option<[f64; 3]>,
    orientation: Option<gg_volume::Orientation>,
    intensity: gg_volume::Intensity,
    warnings: Vec<gg_volume::Warning>,
}

pub(super) fn run(context: &Context, args: ConvertArgs) -> Result<()> {
    let name = args.out.to_string_lossy().to_lowercase();
    if !name.ends_with(".nii") && !name.ends_with(".nii.gz") {
        return Err(Usage(format!("{} should end in .nii or .nii.gz", args.out.display())).into());
    }
    output::check_file_free(&args.out, args.force, &[&args.ct], |dest| !gg_io::is_own_nifti(dest))?;
    let mut warnings = Vec::new();
    let mut scan = data::read_ct(&args.ct, &args.read.options())?.drain_into(&mut warnings);
    context.interrupt.check()?;
    data::say_left_out(context, &scan.skipped);
    // What held no number holds none in the copy, so that it is refused where the CT itself is.
    if let Some(holes) = &scan.holes {
        holes.reopen(&mut scan.ct.voxels);
        for warning in warnings.iter_mut().filter(|w| w.code == "non_finite_values") {
            warning.message =
                format!("{} voxels are not finite numbers; they are none in the copy either", holes.count());
        }
    }
    for warning in &warnings {
        context.console.warn(&warning.message);
    }
    if let Some(folder) = args.out.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    gg_io::write_ct_nifti(&args.out, &scan.ct).with_context(|| format!("writing {}", args.out.display()))?;
    let grid = &scan.ct.grid;
    let answer = Answer {
        shape: grid.shape,
        spacing_mm: grid.spacing_mm,
        orientation: grid.orientation(),
        intensity: scan.ct.intensity.clone(),
        warnings,
    };
    context.answer(&answer, || {
        let [slices, rows, columns] = grid.shape;
        let s = if slices == 1 { "" } else { "s" };
        format!("{}: {slices} slice{s} of {rows} x {columns}", args.out.display())
    })
}
