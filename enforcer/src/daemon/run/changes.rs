//! What a reload has changed, line by line. Pure.

use std::collections::HashMap;
use std::fmt::Debug;

use crate::control::model::{ChangeKind, ChangeLine};
use crate::daemon::policy::Policy;
use crate::policy::plan::{Actual, Change, ChangedName, Reach};
use crate::resolve::Snapshot;

/// Every difference between two policies with their answers: settings, rules, addresses, server names.
pub(crate) fn between(
    old: &Policy,
    old_answers: &Snapshot,
    new: &Policy,
    answers: &Snapshot,
) -> Vec<ChangeLine> {
    let mut lines = settings(old, new);
    lines.extend(rules(old, new));
    let (Ok(before), Ok(after)) = (old.desired(old_answers), new.desired(answers)) else {
        // Both were in force, so that neither can fail.
        return lines;
    };
    let loaded = Actual::Loaded {
        generation: 0,
        mode: old.config.mode,
        granted: old.granted(&before),
    };
    let change = Change::between(new.granted(&after), loaded, new.config.mode);
    let spans = |kind, changed: &[crate::policy::plan::Changed]| -> Vec<ChangeLine> {
        let line = |changed: &crate::policy::plan::Changed| line(kind, &changed.span, &changed.source);
        changed.iter().map(line).collect()
    };
    lines.extend(spans(ChangeKind::Added, &change.additions));
    lines.extend(spans(ChangeKind::Removed, &change.removals));
    lines.extend(
        change
            .moves
            .iter()
            .map(|moved| line(ChangeKind::Moved, &moved.span, moved)),
    );
    let names = |kind, names: &[ChangedName]| -> Vec<ChangeLine> {
        let line = |name: &ChangedName| line(kind, &name.name, &reach(name.at));
        names.iter().map(line).collect()
    };
    lines.extend(names(ChangeKind::NameAdded, &change.names_added));
    lines.extend(names(ChangeKind::NameRemoved, &change.names_removed));
    lines
}

fn line(kind: ChangeKind, what: &impl ToString, whose: &(impl ToString + ?Sized)) -> ChangeLine {
    ChangeLine {
        kind,
        what: what.to_string(),
        whose: whose.to_string(),
    }
}

fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Policy => "a server name of the policy",
        Reach::Prefixes => "a server name at prefixes",
    }
}

fn settings(old: &Policy, new: &Policy) -> Vec<ChangeLine> {
    let (old, new) = (&old.config, &new.config);
    let words = |value: &dyn Debug| format!("{value:?}").to_lowercase();
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    let path = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => path.display().to_string(),
        None => "the root of cgroup v2".to_owned(),
    };
    let group = |group: &Option<String>| group.clone().unwrap_or_else(|| "root alone".to_owned());
    let (o, n) = (&old.enforce, &new.enforce);
    let pairs = [
        ("mode", words(&old.mode), words(&new.mode)),
        ("ports", ports(&o.ports), ports(&n.ports)),
        ("cgroup", path(&o.cgroup), path(&n.cgroup)),
        ("quic", words(&o.quic), words(&n.quic)),
        ("server_name", words(&o.server_names), words(&n.server_names)),
        ("existing", words(&o.existing), words(&n.existing)),
        ("tamper", words(&o.tamper), words(&n.tamper)),
        ("group", group(&old.control.group), group(&new.control.group)),
    ];
    pairs
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(what, old, new)| line(ChangeKind::Setting, &what, &format!("{old} -> {new}")))
        .collect()
}

fn rules(old: &Policy, new: &Policy) -> Vec<ChangeLine> {
    let titles = |policy: &Policy| -> Vec<(String, String)> {
        let title = |rule: &crate::config::Rule| {
            let place = format!("{}:{}", rule.place.file.display(), rule.place.line);
            (rule.kind.to_string(), place)
        };
        policy.config.rules.iter().map(title).collect()
    };
    let new = titles(new);
    // Where each title is in the new file, the last one first.
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, (title, _)) in new.iter().enumerate().rev() {
        places.entry(title).or_default().push(at);
    }
    let mut is_added = vec![true; new.len()];
    let mut removed = Vec::new();
    for (title, place) in titles(old) {
        match places.get_mut(title.as_str()).and_then(Vec::pop) {
            Some(at) => is_added[at] = false,
            None => removed.push((title, place)),
        }
    }
    let mut is_added = is_added.into_iter();
    let mut added = new;
    added.retain(|_| is_added.next() == Some(true));
    let lines = |kind, rules: Vec<(String, String)>| {
        let line = move |(title, place)| line(kind, &title, &place);
        rules.into_iter().map(line).collect::<Vec<_>>()
    };
    [
        lines(ChangeKind::RuleAdded, added),
        lines(ChangeKind::RuleRemoved, removed),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Policy::load_recorded(file.path()).1.unwrap().0
    }

    #[test]
    fn rules_settings_addresses_and_names_are_told() {
        let old = policy(
            "mode = \"audit\"\n[[allow]]\nprefix = \"192.0.2.0/24\"\n[[allow]]\nprefix = \"203.0.113.7/32\"\n[resolver]\n\
             servers = [\"127.0.0.1:9\"]\n",
        );
        let new = policy(
            "[[allow]]\nprefix = \"192.0.2.0/24\"\n[[allow]]\nprefix = \"198.51.100.0/24\"\nserver_name = [\"a.example.com\"]\n\
             [enforce]\nports = [443, 8443]\n[resolver]\nservers = [\"127.0.0.1:9\"]\n",
        );
        let nothing = Snapshot::default();
        let lines = between(&old, &nothing, &new, &nothing);
        let told: Vec<_> = lines.iter().map(|line| (line.kind, line.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (ChangeKind::Setting, "mode"),
                (ChangeKind::Setting, "ports"),
                (ChangeKind::RuleAdded, "allow a.example.com at 198.51.100.0/24"),
                (ChangeKind::RuleRemoved, "allow 203.0.113.7/32"),
                (ChangeKind::Added, "198.51.100.0/24"),
                (ChangeKind::Removed, "203.0.113.7"),
                (ChangeKind::NameAdded, "a.example.com"),
            ]
        );
        assert_eq!(lines[0].whose, "audit -> enforce");
        assert!(between(&new, &nothing, &new, &nothing).is_empty());
    }
}
