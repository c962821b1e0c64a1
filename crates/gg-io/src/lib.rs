//! Reads NIfTI, DICOM and slice pictures into volumes in millimetres, and writes them back.
