//! The pieces that [`super::winograd_weights`] and [`super::few_weights`] share: the transformation of gradients, the sums
//! over tiles, and the transformation of the sums back to weights.

use super::transform::{IN, OUT, sum_weights, widen_gradient};
use crate::simd::{Kernel, Simd};

/// Transforms the gradient of one row of tiles of one output block.
pub(super) struct Gradients {
    pub(super) panel: *const f32,
    pub(super) width: usize,
    pub(super) tiles: usize,
    pub(super) to: *mut f32,
    pub(super) place: usize,
}

impl Kernel for Gradients {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` has made room for four rows of the panel and for all places.
        unsafe {
            for tile in 0..self.tiles {
                let from = self.panel.add(tile * OUT * S::L);
                let mut columns = [[S::zero(); IN]; OUT];
                for x in 0..OUT {
                    let mut y = [S::zero(); OUT];
                    for i in 0..OUT {
                        y[i] = S::load(from.add((i * self.width + x) * S::L));
                    }
                    columns[x] = widen_gradient::<S>(y);
                }
                for y in 0..IN {
                    let row = [columns[0][y], columns[1][y], columns[2][y], columns[3][y]];
                    let row = widen_gradient::<S>(row);
                    for x in 0..IN {
                        S::store(self.to.add((y * IN + x) * self.place + tile * S::L), row[x]);
                    }
                }
            }
        }
    }
}

/// One place of one input block and a pair of output blocks.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) input: *const f32,
    pub(super) gradients: [*const f32; 2],
    pub(super) tiles: usize,
    /// Input lanes that hold channels.
    pub(super) lanes: usize,
    /// Whether to add to what is there.
    pub(super) add: bool,
    pub(super) to: *mut f32,
}

impl Walk {
    /// For `k` output blocks.
    ///
    /// # Safety
    /// All tiles and sums are there; the processor has the set `S`.
    #[inline(always)]
    pub(super) unsafe fn enter<S: Simd>(self, k: usize) {
        if k == 2 {
            S::enter(WalkKernel::<2>(self));
        } else {
            S::enter(WalkKernel::<1>(self));
        }
    }
}

struct WalkKernel<const K: usize>(Walk);

impl<const K: usize> Kernel for WalkKernel<K> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` vouches for the pointers.
        unsafe {
            let mut lane = 0;
            while lane < self.0.lanes {
                if S::L == 16 && K == 1 {
                    // Twice as many sums as hide the latency of two units: the values of one vector suffice for all.
                    self.lanes::<S, 16>(lane);
                    lane += 16;
                } else if S::L == 16 {
                    self.lanes::<S, 8>(lane);
                    lane += 8;
                } else {
                    self.lanes::<S, 4>(lane);
                    lane += 4;
                }
            }
        }
    }
}

impl<const K: usize> WalkKernel<K> {
    /// `Q` input lanes. Lanes without a channel hold zeros and give zeros.
    #[inline(always)]
    unsafe fn lanes<S: Simd, const Q: usize>(&self, lane: usize) {
        let walk = &self.0;
        let mut acc = [[S::zero(); Q]; K];
        let input = walk.input.add(lane);
        for t in 0..walk.tiles {
            let mut g = [S::zero(); K];
            for k in 0..K {
                g[k] = S::load(walk.gradients[k].add(t * S::L));
            }
            for q in 0..Q {
                let value = S::splat(*input.add(t * S::L + q));
                for k in 0..K {
                    acc[k][q] = S::fma(value, g[k], acc[k][q]);
                }
            }
        }
        for q in 0..Q {
            for k in 0..K {
                let to = walk.to.add(((lane + q) * K + k) * S::L);
                let sum = if walk.add { S::add(S::load(to), acc[k][q]) } else { acc[k][q] };
                S::store(to, sum);
            }
        }
    }
}

/// Adds the sums of all splits for one input block of one pair, and transforms them back.
pub(super) struct Finish {
    /// Those of the first lane at the first place, and floats from place to place.
    pub(super) sums: *const f32,
    pub(super) place: usize,
    /// How many sums are to be added, and floats from one to the next.
    pub(super) splits: usize,
    pub(super) long: usize,
    /// Floats of the pair's output lanes.
    pub(super) width: usize,
    /// Packed weights.
    pub(super) to: *mut f32,
}

impl Kernel for Finish {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        for lane in 0..S::L {
            for k in (0..self.width).step_by(S::L) {
                // SAFETY: entered through an `Isa`; the caller vouches for the pointers.
                unsafe {
                    let mut columns = [[S::zero(); 3]; IN];
                    for x in 0..IN {
                        let mut m = [S::zero(); IN];
                        for y in 0..IN {
                            let from = self.sums.add((y * IN + x) * self.place + lane * self.width + k);
                            m[y] = S::load(from);
                            for split in 1..self.splits {
                                m[y] = S::add(m[y], S::load(from.add(split * self.long)));
                            }
                        }
                        columns[x] = sum_weights::<S>(m);
                    }
                    for y in 0..3 {
                        let mut m = [S::zero(); IN];
                        for x in 0..IN {
                            m[x] = columns[x][y];
                        }
                        let row = sum_weights::<S>(m);
                        for x in 0..3 {
                            let tap = y * 3 + x;
                            S::store(self.to.add((tap * S::L + lane) * self.width + k), row[x]);
                        }
                    }
                }
            }
        }
    }
}
