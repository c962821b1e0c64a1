//! Plots, figures and reports for people to look at.
