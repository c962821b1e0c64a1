//! Networks, losses, schedules, the training loop, model bundles and prediction.
