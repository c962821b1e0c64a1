//! Numbers and kinds in the words of pages and of the lines that commands print.

use gg_volume::IntensityKind;

/// A number with that many decimals; `none` where there is none.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("none".to_owned(), |v| format!("{v:.decimals$}"))
}

/// "1 fold", "5 folds".
pub(crate) fn folds(n: usize) -> String {
    if n == 1 { "1 fold".to_owned() } else { format!("{n} folds") }
}

/// "1 case", "5 cases".
pub(crate) fn cases(n: usize) -> String {
    if n == 1 { "1 case".to_owned() } else { format!("{n} cases") }
}

/// The name of a kind with what it means.
pub(crate) fn kind_in_words(kind: IntensityKind) -> String {
    let meaning = match kind {
        IntensityKind::Hu => "Hounsfield units",
        IntensityKind::HuPlus1024 => "Hounsfield units shifted by 1024",
        IntensityKind::LungWindow8bit => "8-bit grey of a lung window, not HU",
        IntensityKind::Contrast8bit => "8-bit grey after CLAHE, not HU",
        IntensityKind::UnitRange => "0 to 1, not HU",
        IntensityKind::Unknown => "unknown, not taken for HU",
    };
    format!("{}: {meaning}", kind.name())
}
