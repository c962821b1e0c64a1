//! Data sets on disk, from their tables to batches: synthetic folders of every layout, and the real sets where present.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot make its data must fail loudly

mod cache;
mod fixtures;
mod fuzz;
mod joined;
mod layouts;
mod real_data;
mod refusals;
