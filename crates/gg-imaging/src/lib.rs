//! CT preparation: windows, CLAHE, lung region, morphology, resizing, and the way back.
