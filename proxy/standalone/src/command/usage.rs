//! `llm-gateway usage`: totals of the ledger, as a table.

use super::data_dir;
use crate::{
    cli::{GroupBy, UsageArgs},
    error::CliError,
    ledger::{self, DamagedLines},
};
use jiff::{Timestamp, tz::TimeZone};
use llm_cli::{Streams, Table};
use llm_proxy::stage::record::UsageEvent;
use std::collections::BTreeMap;

/// One row of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    input: u64,
    cached: u64,
    output: u64,
    estimated: u64,
}

pub fn run(args: UsageArgs, now: Timestamp, to: &mut Streams<'_>) -> Result<(), CliError> {
    let UsageArgs { data, since, by } = args;
    let since = since.before(now).map_err(CliError::Since)?;
    let folder = data_dir::find_existing(data)?;
    let mut totals = BTreeMap::<Vec<String>, Totals>::new();
    let DamagedLines { count, first } = ledger::read(&folder, |event| {
        if since <= event.time {
            totals.entry(group(&event, by)).or_default().add(&event);
        }
    })?;
    writeln!(to.out, "{}", table(&totals, by))?;
    for line in &first {
        writeln!(to.notes, "{line}: damaged line, not counted")?;
    }
    match count.saturating_sub(first.len() as u64) {
        0 => {}
        more => writeln!(to.notes, "and {more} more damaged lines")?,
    }
    Ok(())
}

fn group(event: &UsageEvent, by: GroupBy) -> Vec<String> {
    let key = || event.key.clone().unwrap_or_else(|| "(token)".to_owned());
    match by {
        GroupBy::KeyAndModel => vec![key(), event.owner.clone(), event.model.clone()],
        GroupBy::Key => vec![key(), event.owner.clone()],
        GroupBy::Model => vec![event.model.clone()],
        GroupBy::User => vec![event.owner.clone()],
        GroupBy::Day => vec![event.time.to_zoned(TimeZone::UTC).date().to_string()],
    }
}

fn titles(by: GroupBy) -> &'static [&'static str] {
    match by {
        GroupBy::KeyAndModel => &["Key", "User", "Model"],
        GroupBy::Key => &["Key", "User"],
        GroupBy::Model => &["Model"],
        GroupBy::User => &["User"],
        GroupBy::Day => &["Day (UTC)"],
    }
}

impl Totals {
    fn add(&mut self, event: &UsageEvent) {
        *self = self.merge(&Self {
            requests: 1,
            input: event.input_tokens,
            cached: event.cached_tokens,
            output: event.output_tokens,
            estimated: event.estimated.into(),
        });
    }

    fn merge(self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            estimated: self.estimated + other.estimated,
        }
    }

    fn cells(&self) -> [String; 5] {
        [self.requests, self.input, self.cached, self.output, self.estimated].map(grouped)
    }
}

fn table(totals: &BTreeMap<Vec<String>, Totals>, by: GroupBy) -> Table {
    const NUMBERS: [&str; 5] = ["Requests", "Input", "Cached", "Output", "Estimated"];
    let titles = titles(by);
    let mut table = Table::of_numbers(titles, &NUMBERS);
    for (group, totals) in totals {
        table.add_row(group.iter().cloned().chain(totals.cells()));
    }
    if totals.len() != 1 {
        let total = totals.values().fold(Totals::default(), Totals::merge);
        let label = std::iter::once("Total").chain(titles.iter().skip(1).map(|_| ""));
        table.add_row(label.map(str::to_owned).chain(total.cells()));
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
        let mut sums = BTreeMap::<Vec<String>, Totals>::new();
        for event in [event("a"), event("a"), event("b")] {
            sums.entry(group(&event, GroupBy::KeyAndModel)).or_default().add(&event);
        }
        let text = table(&sums, GroupBy::KeyAndModel).to_string();
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
