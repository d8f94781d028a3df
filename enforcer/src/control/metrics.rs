//! What a view says, as metrics in the text format of OpenMetrics 1.0. Pure: clocks and the use of the machine are given.
//!
//! A label has the values of a closed list, or those of a list that has a limit here: whatever a configuration names and
//! whoever is denied, the number of series is bounded.

mod text;
pub mod usage;

use prometheus_client::registry::Unit;

use super::history::Moment;
use super::model::{Freshness, Status, WarningKind};
use super::status::Now;
use super::view::View;
use crate::config::Mode;
use crate::control::model::State;
use text::{Family, Page};
use usage::Usage;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names with a series of their own: the first ones of the configuration, so that series do not come and go. A host that
/// names more is watched by the sums, and looked at with `enforcer status`.
pub const NAMES_MAX: usize = 100;
/// Name servers with a series of their own.
pub const SERVERS_MAX: usize = 16;

/// The metrics of `view`, of which `status` is the document.
#[must_use]
pub fn page(view: &View, status: &Status, now: Now, usage: Usage) -> String {
    let mut page = Page::default();
    of_daemon(&mut page, view, status, now);
    of_policy(&mut page, view);
    of_names(&mut page, status);
    of_denials(&mut page, view, status);
    of_health(&mut page, status);
    of_reloads(&mut page, view);
    of_process(&mut page, usage);
    page.text()
}

fn of_daemon(page: &mut Page, view: &View, status: &Status, now: Now) {
    let mode = match view.policy.config.mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
    };
    // A gauge that is 1, and not of the type `info`: readers of the older text format know no such type.
    let info = Family::gauge(
        "info",
        "The daemon: its version, the mode of its policy, and its name on this host.",
    );
    page.add(info.with(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("mode", mode),
            ("instance_name", &view.instance),
        ],
        1_u64,
    ));
    let help = "Whether what no rule grants is dropped: 1, or 0 when nothing is, in audit mode as well.";
    page.add(Family::gauge("enforcing", help).one(u64::from(status.state == State::Enforcing)));
    let help = "When the daemon was started, in seconds since 1970-01-01.";
    page.add(
        Family::gauge("start_time", help)
            .in_unit(Unit::Seconds)
            .one(seconds(view.started)),
    );
    let help =
        "Seconds since the last sign of life of the daemon's run loop; 5 at the most while all is well.";
    let silence = status.daemon.last_sign_s.unwrap_or_default();
    page.add(
        Family::gauge("run_loop_silence", help)
            .in_unit(Unit::Seconds)
            .one(silence),
    );
    let help = "Seconds until enforcement ends unless somebody confirms it; 0 when it has. Absent when nothing has to be.";
    let left = view
        .findings
        .revert
        .map(|revert| revert.saturating_sub(now.boot).as_secs());
    page.add(
        Family::gauge("revert_remaining", help)
            .in_unit(Unit::Seconds)
            .maybe(left),
    );
}

fn of_policy(page: &mut Page, view: &View) {
    let help = "The generation of the policy in force, which counts up with every change.";
    page.add(Family::gauge("policy_generation", help).one(view.generation));
    let help = "When this generation came into force, in seconds since 1970-01-01. Absent when it is older than the daemon.";
    page.add(
        Family::gauge("policy_applied_timestamp", help)
            .in_unit(Unit::Seconds)
            .maybe(view.applied.map(seconds)),
    );
    let help = "Rules of the configuration in force.";
    page.add(Family::gauge("policy_rules", help).one(view.policy.config.rules.len() as u64));
    let help = "Server names and patterns that are granted.";
    page.add(Family::gauge("granted_names", help).one(view.policy.names.len() as u64));
    let v6 = view.metered.spans_v6 as u64;
    let v4 = (view.spans as u64).saturating_sub(v6);
    let help = "Spans of addresses that are granted, by family.";
    let grants = Family::gauge("grants", help);
    page.add(
        grants
            .with(&[("family", "ipv4")], v4)
            .with(&[("family", "ipv6")], v6),
    );
    let capacity = view.policy.config.enforce.capacity;
    let help = "Spans of addresses that the kernel's table has room for, by family.";
    page.add(
        Family::gauge("table_capacity", help)
            .with(&[("family", "ipv4")], u64::from(capacity.ipv4()))
            .with(&[("family", "ipv6")], u64::from(capacity.ipv6())),
    );
}

fn of_names(page: &mut Page, status: &Status) {
    let Some(names) = &status.names else { return };
    let help = "Names by how far their answers can be relied on: granted by a good answer (fresh), by an older one (stale), \
                or by none (unasked, failed).";
    let states = [
        ("fresh", Freshness::Fresh),
        ("stale", Freshness::Stale),
        ("unasked", Freshness::Unasked),
        ("failed", Freshness::Failed),
    ];
    let count = |state| names.list.iter().filter(|name| name.state == state).count() as u64;
    page.add(
        states
            .iter()
            .fold(Family::gauge("names", help), |family, (word, state)| {
                family.with(&[("state", word)], count(*state))
            }),
    );
    // The families of a name are asked for apart: the older of the two answers counts.
    let age = |name: &super::model::Name| name.a.age_s.max(name.aaaa.age_s);
    let help = "Seconds since the last good answer for the name whose last good answer is the oldest.";
    let oldest = names.list.iter().filter_map(age).max();
    page.add(
        Family::gauge("oldest_answer_age", help)
            .in_unit(Unit::Seconds)
            .maybe(oldest),
    );
    let help = "Seconds since the last good answer for a name, for the first 100 names of the configuration. Absent when \
                there was none.";
    let ages = names.list.iter().take(NAMES_MAX);
    page.add(ages.filter_map(|name| Some((name, age(name)?))).fold(
        Family::gauge("name_answer_age", help).in_unit(Unit::Seconds),
        |family, (name, age)| family.with(&[("name", &name.name)], age),
    ));
}

