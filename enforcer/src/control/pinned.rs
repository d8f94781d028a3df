//! The status of an instance without its daemon: what the kernel holds, read from the pins.
//!
//! Enforcement needs no daemon. Without one the answers grow old, and that is said.

use std::time::Duration;

use jiff::Timestamp;

use super::VERSION;
use super::history::Moment;
use super::model::{Attached, Daemon, DaemonState, Hook, PolicyStatus, State, Status, Warning, WarningKind};
use super::status::{self, Now};
use crate::config::{Existing, Mode, Quic};
use crate::elapsed::Elapsed;
use crate::kernel::pins::{self, Look, PinnedPolicy};
use crate::kernel::{Cgroup, KernelError};
use crate::state::Instance;

/// Looks at the pins of `instance`. `socket` says whether somebody listens on the control socket, and does not answer.
///
/// # Errors
/// The pins may not be looked at.
pub fn read(instance: &Instance, socket: DaemonState) -> Result<Status, KernelError> {
    let look = pins::look(instance.as_str())?;
    let cgroup = look.as_ref().and_then(judged).map(|id| {
        let found = Cgroup::find(id).ok().flatten();
        found.map(|cgroup| cgroup.path().display().to_string())
    });
    Ok(of(instance, look.as_ref(), cgroup.flatten(), socket, Now::read()))
}

/// Whether somebody has the pins of `instance` locked: its daemon, also one that does not listen yet.
#[must_use]
pub fn holder(instance: &Instance) -> Option<u32> {
    pins::look(instance.as_str()).ok().flatten()?.holder
}

/// The cgroup that is judged.
fn judged(look: &Look) -> Option<u64> {
    look.hooks.first()?.cgroup
}

fn of(
    instance: &Instance,
    look: Option<&Look>,
    cgroup: Option<String>,
    socket: DaemonState,
    now: Now,
) -> Status {
    let holder = look.and_then(|look| look.holder);
    let daemon = match (socket, holder) {
        // Whoever has the pins and does not listen yet is about to, or is an older enforcer.
        (DaemonState::Stopped, Some(_)) => DaemonState::Starting,
        (state, _) => state,
    };
    let policy = look.and_then(|look| look.policy);
    let has_reverted = policy.is_some_and(|policy| policy.revert.is_some_and(|revert| revert <= now.boot));
    let why = not_enforcing(look, has_reverted);
    let state = match (&why, policy.map(|policy| policy.settings.mode)) {
        (Some(_), _) | (None, None) => State::NotEnforcing,
        (None, Some(Mode::Audit)) => State::Auditing,
        (None, Some(Mode::Enforce)) => State::Enforcing,
    };
    Status {
        version: VERSION,
        instance: instance.to_string(),
        state,
        warnings: warnings(daemon, state, why.as_deref(), policy, now),
        why,
        daemon: Daemon {
            state: daemon,
            pid: holder,
            enforcer: None,
            started: None,
            uptime_s: None,
            last_sign_s: None,
            configuration: None,
            history: None,
        },
        policy: policy.map(|policy| PolicyStatus {
            reverts_in_s: policy
                .revert
                .map(|revert| revert.saturating_sub(now.boot).as_secs()),
            ..status::settings(policy.settings, policy.generation)
        }),
        attached: look.filter(|look| judged(look).is_some()).map(|look| {
            let since = look.since.and_then(|since| Timestamp::try_from(since).ok());
            let since = since.map(|wall| Moment {
                monotonic: Duration::ZERO,
                wall,
            });
            Attached {
                cgroup,
                since: since.map(Moment::text),
                since_s: since.and_then(|since| {
                    let seconds = now.moment.wall.as_second() - since.wall.as_second();
                    u64::try_from(seconds).ok()
                }),
                hooks: look
                    .hooks
                    .iter()
                    .map(|hook| Hook {
                        name: hook.name.to_owned(),
                        attached: hook.cgroup.is_some(),
                        pinned: hook.is_pinned,
                    })
                    .collect(),
            }
        }),
        names: None,
        resolver: Vec::new(),
        denials: look.and_then(|look| look.counters.as_ref()).map(status::denials),
        granted: look.and_then(|look| look.counters.as_ref()).map(status::granted),
    }
}

fn not_enforcing(look: Option<&Look>, has_reverted: bool) -> Option<String> {
    let Some(look) = look else {
        return Some("nothing is attached".to_owned());
    };
    let detached: Vec<_> = look
        .hooks
        .iter()
        .filter(|hook| hook.cgroup.is_none())
        .map(|hook| format!("`{}`", hook.name))
        .collect();
    if detached.len() == look.hooks.len() {
        Some("nothing is attached".to_owned())
    } else if !detached.is_empty() {
        Some(format!("not attached: {}", detached.join(", ")))
    } else if look.policy.is_none() {
        Some(
            "what is attached holds no policy that this enforcer can read: another version made it"
                .to_owned(),
        )
    } else if has_reverted {
        Some("nobody confirmed the enforcement in time: denials are only reported".to_owned())
    } else {
        None
    }
}

