//! Numbers in the lines that commands print.

/// A number with that many decimals; `none` where there is none.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("none".to_owned(), |v| format!("{v:.decimals$}"))
}
