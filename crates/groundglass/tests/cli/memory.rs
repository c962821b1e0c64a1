//! A CT of full size: what `analyze` needs at its peak.

use crate::run::{Ran, arg, command, json};
use gg_volume::{Affine, CtVolume, Grid, Intensity, IntensityKind, SpacingTrust, Volume};
use std::process::{Child, Stdio};
use std::time::Duration;

const SHAPE: [usize; 3] = [300, 512, 512];
/// What the program itself, the models in the box and a few slices in work take, whatever the number of slices, in the
/// precision that a processor takes by itself.
fn constant_bytes(precision: &str) -> usize {
    match precision {
        "int8" => 192 << 20,
        "fp32" => 205_000_000,
        "bf16" => 290_000_000,
        other => panic!("the models in the box computed in {other}"),
    }
}
/// Never more than this for a CT of this size.
const LIMIT_BYTES: usize = 1_200_000_000;

/// Water with two lungs of air in it, every slice the same: cheap to make, and the lungs are real to the ROI.
fn body() -> CtVolume {
    let [nz, ny, nx] = SHAPE;
    let inside = |x: f32, y: f32, cx: f32, rx: f32, ry: f32| {
        ((x - cx) / rx).powi(2) + ((y - 256.0) / ry).powi(2) < 1.0
    };
    let slice: Vec<f32> = (0..ny * nx)
        .map(|i| {
            let (x, y) = ((i % nx) as f32, (i / nx) as f32);
            // A little grain, for a volume of three values is no CT.
            let grain = ((i * 7919) % 41) as f32 - 20.0;
            match () {
                () if inside(x, y, 150.0, 75.0, 110.0) || inside(x, y, 362.0, 75.0, 110.0) => -850.0 + grain,
                () if inside(x, y, 256.0, 235.0, 180.0) => 40.0 + grain,
                () => -1000.0 + grain,
            }
        })
        .collect();
    let affine =
        Affine::new([[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 1.0]], [-179.0, -179.0, 0.0]).unwrap();
    let grid = Grid {
        shape: SHAPE,
        spacing_mm: Some([1.0, 0.7, 0.7]),
        affine: Some(affine),
        trust: SpacingTrust::Trusted,
    };
    let voxels = Volume::from_vec(SHAPE, slice.repeat(nz)).unwrap();
    CtVolume { voxels, grid, intensity: Intensity::stated(IntensityKind::Hu) }
}

/// Most memory that a process held, as the kernel counts it. The mark only rises: the last look before the end
/// is the peak but for the last few milliseconds, in which nothing but the summary is written.
fn peak_until_end(child: &mut Child) -> usize {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        peak_kib = peak_kib.max(kib);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak_kib << 10
}

#[test]
#[cfg(target_os = "linux")]
fn a_ct_of_512_x_512_x_300_needs_its_voxels_and_three_bytes_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let (ct, out) = (dir.path().join("ct.nii"), dir.path().join("out"));
    gg_io::write_ct_nifti(&ct, &body()).unwrap();
    let args = ["analyze", arg(&ct), "--out", arg(&out), "--threads", "2"];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let peak = peak_until_end(&mut child);
    Ran::from(child.wait_with_output().unwrap()).ok();
    let voxels: usize = SHAPE.iter().product();
    let decoded = voxels * size_of::<f32>();
    let analysis = json(&out.join("analysis.json"));
    let constant = constant_bytes(analysis["compute"]["precision"].as_str().unwrap());
    let most = (decoded + 3 * voxels + constant).min(LIMIT_BYTES);
    assert!(peak > decoded, "{peak} bytes cannot hold the CT: the measurement is wrong");
    assert!(peak <= most, "{} MB at the peak, {} MB allowed", peak / 1_000_000, most / 1_000_000);
}