fn warnings(
    daemon: DaemonState,
    state: State,
    why: Option<&str>,
    policy: Option<PinnedPolicy>,
    now: Now,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind, text: &str| {
        warnings.push(Warning {
            kind,
            text: text.to_owned(),
        });
    };
    match daemon {
        DaemonState::Stopped if state == State::NotEnforcing => {
            warn(
                WarningKind::NoDaemon,
                "no daemon runs; start it: `systemctl start enforcer`, or `enforcer run`",
            );
        }
        DaemonState::Stopped => warn(
            WarningKind::NoDaemon,
            "no daemon runs: what is in force stays, but nobody keeps its addresses fresh, tells of denials, or puts back \
             what somebody takes away; `systemctl start enforcer`",
        ),
        DaemonState::Starting => warn(
            WarningKind::NoDaemon,
            "the daemon is starting, or it is an older one that can not be asked",
        ),
        DaemonState::Silent => warn(
            WarningKind::RunLoopSilent,
            "the daemon does not answer: what is in force stays, and grows old; `systemctl restart enforcer` takes it over \
             without a gap",
        ),
        DaemonState::Running => {}
    }
    let revert = policy.and_then(|policy| policy.revert);
    match revert {
        Some(revert) if revert <= now.boot => warn(
            WarningKind::Reverted,
            "nobody confirmed in time, nothing is dropped; `enforcer confirm` enforces again",
        ),
        Some(revert) => warn(
            WarningKind::Unconfirmed,
            &format!(
                "only reports in {}, unless `enforcer confirm` comes before",
                Elapsed(revert.saturating_sub(now.boot))
            ),
        ),
        None => {}
    }
    if let Some(why) = why.filter(|why| why.starts_with("not attached")) {
        warn(
            WarningKind::Detached,
            &format!("{why}; somebody with root's rights has done that"),
        );
    }
    if let Some(settings) = policy.map(|policy| policy.settings) {
        if settings.mode == Mode::Audit {
            warn(
                WarningKind::Audit,
                "nothing is dropped: denials are only reported (`mode = \"audit\"`)",
            );
        }
        if settings.quic == Quic::Allow {
            warn(
                WarningKind::UdpAllowed,
                "UDP is judged by its address alone (`quic = \"allow\"`): no server name is checked in it",
            );
        }
        if settings.existing == Existing::Allow {
            warn(
                WarningKind::ExistingAllowed,
                "connections from before go on unchecked, as long as their address is granted (`existing = \"allow\"`)",
            );
        }
    }
    warnings.sort_by_key(|warning| warning.kind);
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Settings;
    use crate::kernel::pins::PinnedHook;

    fn look(cgroup: Option<u64>, holder: Option<u32>) -> Look {
        Look {
            holder,
            hooks: pins::hook_names()
                .map(|name| PinnedHook {
                    name,
                    is_pinned: true,
                    cgroup,
                })
                .to_vec(),
            since: None,
            policy: Some(PinnedPolicy {
                generation: 7,
                settings: Settings::default(),
                revert: None,
            }),
            counters: None,
        }
    }

    fn shown(look: Option<&Look>, socket: DaemonState) -> Status {
        of(&Instance::default(), look, None, socket, Now::read())
    }

    fn kinds(status: &Status) -> Vec<WarningKind> {
        status.warnings.iter().map(|warning| warning.kind).collect()
    }

    #[test]
    fn a_stopped_daemon_leaves_its_policy() {
        let status = shown(Some(&look(Some(1), None)), DaemonState::Stopped);
        assert_eq!(
            (status.state, status.daemon.state),
            (State::Enforcing, DaemonState::Stopped)
        );
        assert_eq!(status.policy.as_ref().map(|policy| policy.generation), Some(7));
        assert_eq!(kinds(&status), [WarningKind::NoDaemon]);
    }

    #[test]
    fn what_is_not_attached_is_not_enforced() {
        let status = shown(None, DaemonState::Stopped);
        assert_eq!(status.state, State::NotEnforcing);
        assert!(status.attached.is_none() && status.policy.is_none());
        let status = shown(Some(&look(None, None)), DaemonState::Stopped);
        assert_eq!(status.why.as_deref(), Some("nothing is attached"));
        let mut partly = look(Some(1), Some(9));
        partly.hooks[2].cgroup = None;
        let status = shown(Some(&partly), DaemonState::Stopped);
        assert_eq!(status.state, State::NotEnforcing);
        assert_eq!(status.why.as_deref(), Some("not attached: `connect6`"));
        assert_eq!(kinds(&status), [WarningKind::Detached, WarningKind::NoDaemon]);
    }

    #[test]
    fn whoever_holds_the_pins_is_starting_unless_he_is_silent() {
        let held = look(Some(1), Some(9));
        let starting = shown(Some(&held), DaemonState::Stopped).daemon;
        assert_eq!((starting.state, starting.pid), (DaemonState::Starting, Some(9)));
        assert_eq!(
            shown(Some(&held), DaemonState::Silent).daemon.state,
            DaemonState::Silent
        );
    }

    #[test]
    fn an_enforcement_that_nobody_confirmed_is_none() {
        let mut reverted = look(Some(1), None);
        if let Some(policy) = &mut reverted.policy {
            policy.revert = Some(Duration::from_nanos(1));
        }
        let status = shown(Some(&reverted), DaemonState::Stopped);
        assert_eq!(status.state, State::NotEnforcing);
        assert_eq!(status.policy.unwrap().reverts_in_s, Some(0));
    }
}
