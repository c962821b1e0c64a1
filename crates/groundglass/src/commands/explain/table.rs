//! A CSV table as spreadsheets and other programs write it, and two of them joined by case.

use crate::summary::SUMMARY;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// Column that names the case in both tables.
pub(super) const CASE: &str = "case_id";
/// Ends of file names that some tables leave at their ids; the longer ones first.
const ENDINGS: [&str; 7] = [".nii.gz", ".nii", ".dcm", ".mha", ".nrrd", ".zip", ".gz"];
/// How a zip file begins, which a spreadsheet's own file is.
const ZIP: &[u8] = b"PK\x03\x04";

/// A table: names of columns, and rows with a value for each, all without spaces around them.
#[derive(Debug)]
pub(super) struct Table {
    /// The file that it was read from, or both files.
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table in UTF-8 whose columns are separated by commas.
    ///
    /// # Errors
    /// One sentence with the file's name where it is anything else.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let (columns, rows) =
            text(path).and_then(|text| parse(&text)).with_context(|| path.display().to_string())?;
        Ok(Self { name, columns, rows })
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    /// Adds the columns of another table to the rows of the same case; says how many rows found no partner.
    ///
    /// # Errors
    /// Where a case or a column stands twice, or no case stands in both tables.
    pub(super) fn join(mut self, other: &Self) -> Result<(Self, usize)> {
        let (mine, theirs) = (self.case_column()?, other.case_column()?);
        let mut by_case: BTreeMap<&str, &Vec<String>> = BTreeMap::new();
        for row in other.rows.iter().filter(|row| !row[theirs].is_empty()) {
            if by_case.insert(&row[theirs], row).is_some() {
                bail!("{}: there are two rows of the case `{}`; right would be one", other.name, row[theirs]);
            }
        }
        let taken: Vec<usize> = (0..other.columns.len()).filter(|&i| i != theirs).collect();
        if let Some(&twice) = taken.iter().find(|&&i| self.columns.contains(&other.columns[i])) {
            bail!(
                "both {} and {} have a column `{}`; right would be one of them",
                self.name,
                other.name,
                other.columns[twice]
            );
        }
        if !self.rows.iter().any(|row| by_case.contains_key(row[mine].as_str())) {
            let ids = |t: &Self, i: usize| -> Vec<String> {
                t.rows.iter().map(|row| row[i].clone()).filter(|id| !id.is_empty()).collect()
            };
            bail!(
                "no `{CASE}` of {} stands in {}: {}; right would be the same ids in both",
                self.name,
                other.name,
                differing(&ids(&self, mine), &ids(other, theirs))
            );
        }
        let mut alone = 0;
        for row in &mut self.rows {
            let found = by_case.get(row[mine].as_str());
            alone += usize::from(found.is_none());
            row.extend(taken.iter().map(|&i| found.map_or(String::new(), |r| r[i].clone())));
        }
        self.columns.extend(taken.iter().map(|&i| other.columns[i].clone()));
        self.name = format!("{} with {}", self.name, other.name);
        Ok((self, alone))
    }

    fn case_column(&self) -> Result<usize> {
        self.column(CASE).with_context(|| {
            format!(
                "{}: there is no column `{CASE}` to join by; there are {}",
                self.name,
                self.columns.join(", ")
            )
        })
    }
}

/// The text of a file in UTF-8.
fn text(path: &Path) -> Result<String> {
    if path.is_dir() {
        match path.join(SUMMARY).is_file() {
            true => bail!("found a folder, right would be a CSV table: take the file {SUMMARY} in it"),
            false => bail!("found a folder, right would be a CSV table, such as the {SUMMARY} of `analyze`"),
        }
    }
    let bytes = std::fs::read(path)?;
    if bytes.starts_with(ZIP) {
        bail!(
            "found a spreadsheet or another zip file, right would be a CSV table in UTF-8: save it as that"
        );
    }
    let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    // Text holds no byte of 0, but the half of each plain letter in UTF-16 is one.
    if marked || bytes.contains(&0) {
        bail!("the encoding is UTF-16, not UTF-8; right would be the table saved as UTF-8");
    }
    String::from_utf8(bytes).ok().context(
        "the encoding is not UTF-8 but another one, such as Latin-1; right would be the table saved as UTF-8",
    )
}

