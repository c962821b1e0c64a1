//! A CSV table with a header, as data sets carry them.

use crate::DatasetError;
use std::path::Path;

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
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_start_matches('\u{feff}');
        let header = text.lines().next().unwrap_or("");
        // Spreadsheets of some languages write semicolons.
        let delimiter = if header.contains(';') && !header.contains(',') { b';' } else { b',' };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
        let bad = |e: csv::Error| {
            let line = e.position().map(|p| p.line() as usize);
            let message = "the row does not have one cell for each column".to_owned();
            DatasetError::Table { table: name, line, message }
        };
        let columns: Vec<String> =
            reader.headers().map_err(bad)?.iter().map(|c| c.to_ascii_lowercase()).collect();
        let table = |line, message| DatasetError::Table { table: name, line, message };
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

    /// Whether there is such a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c == column)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().enumerate().map(|(i, cells)| Row { table: self, cells, line: i + 2 })
    }
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
