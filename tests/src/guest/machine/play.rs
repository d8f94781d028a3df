//! Telling each step of the scenario as it comes out.

use anyhow::Result;

use super::system;
use crate::guest::{Line, tell};

/// Lines of the daemon's journal that are told beside a step that failed.
const JOURNAL_LINES: usize = 25;
/// What its lines have that the connections of the scenario cause.
const DENIAL: &str = " denied: ";

/// Plays one step: its figures when it went well, its error and the daemon's last words when not.
pub(super) fn step(name: &str, work: impl FnOnce() -> Result<String>) {
    match work() {
        Ok(figures) => tell(&Line::Step(true, name, &on_one_line(&figures))),
        Err(error) => {
            tell(&Line::Step(false, name, &on_one_line(&format!("{error:#}"))));
            let journal = system::journal("short-monotonic").unwrap_or_default();
            let lines: Vec<&str> = journal.lines().filter(|line| !line.contains(DENIAL)).collect();
            for line in &lines[lines.len().saturating_sub(JOURNAL_LINES)..] {
                tell(&Line::Note(line));
            }
        }
    }
}

fn on_one_line(text: &str) -> String {
    text.split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" / ")
}
