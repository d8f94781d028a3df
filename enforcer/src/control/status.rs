//! What a view says, as a document. Pure: `now` is given.

use std::time::{Duration, Instant};

use super::VERSION;
use super::history::Moment;
use super::model::{
    Attached, Counted, Daemon, DaemonState, Denials, Family, Freshness, GrantedConnections, Kept, Name,
    Names, PolicyStatus, State, Status, Upstream, Warning, WarningKind,
};
use super::view::{Findings, View};
use crate::config::{Existing, Mode, Quic, ServerNames};
use crate::elapsed::Elapsed;
use crate::kernel::{Counters, Damage, Settings};
use crate::resolve::{FamilyState, LastGood, NOT_ASKED_YET, NameSnapshot, Snapshot};

/// A run loop that gives no sign of life for so long does not run: it should every five seconds.
pub const SILENT_AFTER: Duration = Duration::from_secs(20);

/// Names that one warning lists.
const LISTED_MAX: usize = 5;

/// The clocks of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since boot without suspends, and the time of day.
    pub moment: Moment,
    /// The clock of answers.
    pub instant: Instant,
    /// Since boot (`CLOCK_BOOTTIME`), the clock of confirmations.
    pub boot: Duration,
}

impl Now {
    /// Reads them.
    #[must_use]
    pub fn read() -> Self {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self {
            moment: Moment::now(),
            instant: tokio::time::Instant::now().into_std(),
            boot: Duration::new(
                boot.tv_sec.try_into().unwrap_or_default(),
                boot.tv_nsec.try_into().unwrap_or_default(),
            ),
        }
    }
}

/// The document of `view`. `last_sign` is how long ago the run loop gave a sign of life.
#[must_use]
pub fn of(view: &View, kept: Kept, last_sign: Duration, now: Now) -> Status {
    let why = not_enforcing(&view.findings, &view.cgroup.display().to_string());
    let mode = view.policy.config.mode;
    let state = match (&why, mode) {
        (Some(_), _) => State::NotEnforcing,
        (None, Mode::Enforce) => State::Enforcing,
        (None, Mode::Audit) => State::Auditing,
    };
    Status {
        version: VERSION,
        instance: view.instance.clone(),
        state,
        why,
        daemon: Daemon {
            state: DaemonState::Running,
            pid: Some(view.pid),
            enforcer: Some(env!("CARGO_PKG_VERSION").to_owned()),
            started: Some(view.started.text()),
            uptime_s: Some(since(view.started, now)),
            last_sign_s: Some(last_sign.as_secs()),
            configuration: Some(view.file.clone()),
            history: Some(kept),
        },
        policy: Some(policy(view, now)),
        attached: Some(Attached {
            cgroup: Some(view.cgroup.display().to_string()),
            since: view.attached.map(Moment::text),
            since_s: view.attached.map(|attached| since_by_wall(attached, now)),
            hooks: view.hooks.clone(),
        }),
        names: Some(names(&view.answers, now.instant)),
        resolver: view
            .upstreams
            .iter()
            .map(|upstream| Upstream {
                server: upstream.label.clone(),
                good: upstream.aside.is_none(),
                aside_s: upstream.aside.map(|aside| aside.as_secs()),
            })
            .collect(),
        denials: Some(denials(&view.counters)),
        granted: Some(granted(&view.counters)),
        warnings: warnings(view, last_sign, now),
    }
}

/// Why nothing is dropped although the policy says so, or may not be.
fn not_enforcing(findings: &Findings, cgroup: &str) -> Option<String> {
    let detached: Vec<_> = findings
        .damages
        .iter()
        .filter(|damage| !matches!(damage, Damage::Pin(_)))
        .map(ToString::to_string)
        .collect();
    if findings.is_gone {
        Some(format!(
            "the cgroup {cgroup} was removed, and the programs with it"
        ))
    } else if findings.has_reverted {
        Some("nobody confirmed the enforcement in time: denials are only reported".to_owned())
    } else if !detached.is_empty() {
        Some(detached.join("; "))
    } else {
        findings.wrong.clone()
    }
}

fn policy(view: &View, now: Now) -> PolicyStatus {
    let config = &view.policy.config;
    let revert = view.findings.revert;
    PolicyStatus {
        ports: Some(config.enforce.ports.clone()),
        server_names: Some(
            match config.enforce.server_names {
                ServerNames::Require => "require",
                ServerNames::Off => "off",
            }
            .to_owned(),
        ),
        rules: Some(config.rules.len() as u64),
        spans: Some(view.spans as u64),
        granted_names: Some(view.policy.names.len() as u64),
        applied: view.applied.map(Moment::text),
        applied_s: view.applied.map(|applied| since(applied, now)),
        reverts_in_s: revert.map(|revert| revert.saturating_sub(now.boot).as_secs()),
        ..settings(view.policy.settings(), view.generation)
    }
}

