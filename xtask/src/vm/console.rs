//! What a virtual machine says on its console: the lines of `tests/src/guest.rs` between the kernel's own.

/// What every line of the guest program begins with.
pub(super) const MARK: &str = "@vm ";
/// Lines of the console that are shown when a machine did not come to its end.
pub(super) const LAST_LINES: usize = 25;

/// What was found on one kernel.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Found {
    /// All programs were loaded.
    pub(super) loaded: bool,
    /// Programs, and the instructions that their verification took, where the kernel tells.
    pub(super) programs: Vec<(String, Option<u32>)>,
    /// Good ones, and all.
    pub(super) vectors: Option<(u32, u32)>,
    /// Good ones, and all.
    pub(super) lab: Option<(u32, u32)>,
    /// Lookups that saw whole policies while these changed, and the processors on which.
    pub(super) hammer: Option<(u64, u32)>,
    /// Milliseconds after which the clients of denied sessions knew, at most; `None` when none was ended.
    pub(super) ended_ms: Option<u64>,
    /// What went wrong.
    pub(super) failures: Vec<String>,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
    /// The guest program came to its end.
    pub(super) ended: bool,
    /// The kernel panicked.
    pub(super) panicked: bool,
    last: Vec<String>,
}

impl Found {
    /// Reads one line of the console.
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        // Another process may have begun a line before.
        let Some((_, words)) = line.split_once(MARK) else {
            self.panicked |= line.contains("Kernel panic");
            self.last.push(line.to_owned());
            if self.last.len() > LAST_LINES {
                self.last.remove(0);
            }
            return;
        };
        let (key, rest) = words.split_once(' ').unwrap_or((words, ""));
        match key {
            "loaded" => self.loaded = true,
            "program" => {
                let (name, count) = rest.split_once(' ').unwrap_or((rest, "-"));
                self.programs.push((name.to_owned(), count.parse().ok()));
            }
            "vectors" => self.vectors = ratio(rest),
            "lab" => self.lab = ratio(rest),
            "hammer" => self.hammer = hammer(rest),
            "ended" => self.ended_ms = rest.parse().ok(),
            "failed" => self.failures.push(rest.to_owned()),
            "note" => self.notes.push(rest.to_owned()),
            "end" => self.ended = true,
            _ => self.failures.push(format!("an unknown line: {line}")),
        }
    }

    /// Nothing is wrong, and everything was tried.
    pub(super) fn passed(&self) -> bool {
        let whole = |part: Option<(u32, u32)>| part.is_some_and(|(good, all)| good == all && all > 0);
        self.ended
            && !self.panicked
            && self.failures.is_empty()
            && self.loaded
            && whole(self.vectors)
            && whole(self.lab)
            && self.hammer.is_some_and(|(lookups, _)| lookups > 0)
            && self.ended_ms.is_some()
    }

    /// The last lines of the console that are not the guest program's.
    pub(super) fn last_lines(&self) -> &[String] {
        &self.last
    }
}

fn hammer(words: &str) -> Option<(u64, u32)> {
    let (lookups, processors) = words.split_once(' ')?;
    Some((lookups.parse().ok()?, processors.parse().ok()?))
}

fn ratio(words: &str) -> Option<(u32, u32)> {
    let (good, all) = words.split_once(' ')?;
    Some((good.parse().ok()?, all.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Found {
        let mut found = Found::default();
        lines.iter().for_each(|line| found.read(line));
        found
    }

    const GOOD: [&str; 8] = [
        "@vm loaded\r",
        "@vm program egress 1234",
        "[    1.0] veth: words of the kernel",
        "@vm vectors 3 3",
        "half a line @vm lab 2 2",
        "@vm hammer 80000 1",
        "@vm ended 31",
        "@vm end",
    ];

    #[test]
    fn a_machine_that_tells_of_everything_has_passed() {
        let found = read(&GOOD);
        assert!(found.passed(), "{found:?}");
        assert_eq!(found.programs, [("egress".to_owned(), Some(1234))]);
        assert_eq!(found.ended_ms, Some(31));
        assert_eq!((found.vectors, found.lab), (Some((3, 3)), Some((2, 2))));
        assert_eq!(found.last_lines(), ["[    1.0] veth: words of the kernel"]);
    }

    fn has_key(line: &str, key: &str) -> bool {
        line.contains(&format!("{key} ")) || line.trim_end() == key
    }

    #[test]
    fn whatever_is_missing_or_wrong_fails() {
        for missing in [
            "@vm loaded",
            "@vm vectors",
            "@vm lab",
            "@vm hammer",
            "@vm ended",
            "@vm end",
        ] {
            let lines: Vec<&str> = GOOD.into_iter().filter(|line| !has_key(line, missing)).collect();
            assert!(!read(&lines).passed(), "{missing}");
        }
        for wrong in [
            "@vm vectors 2 3",
            "@vm lab 0 0",
            "@vm failed words",
            "@vm what",
            "Kernel panic - not syncing: x",
        ] {
            let lines: Vec<&str> = GOOD.into_iter().chain([wrong]).collect();
            assert!(!read(&lines).passed(), "{wrong}");
        }
    }
}
