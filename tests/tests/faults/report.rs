//! A line of the report, and the report as a whole: for people and as JSON.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_lab::load::{Denied, Tally};
use serde_json::{Value, json};

/// What is known of a row.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    /// How often a daemon was killed, started in another's place, told to read its configuration.
    pub(crate) kills: u64,
    pub(crate) upgrades: u64,
    pub(crate) reloads: u64,
    /// Attempts at what nothing grants, by kind.
    pub(crate) sent: Vec<(String, Denied)>,
    /// What of it arrived, by kind.
    pub(crate) leaked: Vec<(&'static str, u64)>,
    /// What was granted and went well.
    pub(crate) granted: u64,
    pub(crate) wrongly_dropped: u64,
    pub(crate) slowest_ms: u64,
    pub(crate) took: Duration,
    /// Why the row does not hold.
    pub(crate) problem: Option<String>,
}

impl Line {
    /// Adds what came of a load.
    pub(crate) fn add(&mut self, tally: &Tally) {
        for (kind, denied) in &tally.counts.denied {
            match self.sent.iter_mut().find(|(known, _)| known == kind) {
                Some((_, sum)) => {
                    sum.sent += denied.sent;
                    sum.refused += denied.refused;
                    sum.passed += denied.passed;
                }
                None => self.sent.push((kind.clone(), *denied)),
            }
        }
        for &(kind, count) in &tally.leaked {
            match self.leaked.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, sum)) => *sum += count,
                None => self.leaked.push((kind, count)),
            }
        }
        self.granted += tally.counts.all_granted();
        self.wrongly_dropped += tally.counts.all_wrongly_dropped();
        self.slowest_ms = self.slowest_ms.max(tally.counts.slowest_ms);
    }

    fn all_sent(&self) -> u64 {
        self.sent.iter().map(|(_, denied)| denied.sent).sum()
    }

    fn all_leaked(&self) -> u64 {
        self.leaked.iter().map(|(_, count)| count).sum()
    }

    fn json(&self) -> Value {
        let sent = self
            .sent
            .iter()
            .map(|(kind, denied)| (kind.clone(), json!(denied)));
        let leaked = self
            .leaked
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), json!(count)));
        json!({
            "fault": self.key,
            "title": self.title,
            "holds": self.problem.is_none(),
            "problem": self.problem,
            "kills": self.kills,
            "upgrades": self.upgrades,
            "reloads": self.reloads,
            "sent": self.all_sent(),
            "sent_by_kind": Value::Object(sent.collect()),
            "leaked": self.all_leaked(),
            "leaked_by_kind": Value::Object(leaked.collect()),
            "granted": self.granted,
            "wrongly_dropped": self.wrongly_dropped,
            "slowest_exchange_ms": self.slowest_ms,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

/// The head of the table.
pub(crate) fn head() -> String {
    format!(
        "{:<10} {:<62} {:>6} {:>8} {:>7} {:>10} {:>7} {:>10} {:>7} {:>8} {:>7}",
        "fault",
        "",
        "kills",
        "upgrades",
        "reloads",
        "sent",
        "leaked",
        "granted",
        "wrongly",
        "slowest",
        "took"
    )
}

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{:<10} {:<62} {:>6} {:>8} {:>7} {:>10} {:>7} {:>10} {:>7} {:>5} ms {:>5.1} s  {}",
            self.key,
            self.title,
            self.kills,
            self.upgrades,
            self.reloads,
            self.all_sent(),
            self.all_leaked(),
            self.granted,
            self.wrongly_dropped,
            self.slowest_ms,
            self.took.as_secs_f64(),
            if self.problem.is_none() { "holds" } else { "FAILED" },
        )?;
        if let Some(problem) = &self.problem {
            for line in problem.lines().take(40) {
                write!(out, "\n           {line}")?;
            }
        }
        Ok(())
    }
}

/// Writes the report as JSON and says where.
pub(crate) fn write(seed: u64, lines: &[Line]) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // It lies in target/debug/deps.
    let target = own
        .ancestors()
        .nth(3)
        .context("this program is not in a folder of cargo's")?;
    let folder = target.join("soak");
    fs::create_dir_all(&folder)?;
    let lines: Vec<Value> = lines.iter().map(Line::json).collect();
    let report = json!({ "seed": seed, "faults": lines });
    let path = folder.join("report.json");
    fs::write(&path, format!("{report:#}\n"))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}
