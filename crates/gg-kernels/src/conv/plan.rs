//! What one convolution is, and the packed order of its weights.
//!
//! Packed: `[pair of output blocks][input block][tap][input lane][block of the pair][output lane]`, the order in
//! which the tile kernel reads them. Input blocks are those of the sources one after the other, each source padded
//! to whole blocks; output blocks likewise.

use crate::Isa;

/// How the input (output) grid lies to the grid of tiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sampling {
    /// The same grid.
    Same,
    /// Twice as fine in both directions: its four phases count as four tensors, in the order (0,0) (0,1) (1,0) (1,1).
    Double,
}

impl Sampling {
    pub(crate) fn phases(self) -> usize {
        match self {
            Self::Same => 1,
            Self::Double => 4,
        }
    }
}

/// One convolution: kernel size, input channels of each source, output channels of each destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConvPlan {
    /// 1 or 3.
    pub kernel: usize,
    /// Channels of each source (their concatenation is the input).
    pub inputs: Vec<usize>,
    /// Channels of each destination.
    pub outputs: Vec<usize>,
    /// The only source is one channel that is not blocked ([`crate::Read::Plane`]).
    pub plane: bool,
    /// The grid of the sources.
    pub input_grid: Sampling,
    /// The grid of the destinations.
    pub output_grid: Sampling,
}

impl ConvPlan {
    /// A convolution of `kernel` x `kernel` from the concatenation of `inputs` to `outputs` channels.
    pub fn new(kernel: usize, inputs: &[usize], outputs: usize) -> Self {
        assert!(kernel == 1 || kernel == 3, "kernels of 1 and 3");
        Self {
            kernel,
            inputs: inputs.to_vec(),
            outputs: vec![outputs],
            plane: false,
            input_grid: Sampling::Same,
            output_grid: Sampling::Same,
        }
    }

    /// The 3x3 convolution of one channel that is not blocked.
    pub fn of_plane(outputs: usize) -> Self {
        Self { plane: true, ..Self::new(3, &[1], outputs) }
    }

    /// The 2x2 transposed convolution of stride 2.
    pub fn transposed(input: usize, output: usize) -> Self {
        Self { output_grid: Sampling::Double, ..Self::new(1, &[input], output) }
    }

    /// The convolution that takes the gradient of the outputs to that of the inputs.
    pub fn backward(&self) -> Self {
        Self {
            kernel: self.kernel,
            inputs: self.outputs.clone(),
            outputs: self.inputs.clone(),
            plane: false,
            input_grid: self.output_grid,
            output_grid: self.input_grid,
        }
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Input lanes per block as packed.
    pub(crate) fn input_lanes(&self, isa: Isa) -> usize {
        if self.plane { 1 } else { isa.lanes() }
    }

    pub(crate) fn in_blocks(&self, isa: Isa) -> usize {
        self.input_grid.phases() * self.inputs.iter().map(|c| c.div_ceil(isa.lanes())).sum::<usize>()
    }

    pub(crate) fn out_blocks(&self, isa: Isa) -> usize {
        self.output_grid.phases() * self.outputs.iter().map(|c| c.div_ceil(isa.lanes())).sum::<usize>()
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self, isa: Isa) -> usize {
        self.in_blocks(isa) * self.input_lanes(isa) * self.taps() * self.out_blocks(isa) * isa.lanes()
    }
}