/// Columns and rows of a table.
fn parse(text: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    // Spreadsheets begin their files with a mark of the byte order, and some with a line that names the separator.
    let text = text.trim_start_matches('\u{feff}');
    let first = text.split(['\r', '\n']).next().unwrap_or_default();
    let (declared, body) = match declared_separator(first) {
        Some(separator) => (Some(separator), &text[first.len()..]),
        None => (None, text),
    };
    if let Some(separator) = declared.or_else(|| separator(body)).filter(|c| *c != ',') {
        let what = match separator {
            ';' => "semicolons".to_owned(),
            '\t' => "tabs".to_owned(),
            other => format!("`{other}`"),
        };
        bail!("found columns separated by {what}, right would be commas between them and points in numbers");
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body.as_bytes());
    let trimmed = |record: &csv::StringRecord| record.iter().map(|v| v.trim().to_owned()).collect();
    let columns: Vec<String> = trimmed(reader.headers()?);
    if let Some(twice) = columns.iter().enumerate().find(|(i, c)| columns[..*i].contains(c)) {
        bail!("the column `{}` stands twice; right would be once", twice.1);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for record in reader.records() {
        let record = record?;
        if record.len() != columns.len() {
            bail!(
                "line {} holds {} values, the first line names {} columns; right would be one value for each, with points in \
                 numbers and quotes around texts that hold commas",
                record.position().map_or(0, csv::Position::line),
                record.len(),
                columns.len()
            );
        }
        rows.push(trimmed(&record));
    }
    if rows.is_empty() {
        bail!("the table has no rows");
    }
    Ok((columns, rows))
}

/// The separator that a first line such as `sep=;` names.
fn declared_separator(line: &str) -> Option<char> {
    let line = line.trim_start_matches('"');
    let word = line.get(..4).filter(|word| word.eq_ignore_ascii_case("sep="))?;
    line[word.len()..].chars().next()
}

/// What stands first between two names of columns: a comma, a semicolon or a tab, outside of quotes.
fn separator(text: &str) -> Option<char> {
    let mut quoted = false;
    text.trim_start_matches(['\r', '\n'])
        .chars()
        .filter(|c| {
            quoted ^= *c == '"';
            !quoted
        })
        .take_while(|c| !matches!(c, '\r' | '\n'))
        .find(|c| matches!(c, ',' | ';' | '\t'))
}

/// One id of each of two tables that share none, and what sets the two apart where that is little.
fn differing(ours: &[String], theirs: &[String]) -> String {
    let plain = |id: &str| parts(id).0.to_lowercase();
    let by_plain: BTreeMap<String, &String> = theirs.iter().rev().map(|id| (plain(id), id)).collect();
    let near = ours.iter().find_map(|id| by_plain.get(&plain(id)).map(|other| (id, *other)));
    let Some((one, other)) = near else {
        let first = |ids: &[String]| ids.first().map_or("no id".to_owned(), |id| format!("`{id}`"));
        return format!("the one has {}, the other {}", first(ours), first(theirs));
    };
    let ((body, end), (other_body, other_end)) = (parts(one), parts(other));
    let ending = !end.eq_ignore_ascii_case(other_end);
    let what = match (body != other_body || !ending, ending) {
        (true, true) => "in capitals and a file ending",
        (false, true) => "in a file ending",
        _ => "in capitals",
    };
    format!("the one has `{one}`, the other `{other}`, which differ only {what}")
}

/// An id without the ending of a file's name, and the ending.
fn parts(id: &str) -> (&str, &str) {
    let ends = |ending: &&str| {
        let at = id.len().checked_sub(ending.len()).filter(|at| *at > 0)?;
        id.get(at..).filter(|end| end.eq_ignore_ascii_case(ending)).map(|_| id.split_at(at))
    };
    ENDINGS.iter().find_map(ends).unwrap_or((id, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::sentence;

    /// The sentence about a file of these bytes called `t.csv`.
    fn refusal(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, bytes).unwrap();
        let sentence = sentence(&Table::read(&path).unwrap_err());
        sentence.split_once("t.csv: ").unwrap().1.to_owned()
    }

    fn table(name: &str, text: &str) -> Table {
        let (columns, rows) = parse(text).unwrap();
        Table { name: name.to_owned(), columns, rows }
    }

    #[test]
    fn a_table_of_other_separators_is_refused_for_them() {
        for (text, what) in [
            ("case_id;died;age\na;1;3,5\n", "semicolons"),
            ("case_id;died\na;1,5\nb;2\nc;1,5,6\n", "semicolons"),
            ("case_id;dose, mg;died, yes or no\na;1,5;1\n", "semicolons"),
            ("sep=;\r\ncase_id;died\r\na;1,5\r\n", "semicolons"),
            ("\u{feff}\"SEP=;\"\ncase_id;died\na;1\n", "semicolons"),
            ("\n\"case_id\";\"died\"\n\"a\";1\n", "semicolons"),
            ("case_id\tdied\na\t1,5\nb\t1\n", "tabs"),
            ("sep=\t\ncase_id\tdied\na\t1\n", "tabs"),
            ("sep=|\ncase_id|died\na|1\n", "`|`"),
        ] {
            assert_eq!(
                refusal(text.as_bytes()),
                format!(
                    "found columns separated by {what}, right would be commas between them and points in numbers"
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn commas_are_taken_whatever_stands_in_names_and_texts() {
        for text in [
            "case_id,died; yes or no\na,1\n",
            "sep=,\r\ncase_id,died; yes or no\r\na,1\r\n",
            "\"case_id\",\"died; yes or no\"\n\"a\",\"1\"\n",
        ] {
            let read = table("t.csv", text);
            assert_eq!(read.columns, ["case_id", "died; yes or no"]);
            assert_eq!(read.rows, [["a", "1"]]);
        }
        assert_eq!(table("t.csv", "\"a;b\",c\n1,\"x;y\"\n").columns, ["a;b", "c"]);
    }

    #[test]
    fn rows_of_another_length_and_empty_tables_are_one_sentence() {
        let found = refusal(b"sep=,\ncase_id,age\na,3\nb,3,5\n");
        assert!(found.starts_with("line 4 holds 3 values, the first line names 2 columns"), "{found}");
        for empty in ["", "case_id,died\n", "sep=,\n"] {
            assert_eq!(refusal(empty.as_bytes()), "the table has no rows");
        }
        assert!(refusal(b"a,b,a\n1,2,3\n").contains("`a` stands twice"));
    }

    #[test]
    fn other_encodings_and_spreadsheets_are_named() {
        let text = "case_id,died\nM\u{fc}ller,1\n";
        let units = |of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect::<Vec<u8>>();
        for bytes in [
            [vec![0xff, 0xfe], units(u16::to_le_bytes)].concat(),
            [vec![0xfe, 0xff], units(u16::to_be_bytes)].concat(),
            units(u16::to_le_bytes),
        ] {
            assert_eq!(
                refusal(&bytes),
                "the encoding is UTF-16, not UTF-8; right would be the table saved as UTF-8"
            );
        }
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let found = refusal(&latin);
        assert!(found.contains("not UTF-8") && found.contains("Latin-1"), "{found}");
        assert!(refusal(b"PK\x03\x04\x14\x00").starts_with("found a spreadsheet"));
    }

    #[test]
    fn a_folder_is_refused_and_its_summary_named() {
        let dir = tempfile::tempdir().unwrap();
        let told = || sentence(&Table::read(dir.path()).unwrap_err());
        assert!(told().ends_with("right would be a CSV table, such as the summary.csv of `analyze`"));
        std::fs::write(dir.path().join(SUMMARY), "case_id\n").unwrap();
        assert!(
            told().ends_with("found a folder, right would be a CSV table: take the file summary.csv in it")
        );
    }

    #[test]
    fn tables_without_a_common_case_are_refused_with_one_id_of_each() {
        for (ours, theirs, words) in [
            ("x\nCT-1", "ct-2\nct-1", "the one has `CT-1`, the other `ct-1`, which differ only in capitals;"),
            ("a", "a.NII.gz", "`a`, the other `a.NII.gz`, which differ only in a file ending;"),
            (
                "a.nii",
                "A.dcm",
                "`a.nii`, the other `A.dcm`, which differ only in capitals and a file ending;",
            ),
            ("a.nii", "a.NII", "differ only in capitals;"),
            ("a.nii\nb", "p1\np2", "the one has `a.nii`, the other `p1`; right would be the same ids"),
            (".nii", ".gz", "the one has `.nii`, the other `.gz`; right"),
        ] {
            let first = table("one.csv", &format!("case_id,age\n{}\n", ours.replace('\n', ",1\n") + ",1"));
            let second =
                table("two.csv", &format!("case_id,died\n{}\n", theirs.replace('\n', ",1\n") + ",1"));
            let error = first.join(&second).unwrap_err().to_string();
            assert!(error.starts_with("no `case_id` of one.csv stands in two.csv: "), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn spaces_around_ids_part_no_cases_and_rows_without_an_id_meet_nobody() {
        let first = table("one.csv", "case_id,age\n a ,1\n,2\n");
        let (joined, alone) = first.join(&table("two.csv", "case_id,died\n\" a\",1\n\"\",0\n,1\n")).unwrap();
        assert_eq!((joined.name.as_str(), alone), ("one.csv with two.csv", 1));
        assert_eq!(joined.rows, [["a", "1", "1"], ["", "2", ""]]);
        let none = table("one.csv", "case_id,age\n,1\n").join(&table("two.csv", "case_id,died\nb,1\n"));
        assert!(none.unwrap_err().to_string().contains("the one has no id, the other `b`"));
    }
}
