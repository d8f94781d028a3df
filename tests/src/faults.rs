//! The fault table: what happens to an enforcer that nobody watches, a row each.
//!
//! `tests/tests/faults` has a test for each, `docs/operators.md` says what an operator sees of it and does.

/// A row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What it is called on the command line and in reports.
    pub key: &'static str,
    /// What happens, as the operator's page says it.
    pub title: &'static str,
}

/// All rows, in the order of the report.
pub const FAULTS: [Fault; 18] = [
    row("killed", "the daemon is killed at any instant"),
    row("stopped", "the service is stopped"),
    row("upgraded", "the same version is started again"),
    row("changed", "another version is started, with other programs"),
    row("resolver", "the resolver is dead, or answers with errors"),
    row("reload", "the configuration is garbage"),
    row("state", "the disk is full, or the state directory is read-only"),
    row("corrupt", "the saved state is damaged"),
    row("large", "the policy is larger than the kernel's tables"),
    row("clock", "the clock jumps ten years"),
    row("boot", "the machine boots without a network"),
    row("first-boot", "there is neither a network nor a saved answer"),
    row("pin", "a pin is removed"),
    row("link", "a program is detached"),
    row("second", "a second enforcer is started"),
    row("confirm", "the first enforcement is not confirmed"),
    row("kernel", "the kernel or the process lacks something"),
    row("detach", "enforcement is ended on purpose"),
];

const fn row(key: &'static str, title: &'static str) -> Fault {
    Fault { key, title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_page_has_every_row() {
        let page = include_str!("../../docs/operators.md");
        let rows: Vec<&str> = page
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| ")?.split(" | ").next()?.trim()))
            .collect();
        let mut at = 0;
        for fault in FAULTS {
            let found = rows.iter().position(|row| *row == fault.title);
            let found = found.unwrap_or_else(|| panic!("no row for `{}`", fault.title));
            assert!(found >= at, "`{}` is not in the order of the report", fault.title);
            at = found;
        }
    }
}
