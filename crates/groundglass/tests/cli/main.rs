//! The real program in a temporary folder: what a user types, what comes back.

mod bad_input;
mod commands;
mod odd_input;
mod privacy;
mod real_data;
mod reproducibility;
mod run;
mod training;
