//! The text of the settings: the profile, over it the user's file, over that single values; and the word that takes an
//! optional setting away.

use super::blame;
use crate::args::{ProfileName, SettingsArgs};
use crate::failure::Usage;
use anyhow::{Context, Result};
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

const GROUNDGLASS: &str = include_str!("../../profiles/groundglass.toml");
const PAPER: &str = include_str!("../../profiles/paper.toml");

/// The word that takes an optional setting away, as in `clahe_clip = "none"`.
const NONE: &str = "none";
/// The settings that may be taken away, by their tables.
const OPTIONAL: [(&[&str], &[&str]); 4] = [
    (&["prepare"], &["window_hu", "clahe_clip"]),
    (&["classify", "train"], &["ema", "early_stopping"]),
    (&["lung", "train"], &["ema", "early_stopping"]),
    (&["infection", "train"], &["ema", "early_stopping"]),
];

/// The commented text with all changes laid over the profile.
pub(crate) fn document(args: &SettingsArgs) -> Result<DocumentMut> {
    let file = args.config.as_deref().map(read_file).transpose()?;
    let named = file.as_ref().and_then(|f| f.get("profile")).and_then(|p| p.as_str()).map(str::to_owned);
    let profile = match (args.profile, named.as_deref()) {
        (Some(ProfileName::Paper), _) | (None, Some("paper")) => PAPER,
        (Some(ProfileName::Groundglass), _) | (None, None | Some("groundglass")) => GROUNDGLASS,
        (None, Some(other)) => {
            let line = args.config.as_deref().and_then(|f| blame::line_in(f, &["profile".to_owned()]));
            let place = line.map_or(String::new(), |line| format!("{line}: "));
            return Err(
                Usage(format!("{place}profile is `{other}`; right would be groundglass or paper")).into()
            );
        }
    };
    let mut document: DocumentMut = profile.parse().context("the built-in profile")?;
    let mut over = file.unwrap_or_default();
    over.remove("profile");
    let mut sets = Table::new();
    for pair in &args.set {
        let wrong = || Usage(format!("--set {pair}: should be KEY=VALUE, as in lung.train.epochs=20"));
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = value.trim();
        let parsed: Value = value.parse().unwrap_or_else(|_| Value::from(value));
        let mut change = Table::new();
        let mut place = &mut change;
        let mut names: Vec<&str> = key.trim().split('.').collect();
        let last = names.pop().filter(|n| !n.is_empty()).ok_or_else(wrong)?;
        for name in names {
            let next = place.entry(name).or_insert(Item::Table(Table::new()));
            place = next.as_table_mut().ok_or_else(wrong)?;
        }
        place.insert(last, Item::Value(parsed));
        merge(&mut sets, &change, Kinds::Mixed);
    }
    merge(over.as_table_mut(), &sets, Kinds::Apart);
    merge(document.as_table_mut(), over.as_table(), Kinds::Apart);
    Ok(document)
}

fn read_file(path: &Path) -> Result<DocumentMut> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().map_err(|e: toml_edit::TomlError| {
        let place = e.span().map_or(path.display().to_string(), |s| blame::line_of(path, &text, s.start));
        Usage(format!("{place}: {}", e.message().replace('\n', ", "))).into()
    })
}

/// What becomes of a table's keys when its `kind` changes.
#[derive(Clone, Copy, PartialEq)]
enum Kinds {
    /// They stay: single values, given in any order. A whole table with a kind takes the place of those before it.
    Mixed,
    /// They go: another kind of network or schedule has other keys.
    Apart,
}

/// Lays `over` on `base`, keeping the comments of `base`.
fn merge(base: &mut dyn TableLike, over: &dyn TableLike, kinds: Kinds) {
    for (key, item) in over.iter() {
        match (base.get_mut(key), item) {
            (Some(old), new) if old.is_table_like() && new.is_table_like() => {
                let (Some(old), Some(new)) = (old.as_table_like_mut(), new.as_table_like()) else { continue };
                let kind = |t: &dyn TableLike| t.get("kind").and_then(Item::as_str).map(str::to_owned);
                let other = match kinds {
                    Kinds::Apart => kind(old).is_some() && kind(new).is_some() && kind(new) != kind(old),
                    Kinds::Mixed => kind(new).is_some() && item.is_inline_table(),
                };
                if other {
                    old.clear();
                }
                merge(old, new, kinds);
            }
            (Some(Item::Value(old)), Item::Value(new)) => {
                let decor = old.decor().clone();
                *old = new.clone();
                *old.decor_mut() = decor;
            }
            (_, new) => {
                base.insert(key, new.clone());
            }
        }
    }
}

/// The document as the typed settings read it: what was taken away does not stand there.
pub(super) fn without_absent(document: &DocumentMut) -> DocumentMut {
    let mut document = document.clone();
    for (path, keys) in OPTIONAL {
        let Some(table) = table_at(&mut document, path) else { continue };
        for key in keys {
            if table.get(key).and_then(Item::as_str) == Some(NONE) {
                table.remove(key);
            }
        }
    }
    document
}

/// The text with a word for each setting that does not stand there, so that no profile fills it in.
pub(super) fn with_absent(text: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("the resolved settings")?;
    for (path, keys) in OPTIONAL {
        let Some(table) = table_at(&mut document, path) else { continue };
        for key in keys {
            if table.get(key).is_none() {
                table.insert(key, Item::Value(Value::from(NONE)));
            }
        }
    }
    Ok(document.to_string())
}

fn table_at<'a>(document: &'a mut DocumentMut, path: &[&str]) -> Option<&'a mut dyn TableLike> {
    let mut item = document.as_item_mut();
    for name in path {
        item = item.as_table_like_mut()?.get_mut(name)?;
    }
    item.as_table_like_mut()
}
