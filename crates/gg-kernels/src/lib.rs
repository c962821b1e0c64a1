//! CPU kernels for convolution networks.