/// What the kernel knows of a policy.
pub(super) fn settings(settings: Settings, generation: u64) -> PolicyStatus {
    PolicyStatus {
        mode: match settings.mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
        .to_owned(),
        quic: match settings.quic {
            Quic::Deny => "deny",
            Quic::Allow => "allow",
        }
        .to_owned(),
        existing: match settings.existing {
            Existing::Deny => "deny",
            Existing::Allow => "allow",
        }
        .to_owned(),
        generation,
        applied: None,
        applied_s: None,
        ports: None,
        server_names: None,
        rules: None,
        spans: None,
        granted_names: None,
        reverts_in_s: None,
    }
}

fn since(moment: Moment, now: Now) -> u64 {
    now.moment.monotonic.saturating_sub(moment.monotonic).as_secs()
}

/// For what happened before this boot's clock can tell, or in another process.
fn since_by_wall(moment: Moment, now: Now) -> u64 {
    let seconds = now.moment.wall.as_second() - moment.wall.as_second();
    u64::try_from(seconds).unwrap_or_default()
}

fn names(answers: &Snapshot, now: Instant) -> Names {
    let list: Vec<_> = answers.names.iter().map(|known| name(known, now)).collect();
    let count = |state| list.iter().filter(|name: &&Name| name.state == state).count() as u64;
    Names {
        fresh: count(Freshness::Fresh),
        stale: count(Freshness::Stale),
        failed: list.len() as u64 - count(Freshness::Fresh) - count(Freshness::Stale),
        list,
    }
}

fn name(known: &NameSnapshot, now: Instant) -> Name {
    let (a, aaaa) = (
        family(&known.v4, &known.good_v4, now),
        family(&known.v6, &known.good_v6, now),
    );
    let is_retired = |standing| matches!(standing, crate::resolve::Standing::Retired { .. });
    let either = |state| a.state == state || aaaa.state == state;
    let state = if known.addresses.is_empty() {
        if either(Freshness::Unasked) {
            Freshness::Unasked
        } else {
            Freshness::Failed
        }
    } else if either(Freshness::Stale) {
        Freshness::Stale
    } else {
        Freshness::Fresh
    };
    Name {
        name: known.name.to_string(),
        state,
        addresses: known.addresses.len() as u64,
        retired: known
            .addresses
            .iter()
            .filter(|address| is_retired(address.standing))
            .count() as u64,
        refused: known.refused.len() as u64,
        expires_s: known
            .addresses
            .iter()
            .filter(|address| address.is_current())
            .map(|address| address.ttl_left(now).as_secs())
            .min(),
        a,
        aaaa,
    }
}

fn family(state: &FamilyState, good: &LastGood, now: Instant) -> Family {
    let (freshness, error) = match state {
        FamilyState::Unasked => (Freshness::Unasked, None),
        FamilyState::Fresh => (Freshness::Fresh, None),
        FamilyState::Empty => (Freshness::Empty, None),
        FamilyState::Restored { .. } => (Freshness::Stale, Some(NOT_ASKED_YET.to_owned())),
        FamilyState::Stale { error, .. } => (Freshness::Stale, Some(error.clone())),
        FamilyState::Failed { error } => (Freshness::Failed, Some(error.clone())),
    };
    let answered = match state {
        FamilyState::Restored { answered } | FamilyState::Stale { answered, .. } => Some(answered),
        _ => good.answered.as_ref(),
    };
    let age = answered.map(|answered| answered.age(now));
    Family {
        state: freshness,
        age_s: age.map(|age| age.duration.as_secs()),
        age_is_at_least: age.is_some_and(|age| age.is_lower_bound),
        error,
    }
}

/// What was granted.
pub(super) fn granted(counters: &Counters) -> GrantedConnections {
    let granted = counters.granted();
    GrantedConnections {
        total: granted.total,
        suppressed: granted.suppressed,
    }
}

/// What was counted.
pub(super) fn denials(counters: &Counters) -> Denials {
    let mut by_reason: Vec<_> = counters
        .iter()
        .filter(|(_, count)| count.denied > 0)
        .map(|(reason, count)| Counted {
            reason: reason.name().to_owned(),
            explanation: reason.explain().to_owned(),
            hint: reason.hint().to_owned(),
            denied: count.denied,
            audit: count.audit,
            suppressed: count.suppressed,
        })
        .collect();
    by_reason.sort_by_key(|counted| std::cmp::Reverse(counted.denied));
    Denials {
        total: counters.denied(),
        audit: counters.audit(),
        suppressed: counters.suppressed(),
        by_reason,
    }
}

fn warnings(view: &View, last_sign: Duration, now: Now) -> Vec<Warning> {
    let mut warnings = of_health(view, last_sign, now);
    warnings.extend(of_policy(view));
    warnings.extend(of_names(&view.answers, now.instant));
    warnings.sort_by_key(|warning| warning.kind);
    warnings
}

