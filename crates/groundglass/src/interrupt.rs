//! Ctrl-C as a flag that long work looks at, so that checkpoints are written before the program ends with 130.

use crate::failure::Interrupted;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true once the user pressed Ctrl-C; a second press ends the program at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    pressed: Arc<AtomicBool>,
    /// What is said of the work so far once the user wants to stop.
    kept: Option<String>,
}

impl Interrupt {
    /// Listens for Ctrl-C (and the signal that asks a process to end). Where that is not possible, the program
    /// simply ends as usual.
    pub(crate) fn listen() -> Self {
        let flag = Self::default();
        let seen = flag.pressed.clone();
        let _ = ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        flag
    }

    /// Whether the user wants to stop.
    pub(crate) fn requested(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }

    /// The same flag for the steps of longer work, of which more is kept than the step by itself would say.
    pub(crate) fn keeping(&self, kept: String) -> Self {
        Self { kept: Some(kept), ..self.clone() }
    }

    /// An error once the user wants to stop, for work whose results are put in their place only when whole.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.requested() { Err(self.error("nothing was written".to_owned())) } else { Ok(()) }
    }

    /// The error of a step that by itself would say this of what it leaves.
    pub(crate) fn error(&self, alone: String) -> Interrupted {
        Interrupted(self.kept.clone().unwrap_or(alone))
    }

    /// The flag itself, for loops in the libraries.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.pressed.clone()
    }
}
