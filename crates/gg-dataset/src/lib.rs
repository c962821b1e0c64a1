//! Cases, their layouts on disk, patient-level splits, the prepared cache, augmentation and batches.
