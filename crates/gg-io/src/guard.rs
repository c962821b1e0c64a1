//! Decoders of other people's make may panic on damaged bytes: here that becomes an answer like any other.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder; `None` where it panicked.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(before);
    result.ok()
}

/// Whether this thread runs a decoder whose panic is caught and reported as a damaged file: a panic hook has nothing
/// to tell of it.
pub fn panic_is_guarded() -> bool {
    GUARDED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_decoder_is_an_answer_and_nothing_stays_guarded() {
        assert_eq!(guarded(|| guarded(panic_is_guarded)), Some(Some(true)));
        assert_eq!(guarded(|| -> u8 { std::panic::resume_unwind(Box::new("damaged")) }), None);
        assert!(!panic_is_guarded());
    }
}