fn of_health(view: &View, last_sign: Duration, now: Now) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind, text: String| warnings.push(Warning { kind, text });
    let findings = &view.findings;
    if findings.is_gone {
        warn(
            WarningKind::Detached,
            "the cgroup was removed; it is enforced on again once it is there again".to_owned(),
        );
    }
    for damage in &findings.damages {
        let kind = match damage {
            Damage::Pin(_) => WarningKind::Tampered,
            _ => WarningKind::Detached,
        };
        warn(
            kind,
            format!("{damage}; somebody with root's rights has done that"),
        );
    }
    if let Some(wrong) = &findings.wrong {
        warn(
            WarningKind::Misjudges,
            format!("{wrong}; restart the daemon, which loads the programs anew"),
        );
    }
    match findings.revert {
        Some(_) if findings.has_reverted => warn(
            WarningKind::Reverted,
            "nobody confirmed in time, nothing is dropped; `enforcer confirm` enforces again".to_owned(),
        ),
        Some(revert) => warn(
            WarningKind::Unconfirmed,
            format!(
                "only reports in {}, unless `enforcer confirm` comes before",
                Elapsed(revert.saturating_sub(now.boot))
            ),
        ),
        None => {}
    }
    if last_sign >= SILENT_AFTER {
        warn(
            WarningKind::RunLoopSilent,
            format!(
                "the daemon has given no sign of life for {}: what is in force stays, and grows old; what is shown here is \
                 of then",
                Elapsed(last_sign)
            ),
        );
    }
    if let Some(refused) = &view.refused {
        warn(
            WarningKind::ReloadRefused,
            format!(
                "the reload {} ago was refused, the policy from before is in force: {}",
                Elapsed(Duration::from_secs(since(refused.moment, now))),
                refused.why
            ),
        );
    }
    if findings.holds {
        warn(
            WarningKind::Held,
            "the policy that was found in the kernel stays in force until every name has an answer"
                .to_owned(),
        );
    }
    if findings.is_deaf {
        warn(
            WarningKind::EventsLost,
            "denials can not be read any more; they are enforced and counted all the same".to_owned(),
        );
    }
    if let Some(Err(why)) = &view.group {
        warn(WarningKind::Control, format!("only root may ask: {why}"));
    }
    if let Some(why) = &view.metered.port_trouble {
        warn(
            WarningKind::Control,
            format!("nobody can connect to the port of the metrics: {why}; it is tried again and again"),
        );
    }
    warnings
}

fn of_policy(view: &View) -> Vec<Warning> {
    let config = &view.policy.config;
    let mut warnings = Vec::new();
    let mut warn = |kind, text: &str| {
        warnings.push(Warning {
            kind,
            text: text.to_owned(),
        });
    };
    if config.mode == Mode::Audit {
        warn(
            WarningKind::Audit,
            "nothing is dropped: denials are only reported (`mode = \"audit\"`)",
        );
    }
    if config.enforce.server_names == ServerNames::Off {
        warn(
            WarningKind::ServerNamesOff,
            "server names are not looked at: whoever shares an address with what is granted is reached too",
        );
    }
    if config.enforce.quic == Quic::Allow {
        warn(
            WarningKind::UdpAllowed,
            "UDP is judged by its address alone (`quic = \"allow\"`): no server name is checked in it",
        );
    }
    if config.enforce.existing == Existing::Allow {
        warn(
            WarningKind::ExistingAllowed,
            "connections from before go on unchecked, as long as their address is granted (`existing = \"allow\"`)",
        );
    }
    for rule in &config.rules {
        if let Some(reason) = &rule.accepted_risk {
            let title = &rule.kind;
            warn(
                WarningKind::RiskAccepted,
                &format!(
                    "rule {}, {title}: exfiltration risk accepted: {reason}",
                    rule.id.0
                ),
            );
        }
    }
    for gap in view.policy.gaps() {
        warn(WarningKind::Caution, &gap);
    }
    warnings
}

fn of_names(answers: &Snapshot, now: Instant) -> Vec<Warning> {
    let names = names(answers, now);
    let listed = |state: &dyn Fn(Freshness) -> bool| {
        let names: Vec<_> = names.list.iter().filter(|name| state(name.state)).collect();
        let mut words: Vec<_> = names
            .iter()
            .take(LISTED_MAX)
            .map(|name| name.name.clone())
            .collect();
        if names.len() > LISTED_MAX {
            words.push(format!("and {} more", names.len() - LISTED_MAX));
        }
        words.join(", ")
    };
    let mut warnings = Vec::new();
    if names.stale > 0 {
        warnings.push(Warning {
            kind: WarningKind::Stale,
            text: format!(
                "granted by old answers, since asking fails or was not done yet: {}",
                listed(&|state| state == Freshness::Stale)
            ),
        });
    }
    if names.failed > 0 {
        let is_failed = |state| !matches!(state, Freshness::Fresh | Freshness::Stale);
        warnings.push(Warning {
            kind: WarningKind::Unresolved,
            text: format!("nothing is granted for {}", listed(&is_failed)),
        });
    }
    warnings
}