fn of_denials(page: &mut Page, view: &View, status: &Status) {
    let metered = &view.metered;
    let by_reason = |family: Family, value: &dyn Fn(crate::kernel::Count) -> u64| {
        metered.totals.iter().fold(family, |family, (reason, count)| {
            family.with(&[("reason", reason.name())], value(count))
        })
    };
    let help = "Denials by reason and verdict; audit is what would have been denied, and was let through. Counted by the \
                kernel, also while no daemon runs.";
    let denials = metered.totals.iter();
    page.add(
        denials.fold(Family::counter("denials", help), |family, (reason, count)| {
            let of = |verdict| [("reason", reason.name()), ("verdict", verdict)];
            family
                .with(&of("denied"), count.denied.saturating_sub(count.audit))
                .with(&of("audit"), count.audit)
        }),
    );
    let help =
        "Denials of which no event tells, since there were too many at once; they are among all denials.";
    page.add(by_reason(Family::counter("denials_suppressed", help), &|count| {
        count.suppressed
    }));
    let granted = metered.totals.granted();
    let help = "Granted connections to filtered ports. Counted by the kernel, also while no daemon runs.";
    page.add(Family::counter("granted_connections", help).one(granted.total));
    let help = "Granted connections of which no event tells, since there were too many at once.";
    page.add(Family::counter("granted_connections_suppressed", help).one(granted.suppressed));
    let help = "Denials that the daemon was told of, by verdict; audit is what would have been denied.";
    page.add(
        Family::counter("events", help)
            .with(&[("verdict", "denied")], metered.told.denied)
            .with(&[("verdict", "audit")], metered.told.audit),
    );
    let Some(kept) = status.daemon.history else { return };
    let help = "Entries about denials that the daemon's history holds.";
    page.add(Family::gauge("history_entries", help).one(kept.entries));
    let help = "Entries about denials that were replaced by newer ones.";
    page.add(Family::counter("history_forgotten", help).one(kept.forgotten));
}

fn of_health(page: &mut Page, status: &Status) {
    let hooks = || status.attached.iter().flat_map(|attached| &attached.hooks);
    let help = "Whether a hook judges: 1, or 0 when somebody has detached it. `egress` is the authority.";
    page.add(
        hooks().fold(Family::gauge("hook_attached", help), |family, hook| {
            family.with(&[("hook", &hook.name)], u64::from(hook.attached))
        }),
    );
    let help = "Whether a hook goes on judging when the daemon ends: 1, or 0.";
    page.add(hooks().fold(Family::gauge("hook_pinned", help), |family, hook| {
        family.with(&[("hook", &hook.name)], u64::from(hook.pinned))
    }));
    let help = "Whether a name server is asked in its turn: 1, or 0 when it failed where others answered, and is asked last.";
    page.add(
        status
            .resolver
            .iter()
            .take(SERVERS_MAX)
            .fold(Family::gauge("upstream_good", help), |family, upstream| {
                family.with(&[("server", &upstream.server)], u64::from(upstream.good))
            }),
    );
    let help = "Warnings of `enforcer status`, by what they are about.";
    let mut kinds: Vec<WarningKind> = WarningKind::ALL.to_vec();
    kinds.extend(status.warnings.iter().map(|warning| warning.kind));
    kinds.sort_unstable();
    kinds.dedup();
    page.add(
        kinds
            .iter()
            .fold(Family::gauge("warnings", help), |family, kind| {
                let count = status
                    .warnings
                    .iter()
                    .filter(|warning| warning.kind == *kind)
                    .count();
                family.with(&[("kind", &kind.word())], count as u64)
            }),
    );
}

fn of_reloads(page: &mut Page, view: &View) {
    let reloads = &view.metered.reloads;
    let help = "Reloads by outcome, those of files that the configuration refers to among them.";
    page.add(
        Family::counter("reloads", help)
            .with(&[("outcome", "applied")], reloads.applied)
            .with(&[("outcome", "refused")], reloads.refused),
    );
    let help = "Whether the last reload was applied, or the start when there was none: 1, or 0 when the configuration was \
                refused and an earlier one is in force.";
    page.add(Family::gauge("last_reload_successful", help).one(u64::from(view.refused.is_none())));
    let help = "When a configuration was last brought into force, by a start or a reload, in seconds since 1970-01-01.";
    page.add(
        Family::gauge("last_reload_success_timestamp", help)
            .in_unit(Unit::Seconds)
            .one(seconds(reloads.last.unwrap_or(view.started))),
    );
}

/// Under the prefix of all others: where the textfile collector of node_exporter shows them, `process_...` is its own.
fn of_process(page: &mut Page, usage: Usage) {
    let help = "Processor time that the daemon has used, in seconds.";
    page.add(
        Family::counter("process_cpu", help)
            .in_unit(Unit::Seconds)
            .one(usage.processor.as_secs_f64()),
    );
    let help = "Memory of the daemon that is resident, in bytes.";
    page.add(
        Family::gauge("process_resident_memory", help)
            .in_unit(Unit::Bytes)
            .maybe(usage.resident_bytes),
    );
}

/// Seconds since 1970-01-01, to the millisecond.
fn seconds(moment: Moment) -> f64 {
    std::time::Duration::from_millis(moment.wall.as_millisecond().try_into().unwrap_or_default())
        .as_secs_f64()
}

#[cfg(test)]
mod tests;
