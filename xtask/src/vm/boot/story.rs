//! What the machine tells of the scenario on its console, boot after boot, and the table of it.

use std::fmt::Write as _;

use crate::vm::console::{LAST_LINES, MARK};

/// What the scenario asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// Another boot, once the machine has turned itself off.
    Reboot,
    /// No more power, and another boot.
    Cut,
    /// Nothing: it has come to its end.
    Nothing,
}

/// A step of the scenario.
#[derive(Debug)]
struct Step {
    boot: u32,
    passed: bool,
    name: String,
    /// Figures, or what went wrong.
    words: String,
}

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Story {
    boot: u32,
    wish: Option<Wish>,
    steps: Vec<Step>,
    /// What is worth knowing beside them.
    notes: Vec<String>,
    /// The last lines of this boot's console.
    last: Vec<String>,
}

impl Story {
    /// Another boot begins.
    pub(super) fn begin(&mut self, boot: u32) {
        self.boot = boot;
        self.wish = None;
        self.last.clear();
    }

    /// Reads one line of the console.
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        // The kernel may have begun a line before.
        let Some((_, words)) = line.split_once(MARK) else {
            self.last.push(line.to_owned());
            if self.last.len() > LAST_LINES {
                self.last.remove(0);
            }
            return;
        };
        let (key, rest) = words.split_once(' ').unwrap_or((words, ""));
        match key {
            "passed" => self.step(true, rest),
            "missed" => self.step(false, rest),
            "note" => self.notes.push(rest.to_owned()),
            "next" => self.wish = Some(Wish::Reboot),
            "cut" => self.wish = Some(Wish::Cut),
            "end" => self.wish = Some(Wish::Nothing),
            "failed" => self.step(false, &format!("the machine: {rest}")),
            _ => self.step(false, &format!("the console: an unknown line: {line}")),
        }
    }

    fn step(&mut self, passed: bool, words: &str) {
        let (name, words) = words.split_once(": ").unwrap_or((words, ""));
        eprintln!("      {}  {name}", verdict(passed));
        self.steps.push(Step {
            boot: self.boot,
            passed,
            name: name.to_owned(),
            words: words.to_owned(),
        });
    }

    /// The boot is over; `late` when it had to be ended.
    pub(super) fn end(&mut self, late: bool) {
        if late {
            self.step(false, "the machine: it was ended, since its time was over");
        }
        if self.wish.is_none() {
            let words = format!(
                "the scenario: did not come to the end of boot {}; the last lines of its console:",
                self.boot
            );
            self.step(false, &words);
            let last = std::mem::take(&mut self.last);
            self.notes.extend(last);
        }
    }

    /// What was asked for last.
    pub(super) fn wish(&self) -> Option<Wish> {
        self.wish
    }

    /// How many steps did not go well.
    pub(super) fn missed(&self) -> usize {
        self.steps.iter().filter(|step| !step.passed).count()
    }

    /// The table and its notes.
    pub(super) fn table(&self) -> String {
        let width = self.steps.iter().map(|step| step.name.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut text = String::from("\n  boot\n");
        for step in &self.steps {
            let (boot, name, words) = (step.boot, &step.name, &step.words);
            let verdict = verdict(step.passed);
            // Writing into a string does not fail.
            let _written = writeln!(text, "  {boot:<4}  {verdict}  {name:<width$}  {words}");
        }
        for note in &self.notes {
            let _written = writeln!(text, "  note: {note}");
        }
        text
    }
}

fn verdict(passed: bool) -> &'static str {
    if passed { "passed" } else { "MISSED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_over_its_boots() {
        let mut story = Story::default();
        story.begin(1);
        story.read("@vm passed install: 2 s\r");
        story.read("[    1.0] words of the kernel");
        story.read("@vm cut\r");
        assert_eq!(story.wish(), Some(Wish::Cut));
        story.end(false);
        story.begin(2);
        assert_eq!(story.wish(), None);
        story.read("half a line @vm missed state: it is gone");
        story.read("@vm note what the daemon said");
        story.read("@vm end");
        story.end(false);
        assert_eq!((story.missed(), story.wish()), (1, Some(Wish::Nothing)));
        assert_eq!(
            story.table(),
            "\n  boot\n  1     passed  install  2 s\n  2     MISSED  state    it is gone\n  note: what the daemon said\n"
        );
    }

    #[test]
    fn a_boot_without_an_end_is_a_miss_and_shows_its_last_lines() {
        let mut story = Story::default();
        story.begin(1);
        story.read("Kernel panic - not syncing");
        story.end(true);
        assert_eq!((story.missed(), story.wish()), (2, None));
        assert!(story.table().contains("note: Kernel panic"), "{}", story.table());
    }

    #[test]
    fn an_unknown_line_is_a_miss() {
        let mut story = Story::default();
        story.begin(1);
        story.read("@vm sung a song");
        assert_eq!(story.missed(), 1);
    }
}
