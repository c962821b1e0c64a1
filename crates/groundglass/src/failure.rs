//! From an error to one sentence on stderr and an exit code.

use std::process::ExitCode;
use thiserror::Error;

/// The user asked for something that makes no sense: exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Ctrl-C: exit code 130.
#[derive(Debug, Error)]
#[error("interrupted; {0}")]
pub(crate) struct Interrupted(pub(crate) String);

/// Prints the chain of causes as one sentence and gives the exit code.
#[allow(clippy::print_stderr)] // the one place where errors are shown
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", sentence(error));
    if error.chain().any(|e| e.is::<Usage>()) {
        ExitCode::from(2)
    } else if error.chain().any(|e| e.is::<Interrupted>()) {
        ExitCode::from(130)
    } else {
        ExitCode::from(1)
    }
}

/// All causes, outermost first; nothing that another part of the sentence holds is said twice.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    // What the system says is put in plain words, also where a cause quotes it.
    let system = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let system = system.filter(|e| e.kind() != std::io::ErrorKind::Other).last();
    for cause in error.chain() {
        let text = cause.to_string();
        let part = system.map_or_else(|| text.clone(), |e| text.replace(&e.to_string(), &gg_io::io_words(e)));
        if !parts.iter().any(|said| repeats(said, &part)) {
            parts.retain(|said| !repeats(&part, said));
            parts.push(part);
        }
    }
    parts.join(": ")
}

/// Whether a text says what `part` says: holds it in whole words, and a single word at one of its ends, for a path may be
/// called like any word of a sentence.
fn repeats(text: &str, part: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let single = part.chars().all(char::is_alphanumeric);
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        let whole = !word(before.chars().next_back()) && !word(after.chars().next());
        whole && (!single || before.is_empty() || after.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_joined_and_not_repeated() {
        let error = anyhow::anyhow!("found 3").context("reading x: found 3").context("case a");
        assert_eq!(sentence(&error), "case a: reading x: found 3");
        let error = Err::<(), _>(std::io::Error::other("disk")).context("writing x").unwrap_err();
        assert_eq!(sentence(&error), "writing x: disk");
        let error = Err::<(), _>(std::io::Error::from_raw_os_error(2)).context("opening x").unwrap_err();
        assert_eq!(sentence(&error.context("x")), "opening x: there is no such file or folder");
        for path in ["empty", "le"] {
            let error = anyhow::anyhow!("the file is empty; right would be a CT").context(path);
            assert_eq!(sentence(&error), format!("{path}: the file is empty; right would be a CT"));
        }
    }
}
