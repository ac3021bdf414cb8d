//! `llm-gateway usage`: what was used, as a table.

use super::{Failure, keys, keys::Output};
use crate::{
    cli::{By, UsageArgs},
    ledger::{self, Damaged},
};
use comfy_table::{CellAlignment, Table, presets};
use jiff::{Timestamp, tz::TimeZone};
use llm_proxy::stage::record::UsageEvent;
use std::collections::BTreeMap;

/// What was used by one row of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    requests: u64,
    input: u64,
    cached: u64,
    output: u64,
    estimated: u64,
}

/// Sums the ledger up and prints it.
///
/// # Errors
/// [`Failure`].
pub fn run(args: UsageArgs, now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    let UsageArgs { data, since, by } = args;
    let since = since.before(now).map_err(Failure::Since)?;
    let folder = keys::data_dir(data)?;
    keys::refuse_missing(&folder)?;
    let mut sums = BTreeMap::<Vec<String>, Sum>::new();
    let Damaged { lines, first } = ledger::read(&folder, |event| {
        if since <= event.time {
            sums.entry(row(&event, by)).or_default().add(&event);
        }
    })?;
    writeln!(to.out, "{}", table(&sums, by))?;
    for place in &first {
        writeln!(to.notes, "{place}: damaged, and not counted")?;
    }
    match lines.saturating_sub(first.len() as u64) {
        0 => {}
        more => writeln!(to.notes, "and {more} more damaged lines")?,
    }
    Ok(())
}

fn row(event: &UsageEvent, by: By) -> Vec<String> {
    let key = || event.key.clone().unwrap_or_else(|| "(token)".to_owned());
    match by {
        By::KeyAndModel => vec![key(), event.owner.clone(), event.model.clone()],
        By::Key => vec![key(), event.owner.clone()],
        By::Model => vec![event.model.clone()],
        By::User => vec![event.owner.clone()],
        By::Day => vec![event.time.to_zoned(TimeZone::UTC).date().to_string()],
    }
}

fn titles(by: By) -> &'static [&'static str] {
    match by {
        By::KeyAndModel => &["Key", "User", "Model"],
        By::Key => &["Key", "User"],
        By::Model => &["Model"],
        By::User => &["User"],
        By::Day => &["Day (UTC)"],
    }
}

impl Sum {
    fn add(&mut self, event: &UsageEvent) {
        self.requests += 1;
        self.input = self.input.saturating_add(event.input_tokens);
        self.cached = self.cached.saturating_add(event.cached_tokens);
        self.output = self.output.saturating_add(event.output_tokens);
        self.estimated += u64::from(event.estimated);
    }

    fn merge(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.estimated += other.estimated;
        self
    }

    fn cells(&self) -> [String; 5] {
        [self.requests, self.input, self.cached, self.output, self.estimated].map(grouped)
    }
}

fn table(sums: &BTreeMap<Vec<String>, Sum>, by: By) -> Table {
    const NUMBERS: [&str; 5] = ["Requests", "Input", "Cached", "Output", "Estimated"];
    let titles = titles(by);
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(titles.iter().chain(&NUMBERS));
    for (row, sum) in sums {
        table.add_row(row.iter().cloned().chain(sum.cells()));
    }
    if sums.len() != 1 {
        let total = sums.values().fold(Sum::default(), Sum::merge);
        let label = std::iter::once("Total").chain(titles.iter().skip(1).map(|_| ""));
        table.add_row(label.map(str::to_owned).chain(total.cells()));
    }
    for column in table.column_iter_mut().skip(titles.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(model: &str) -> UsageEvent {
        UsageEvent {
            id: "1".into(),
            request: "req-1".into(),
            time: "2026-11-01T12:00:00Z".parse().unwrap(),
            key: Some("abcdefgh2345".into()),
            owner: "alice".into(),
            model: model.into(),
            upstream: "served".into(),
            operation: "chat".into(),
            status: 200,
            input_tokens: 10,
            output_tokens: 5,
            cached_tokens: 4,
            estimated: false,
            duration_ms: 20,
            first_byte_ms: Some(3),
        }
    }

    #[test]
    fn tokens_are_summed_by_key_and_model() {
        let mut sums = BTreeMap::<Vec<String>, Sum>::new();
        for event in [event("a"), event("a"), event("b")] {
            sums.entry(row(&event, By::KeyAndModel)).or_default().add(&event);
        }
        let text = table(&sums, By::KeyAndModel).to_string();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.starts_with(['─', '═']))
            .collect();
        assert_eq!(
            lines,
            [
                "Key User Model Requests Input Cached Output Estimated",
                "abcdefgh2345 alice a 2 20 8 10 0",
                "abcdefgh2345 alice b 1 10 4 5 0",
                "Total 3 30 12 15 0",
            ]
        );
    }

    #[test]
    fn large_numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
