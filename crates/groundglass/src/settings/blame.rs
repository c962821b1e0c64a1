//! Where a faulty setting was written: on the command line, or in which line of the user's file.

use crate::args::SettingsArgs;
use std::ops::Range;
use std::path::Path;
use toml_edit::{Document, DocumentMut, Item, TableLike};

/// Settings that cannot be used.
pub(super) struct Fault {
    /// The key, outermost table first; empty where only the message tells it.
    pub(super) key: Vec<String>,
    /// What is wrong.
    pub(super) message: String,
}

/// The fault as one sentence that begins with where the user wrote it.
pub(super) fn sentence(args: &SettingsArgs, document: &DocumentMut, fault: &Fault) -> String {
    let message = fault.message.trim().replace('\n', ", ");
    let key = refine(document, fault.key.clone(), &message);
    let named = if fault.key.is_empty() { message } else { format!("{}: {message}", key.join(".")) };
    for pair in args.set.iter().rev() {
        let typed: Vec<&str> = pair.split_once('=').map_or("", |(k, _)| k).trim().split('.').collect();
        if key.len() >= typed.len() && typed.iter().zip(&key).all(|(a, b)| a == b) {
            return format!("--set {pair}: {named}");
        }
    }
    match args.config.as_deref().and_then(|path| line_in(path, &key)) {
        Some(place) => format!("{place}: {named}"),
        None => format!("settings: {named}"),
    }
}

/// `FILE:LINE` of a place in the text of a file.
pub(super) fn line_of(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    format!("{}:{}", path.display(), before.matches('\n').count() + 1)
}

/// The key at a place of a text, outermost table first; the innermost that is known.
pub(super) fn key_at(text: &str, at: usize) -> Vec<String> {
    let Ok(document) = Document::parse(text) else { return Vec::new() };
    let mut found = Vec::new();
    search(document.as_table(), at, &mut Vec::new(), &mut found);
    found
}

fn search(table: &dyn TableLike, at: usize, path: &mut Vec<String>, found: &mut Vec<String>) {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        let holds = |span: Option<Range<usize>>| span.is_some_and(|s| s.contains(&at));
        let key = table.get_key_value(name).and_then(|(key, _)| key.span());
        if (holds(key) || holds(item.span())) && path.len() > found.len() {
            found.clone_from(path);
        }
        if let Some(inner) = item.as_table_like() {
            search(inner, at, path, found);
        }
        path.pop();
    }
}

/// A longer key, where the message begins with one or names a field or a word, and the settings have it.
fn refine(document: &DocumentMut, mut key: Vec<String>, message: &str) -> Vec<String> {
    let words = if key.is_empty() {
        let leading = |text: &str| -> Vec<String> {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
            text[..end.unwrap_or(text.len())].split('.').map(str::to_owned).collect()
        };
        let (first, rest) = message.split_once(": ").unwrap_or((message, ""));
        let quoted = rest.split('`').nth(1).map(str::to_owned);
        leading(first).into_iter().chain(leading(rest)).chain(quoted).collect()
    } else {
        message.split('`').nth(1).map(str::to_owned).into_iter().collect::<Vec<_>>()
    };
    for word in words {
        key.push(word);
        if item_at(document.as_item(), &key).is_none() {
            key.pop();
        }
    }
    // A word that is none of those allowed is told without its key where the table says which key it has.
    let unknown = message.split_once("unknown variant `").and_then(|(_, rest)| rest.split('`').next());
    let table = item_at(document.as_item(), &key).and_then(Item::as_table_like);
    if let (Some(word), Some(table)) = (unknown, table)
        && let Some((name, _)) = table.iter().find(|(_, item)| item.as_str() == Some(word))
    {
        key.push(name.to_owned());
    }
    key
}

fn item_at<'a>(mut item: &'a Item, key: &[String]) -> Option<&'a Item> {
    for name in key {
        item = item.as_table_like()?.get(name)?;
    }
    Some(item)
}

/// Where a file states a key, or the innermost of its tables that stands there.
pub(super) fn line_in(path: &Path, key: &[String]) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let document = Document::parse(text.as_str()).ok()?;
    let mut table: &dyn TableLike = document.as_table();
    let mut at = None;
    for name in key {
        let Some((key, item)) = table.get_key_value(name) else { break };
        at = key.span().or(item.span()).or(at);
        match item.as_table_like() {
            Some(inner) => table = inner,
            None => break,
        }
    }
    at.map(|span| line_of(path, &text, span.start))
}
