//! Measures of masks and classifiers, and the burden of infection.
