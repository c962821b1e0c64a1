//! Ctrl-C as a flag that long work looks at, so that checkpoints are written before the program ends with 130.

use crate::failure::Interrupted;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true once the user pressed Ctrl-C; a second press ends the program at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C (and the signal that asks a process to end). Where that is not possible, the program
    /// simply ends as usual.
    pub(crate) fn listen() -> Self {
        let flag = Self::default();
        let seen = flag.0.clone();
        let _ = ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        flag
    }

    /// Whether the user wants to stop.
    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error once the user wants to stop, for work whose results are put in their place only when whole.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.requested() { Err(Interrupted("nothing was written".into())) } else { Ok(()) }
    }

    /// The flag itself, for loops in the libraries.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}
