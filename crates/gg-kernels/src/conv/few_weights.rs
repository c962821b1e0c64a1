//! The gradient of the weights by Winograd where few tiles meet many channels ([`super::few`]): the sums of 36 places are
//! four times as long as the gradient and would travel to memory and back.
//!
//! First the tiles of all inputs and gradients are transformed. Then a task takes a pair of output blocks and some input
//! blocks: the sums of one input block over all tiles stay in its second-level cache and are transformed back at once.

use super::pack::Piece;
use super::panel::{Block, fill};
use super::transform::{IN, Inputs, OUT, PLACES};
use super::winograd_walk::{Finish, Gradients, Walk};
use super::winograd_weights::Job;
use crate::arith::Fp32;
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Tiles of all images, at most.
pub(super) const TILES: usize = 128;
/// Parts of the input blocks, a task each.
const PARTS: usize = 4;

/// Writes the gradient of all `weights` to `plain`, in PyTorch's order.
pub(super) fn gradient(job: &Job<'_>, weights: &[Piece], plain: Shared) {
    let (isa, lanes) = (job.isa, job.isa.lanes());
    let tiles = job.rows * job.across;
    // A cache line between places keeps them from falling on the same lines of the cache.
    let places = [job.ins.len(), job.outs.len()].map(|blocks| blocks * tiles * lanes + 16);
    // The sums at all places, and the nine taps that they give.
    let (panel, sums) = (IN * (job.across * OUT + 2) * lanes, (PLACES + 9) * 2 * lanes * lanes);
    with_scratch(PLACES * (places[0] + places[1]), |tensors| {
        let to = Shared::new(tensors);
        (0..2 * job.rows).into_par_iter().for_each(|i| {
            with_scratch(panel, |panel| {
                isa.run(Row { job, row: i / 2, input: i % 2 == 0, places, to, panel })
            });
        });
        let (pairs, tensors) = (job.outs.len().div_ceil(2), &*tensors);
        (0..pairs * PARTS).into_par_iter().for_each(|i| {
            let (pair, part) = (i / PARTS, i % PARTS);
            let blocks = (cut(job.ins.len(), PARTS, part), cut(job.ins.len(), PARTS, part + 1));
            with_scratch(sums, |sums| {
                isa.run(Task { job, weights, pair, blocks, places, tensors, sums, plain });
            });
        });
    });
}

/// Transforms one row of tiles of all input blocks, or of the gradient of all output blocks.
struct Row<'a> {
    job: &'a Job<'a>,
    row: usize,
    input: bool,
    /// Floats from place to place of inputs and gradients.
    places: [usize; 2],
    to: Shared,
    panel: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let job = self.job;
        let (image, y) = (self.row / job.down, self.row % job.down * OUT);
        let (panel, tiles) = (self.panel.as_mut_ptr(), job.across);
        let place = |b: usize| (b * job.rows + self.row) * tiles * S::L;
        // SAFETY: `backward_weights_winograd` has checked the tensors; the panel has room for six rows, and the tiles
        // of one row are one task's alone.
        unsafe {
            if self.input {
                let width = tiles * OUT + 2;
                for (b, block) in job.ins.iter().enumerate() {
                    let source = &job.inputs[block.tensor];
                    fill::<S, Fp32>(source, block, job.size, image, (y, OUT), 1, width, panel);
                    let (to, place) = (self.to.at(place(b)), self.places[0]);
                    S::enter(Inputs::<Fp32> { panel, width, tiles, to, place, precision: PhantomData });
                }
            } else {
                let width = tiles * OUT;
                for (b, block) in job.outs.iter().enumerate() {
                    fill::<S, Fp32>(job.gradient, block, job.size, image, (y, OUT), 0, width, panel);
                    let (to, place) = (self.to.at(PLACES * self.places[0] + place(b)), self.places[1]);
                    S::enter(Gradients { panel, width, tiles, to, place });
                }
            }
        }
    }
}

/// Some input blocks of one pair of output blocks.
struct Task<'a> {
    job: &'a Job<'a>,
    weights: &'a [Piece],
    pair: usize,
    /// From and to.
    blocks: (usize, usize),
    places: [usize; 2],
    /// Transformed inputs and gradients.
    tensors: &'a [f32],
    sums: &'a mut [f32],
    plain: Shared,
}

impl Kernel for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (job, ins) = (self.job, self.job.ins.len());
        let tiles = job.rows * job.across;
        let k = (job.outs.len() - 2 * self.pair).min(2);
        let (width, sums) = (k * S::L, self.sums.as_mut_ptr());
        // SAFETY: the tensors hold all tiles; the weights of one input block and pair are one task's alone.
        unsafe {
            let (inputs, gradients) = self.tensors.split_at(PLACES * self.places[0]);
            let gradients = gradients.as_ptr().add(2 * self.pair * tiles * S::L);
            for b in self.blocks.0..self.blocks.1 {
                let block: &Block = &job.ins[b];
                if block.lanes < S::L {
                    // Lanes without a channel are not walked.
                    std::ptr::write_bytes(sums, 0, PLACES * S::L * width);
                }
                for place in 0..PLACES {
                    let gradient = gradients.add(place * self.places[1]);
                    let walk = Walk {
                        input: inputs.as_ptr().add(place * self.places[0] + b * tiles * S::L),
                        gradients: [gradient, gradient.wrapping_add(tiles * S::L)],
                        tiles,
                        lanes: block.lanes,
                        add: false,
                        to: sums.add(place * S::L * width),
                    };
                    walk.enter::<S>(k);
                }
                let (place, to) = (S::L * width, sums.add(PLACES * 2 * S::L * S::L));
                S::enter(Finish { sums, place, splits: 1, long: 0, width, to });
                S::enter(self.weights[self.pair * ins + b].to_plain(to, self.plain));
            }
        }
    }
}
