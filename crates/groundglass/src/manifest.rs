//! What made a result, so that it can be made again.

use serde::Serialize;

/// The program that wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Commit the program was built from, or `unknown` outside a checkout.
    pub(crate) commit: &'static str,
}

impl Program {
    pub(crate) fn this() -> Self {
        Self {
            name: "groundglass",
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("GROUNDGLASS_COMMIT"),
        }
    }
}
