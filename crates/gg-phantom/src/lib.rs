//! Synthetic chest CT with exact truth.
