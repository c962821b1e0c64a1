//! A CSV table with a header, as data sets carry them.

use crate::DatasetError;
use std::path::Path;

/// What editors of some systems put before the text of a file in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A table in memory; all cells trimmed.
pub(crate) struct Table {
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    cells: &'a [String],
    /// Line in the file, from 1, the header being line 1.
    line: usize,
}

impl Table {
    /// Reads the table `name` below `root`, which must have the columns `required`.
    pub(crate) fn read(root: &Path, name: &'static str, required: &[&str]) -> Result<Self, DatasetError> {
        let bytes =
            std::fs::read(root.join(name)).map_err(|e| DatasetError::Io("a table of the data set", e))?;
        let table = |line, message| DatasetError::Table { table: name, line, message };
        let text = utf8(&bytes).map_err(|(line, message)| table(line, message.to_owned()))?;
        let mut reader = reader(text);
        let bad = |e: csv::Error| {
            let line = e.position().map(|p| p.line() as usize);
            table(line, "the row does not have one cell for each column".to_owned())
        };
        let columns = columns(&mut reader).map_err(bad)?;
        for column in required {
            if !columns.iter().any(|c| c == column) {
                let found = columns.join(", ");
                return Err(table(
                    Some(1),
                    format!("found the columns {found}; right would be one called {column} too"),
                ));
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(record.map_err(bad)?.iter().map(str::to_owned).collect());
        }
        if rows.is_empty() {
            return Err(table(None, "found no row below the header, right would be one per case".to_owned()));
        }
        Ok(Self { name, columns, rows })
    }

    /// All rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().enumerate().map(|(i, cells)| Row { table: self, cells, line: i + 2 })
    }
}

/// The names of the columns of a file as far as they can be read, whatever its encoding and its rows: they tell of which
/// layout a table is meant to be. No name where there is no such file.
pub(crate) fn header(root: &Path, name: &str) -> Vec<String> {
    let Ok(mut bytes) = std::fs::read(root.join(name)) else { return Vec::new() };
    // Half of each plain letter of UTF-16.
    bytes.retain(|b| *b != 0);
    let text = String::from_utf8_lossy(&bytes);
    columns(&mut reader(text.trim_start_matches(char::REPLACEMENT_CHARACTER))).unwrap_or_default()
}

/// The text of a file in UTF-8, or what it is instead, with the first line that is not.
fn utf8(bytes: &[u8]) -> Result<&str, (Option<usize>, &'static str)> {
    let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    // Text holds no byte of 0, but the half of each plain letter in UTF-16 is one.
    if marked || bytes.contains(&0) {
        return Err((None, "the encoding is UTF-16, not UTF-8; right would be the table saved as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count();
        (Some(line), "the encoding is not UTF-8 but another one, such as Latin-1; right would be the table saved as UTF-8")
    })
}

/// Spreadsheets begin their files with a mark of the byte order, and those of some languages write semicolons.
fn reader(text: &str) -> csv::Reader<&[u8]> {
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let header = text.lines().next().unwrap_or("");
    let delimiter = if header.contains(';') && !header.contains(',') { b';' } else { b',' };
    csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// The names of the columns in small letters.
fn columns(reader: &mut csv::Reader<&[u8]>) -> Result<Vec<String>, csv::Error> {
    Ok(reader.headers()?.iter().map(|c| c.to_ascii_lowercase()).collect())
}

impl<'a> Row<'a> {
    /// A cell; `None` where the column is missing or the cell empty.
    pub(crate) fn get(&self, column: &str) -> Option<&'a str> {
        let i = self.table.columns.iter().position(|c| c == column)?;
        Some(self.cells[i].as_str()).filter(|c| !c.is_empty())
    }

    /// A cell that must not be empty.
    pub(crate) fn need(&self, column: &str) -> Result<&'a str, DatasetError> {
        self.get(column).ok_or_else(|| self.bad(format!("the column {column} is empty")))
    }

    /// A whole number, where the cell is not empty.
    pub(crate) fn number(&self, column: &str) -> Result<Option<usize>, DatasetError> {
        let parse = |text: &str| {
            let whole = text.parse::<usize>().ok();
            // Spreadsheets write 1.0 for 1.
            let real = text.parse::<f64>().ok().filter(|v| v.fract() == 0.0 && (0.0..1e9).contains(v));
            whole.or(real.map(|v| v as usize)).ok_or_else(|| {
                self.bad(format!("the column {column} holds no whole number; right would be 0, 1, 2 ..."))
            })
        };
        self.get(column).map(parse).transpose()
    }

    /// 0 or 1; `None` where the cell is empty: unknown, which is not 0.
    pub(crate) fn flag(&self, column: &str) -> Result<Option<bool>, DatasetError> {
        match self.number(column)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(n) => {
                Err(self
                    .bad(format!("the column {column} holds {n}; right would be 0, 1 or nothing (unknown)")))
            }
        }
    }

    /// An error about this row.
    pub(crate) fn bad(&self, message: String) -> DatasetError {
        DatasetError::Table { table: self.table.name, line: Some(self.line), message }
    }
}
