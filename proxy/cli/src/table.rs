//! Tables on a terminal.

use comfy_table::{CellAlignment, presets};
use jiff::Timestamp;
use llm_contract::plain;
use std::fmt;

/// Rows of text in aligned columns. Control characters in cells are replaced.
pub struct Table(comfy_table::Table);

impl Table {
    /// Columns without lines; an empty `header` is left out.
    pub fn new(header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if !header.is_empty() {
            table.set_header(header);
        }
        Self(table)
    }

    /// Columns of names, then of right-aligned numbers, with lines between the rows.
    pub fn of_numbers(names: &[&str], numbers: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(names.iter().chain(numbers));
        for column in table.column_iter_mut().skip(names.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self(table)
    }

    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.add_row(cells.into_iter().map(|cell| plain(cell.as_ref())));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time to the minute, in UTC.
pub fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A time to the minute in UTC, or `none`.
pub fn time_or(none: &str, at: Option<Timestamp>) -> String {
    at.map_or_else(|| none.to_owned(), time)
}

/// How long ago something was, in the largest unit that keeps two digits of it.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    // Another machine's clock may be a little ahead of ours.
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / MINUTE),
        7_200..172_800 => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_largest_unit_that_says_enough() {
        let now: Timestamp = "2030-01-31T00:00:00Z".parse().unwrap();
        for (then, shown) in [
            ("2030-01-31T00:00:05Z", "0s"),
            ("2030-01-30T23:58:30Z", "90s"),
            ("2030-01-30T23:00:00Z", "60m"),
            ("2030-01-29T12:00:00Z", "36h"),
            ("2030-01-01T00:00:00Z", "30d"),
        ] {
            assert_eq!(age(then.parse().unwrap(), now), shown);
        }
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new(&[]);
        table.add_row(["a\u{1b}[2J"]);
        assert!(!table.to_string().contains('\u{1b}'));
    }
}
