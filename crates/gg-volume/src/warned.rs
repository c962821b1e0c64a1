//! Success with remarks: oddities that can be lived with travel beside the value to every output.

use serde::{Deserialize, Serialize};

/// One remark about the input or the result, shown in every output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable name for programs, in `snake_case`, e.g. `tilted_gantry`.
    pub code: String,
    /// One sentence for people; never holds a path, an identifier or a patient's attribute.
    pub message: String,
}

impl Warning {
    /// A remark with its stable code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// A value and the remarks that arose on the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Warned<T> {
    /// The result.
    pub value: T,
    /// Remarks, in the order in which they arose.
    pub warnings: Vec<Warning>,
}

impl<T> Warned<T> {
    /// A value without remarks.
    pub fn clean(value: T) -> Self {
        Self { value, warnings: Vec::new() }
    }

    /// A value with remarks.
    pub fn new(value: T, warnings: Vec<Warning>) -> Self {
        Self { value, warnings }
    }

    /// Moves the remarks into `sink` and gives the value.
    pub fn drain_into(self, sink: &mut Vec<Warning>) -> T {
        sink.extend(self.warnings);
        self.value
    }

    /// Keeps the remarks, changes the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Warned<U> {
        Warned { value: f(self.value), warnings: self.warnings }
    }
}
