//! DICOM CT series: from a folder of files to one volume, and back.
