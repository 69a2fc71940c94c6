//! Columns of text, aligned; numbers to the right.

use super::out::{Out, plain};

/// Cells are cut to this on a terminal, so that one long URL does not tear the table.
const CELL_CHARS_MAX: usize = 60;

pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    cut: bool,
}

impl Table {
    /// A column whose head begins with `#` holds numbers.
    pub(super) fn new(out: Out, head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), cut: out.is_terminal }
    }

    pub(super) fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        self.rows.push(cells.iter().map(|cell| self.cell(cell.as_ref())).collect());
    }

    fn cell(&self, text: &str) -> String {
        let text = plain(text);
        if !self.cut || text.chars().count() <= CELL_CHARS_MAX {
            return text;
        }
        let kept: String = text.chars().take(CELL_CHARS_MAX - 1).collect();
        format!("{kept}…")
    }

    pub(super) fn text(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|name| name.trim_start_matches('#').to_owned()).collect();
        let width = |column: usize| self.rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.head).map(|((cell, width), name)| {
                let blanks = " ".repeat(width - cell.chars().count());
                if name.starts_with('#') { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![line(&head)];
        lines.extend(self.rows.iter().map(line));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_strangers_typed_cannot_move_the_cursor() {
        let mut out = Out::new(false);
        out.is_terminal = true;
        let mut table = Table::new(out, &["CODE", "#CLICKS", "TITLE"]);
        table.row(&["a", "12", "evil\u{1b}[2Jtitle"]);
        table.row(&["longer", "3", &"x".repeat(100)]);
        let text = table.text();
        assert_eq!(text.lines().next(), Some("CODE    CLICKS  TITLE"));
        assert!(text.contains("a           12  evil\\u{1b}[2Jtitle"), "{text}");
        assert!(text.contains('…') && !text.contains('\u{1b}'), "{text}");
    }
}
