//! How a convolution of bytes is cut into tasks. All is integers, so the cut changes no result.

use super::layout::{ByteShape, LANES};
use super::task::{Job, SharedBytes, Task, pairs_row};
use super::weights::{Conv8, Kind8, PLACES};
use crate::Isa;
use crate::buffer::with_scratch;
use crate::layout::cut;
use rayon::prelude::*;

/// Bytes of scratch per task: inside the second-level cache, with room for weights.
const SCRATCH: usize = 400 * 1024;

/// A tensor that is read: its bytes (of a [`ByteShape`]) and its channels.
#[derive(Clone, Copy, Debug)]
pub struct Source8<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Channels.
    pub channels: usize,
}

/// Convolves `n` images of `h` x `w`: the concatenation of the sources into `out`, whose frame is filled too. No byte of
/// a source may exceed [`super::TOP`].
///
/// # Panics
/// When a slice is shorter than its shape, or the sources are not those that the weights were made for.
pub fn convolve8(
    isa: Isa,
    conv: &Conv8,
    (n, h, w): (usize, usize, usize),
    sources: &[Source8<'_>],
    out: &mut [u8],
) {
    assert_eq!(sources.iter().map(|s| s.channels).collect::<Vec<_>>(), conv.inputs);
    let sources: Vec<_> = sources.iter().map(|s| (s.data, ByteShape::new(n, s.channels, h, w))).collect();
    assert!(
        sources.iter().all(|(data, shape)| data.len() >= shape.len()),
        "tensors as large as their shapes"
    );
    let fine = conv.kind.fine();
    let out_shape = ByteShape::new(n, conv.outputs, fine * h, fine * w);
    assert!(out.len() >= out_shape.len(), "a destination as large as its shape");
    if out_shape.is_empty() || sources.iter().any(|(_, s)| s.is_empty()) {
        return;
    }
    out_shape.frame(out, conv.rounding.zero);
    let group = isa.int8_blocks();
    let groups = (conv.kind.phases() * out_shape.blocks()).div_ceil(group);
    let count: usize = sources.iter().map(|(_, s)| s.blocks()).sum();
    let job = Job { conv, sources, out: SharedBytes(out.as_mut_ptr()), out_shape, group, groups };

    let per_row = match conv.kind {
        Kind8::Same3x3 => PLACES * count * pairs_row(w),
        Kind8::Same1x1 | Kind8::Up2x2 => count * w * LANES,
    };
    let rows = (SCRATCH / per_row).saturating_sub(2).clamp(1, h);
    let wanted = 4 * rayon::current_num_threads();
    // Small images are shared out by output blocks: each task reads its own weights.
    let row_chunks = h.div_ceil(rows);
    let out_chunks = wanted.div_ceil(n * row_chunks).min(groups);
    (0..n * row_chunks * out_chunks).into_par_iter().for_each(|i| {
        let (image, chunk, part) = (i / out_chunks / row_chunks, i / out_chunks % row_chunks, i % out_chunks);
        let rows = (cut(h, row_chunks, chunk), cut(h, row_chunks, chunk + 1));
        let groups = (cut(job.groups, out_chunks, part), cut(job.groups, out_chunks, part + 1));
        let bytes = if conv.kind == Kind8::Same3x3 { per_row * (rows.1 - rows.0 + 2) } else { 0 };
        with_scratch(bytes / 4, |scratch| {
            isa.run_int8(Task { job: &job, image, rows, groups, scratch });
        });
    });
}
