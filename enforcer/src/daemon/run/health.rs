//! Whether what was attached is still there and judges as it should: the daemon's look at itself.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::super::log::kind;
use super::super::report::counted;
use super::kept::Kept;
use super::{Daemon, target};
use crate::config::{Mode, Tamper};
use crate::control::view::Findings;
use crate::kernel::Damage;

/// How often it is looked. What somebody takes away is noticed within 10 s; half of it leaves time to put it back.
const PERIOD: Duration = Duration::from_secs(5);

/// What was found the last time.
#[derive(Debug)]
pub(super) struct Health {
    period: Duration,
    /// What is known to be damaged and was told.
    damages: Vec<Damage>,
    /// Whether the cgroup was found removed, and that was told.
    is_gone: bool,
    /// Why the loaded programs are not trusted, and that was told.
    wrong: Option<String>,
    /// When enforcement ends unless it is confirmed; time since boot.
    revert: Option<Duration>,
    /// Whether that time has come, and that was told.
    has_reverted: bool,
    /// What the service manager was told last.
    status: String,
}

impl Health {
    /// `watchdog` is how often the service manager wants a sign of life.
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        Self {
            period: watchdog.map_or(PERIOD, |watchdog| watchdog.min(PERIOD)),
            damages: Vec::new(),
            is_gone: false,
            wrong: None,
            revert: None,
            has_reverted: false,
            status: String::new(),
        }
    }

    /// How often [`Daemon::look_after`] wants to be called.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// What was found, for others.
    pub(super) fn findings(&self) -> Findings {
        Findings {
            is_gone: self.is_gone,
            damages: self.damages.clone(),
            wrong: self.wrong.clone(),
            revert: self.revert,
            has_reverted: self.has_reverted,
            ..Findings::default()
        }
    }

    /// The programs were attached anew: what was told of those before is history.
    pub(super) fn begin_again(&mut self) {
        self.damages.clear();
        self.is_gone = false;
        self.wrong = None;
    }
}

impl Daemon {
    /// Looks at everything, and gives the service manager a sign of life when it is as it should be.
    pub(super) fn look_after(&mut self) {
        self.look_at_cgroup();
        self.look_at_links();
        self.look_at_confirmation();
        if self.judges_well() {
            self.notifier.alive();
        }
        self.tell_status();
    }

    /// Name servers of the system come and go with its networks. Those that the configuration names stay.
    pub(super) async fn look_at_upstreams(&mut self) {
        // A reload reads them by itself, and asks for more names than this policy has.
        let Some(upstreams) = self.policy.other_upstreams().filter(|_| self.reload.is_none()) else {
            return;
        };
        Arc::make_mut(&mut self.policy).ask(upstreams);
        let servers: Vec<_> = self
            .policy
            .upstreams
            .iter()
            .map(|upstream| upstream.address.ip().to_string())
            .collect();
        info!("the system's name servers are now {}", servers.join(", "));
        match self.answers.switch(&self.policy, None).await {
            Ok(()) => {
                let snapshot = self.answers.newest();
                self.follow(&snapshot).await;
            }
            Err(failed) => error!("{failed:#}"),
        }
    }

    /// A cgroup that is removed takes the programs with it. One that is there again under its name is judged again.
    fn look_at_cgroup(&mut self) {
        if !self.cgroup.is_removed() {
            return;
        }
        if !self.health.is_gone {
            self.health.is_gone = true;
            error!(
                name: kind::NOT_ENFORCING,
                "the cgroup {} was removed, and nothing is judged any more; it is enforced on again once it is there \
                 again",
                self.cgroup.path().display()
            );
        }
        let Ok(cgroup) = target(&self.policy) else {
            return;
        };
        if let Err(failed) = self.enforcing.repair(&cgroup) {
            return error!("the cgroup {} is there again: {failed}", cgroup.path().display());
        }
        self.cgroup = cgroup;
        self.health.begin_again();
        self.is_in_force();
    }

    /// What somebody with the rights to do so has detached or unpinned.
    fn look_at_links(&mut self) {
        if self.health.is_gone {
            return;
        }
        let damages = self.enforcing.damages(&self.cgroup);
        let news: Vec<_> = damages
            .iter()
            .filter(|damage| !self.health.damages.contains(damage))
            .collect();
        for damage in &news {
            if matches!(damage, Damage::Pin(_)) {
                error!("{damage}; somebody with root's rights has done that");
            } else {
                error!(name: kind::NOT_ENFORCING, "{damage}; somebody with root's rights has done that");
            }
        }
        if damages.is_empty() && !self.health.damages.is_empty() {
            info!(name: kind::ENFORCING, "what was attached and pinned is whole again");
        }
        let has_news = !news.is_empty();
        self.health.damages = damages;
        if self.health.damages.is_empty() {
            return;
        }
        match self.policy.config.enforce.tamper {
            Tamper::Restore => match self.enforcing.repair(&self.cgroup) {
                Ok(()) => {
                    let count = counted(self.health.damages.len() as u64, "thing");
                    warn!(name: kind::ENFORCING, "{count} put back: everything is judged again");
                    self.health.damages.clear();
                }
                Err(failed) => {
                    let cause = std::error::Error::source(&failed).map(|cause| format!(": {cause}"));
                    error!(
                        "it could not be put back: {failed}{}; {}",
                        cause.unwrap_or_default(),
                        failed.hint()
                    );
                }
            },
            Tamper::Report if has_news => {
                warn!(
                    "it is left as it is (`tamper = \"report\"` under [enforce]); a restart would put it back"
                );
            }
            Tamper::Report => {}
        }
    }

    /// Whether the loaded programs deny and grant as the policy says.
    fn judges_well(&mut self) -> bool {
        let wrong = match self.enforcing.self_check(&self.policy) {
            Ok(None) => None,
            Ok(Some(wrong)) => Some(wrong.to_string()),
            Err(failed) => Some(format!("the loaded programs can not be tried: {failed}")),
        };
        if let Some(wrong) = &wrong
            && self.health.wrong.as_ref() != Some(wrong)
        {
            error!(
                name: kind::NOT_ENFORCING,
                "{wrong}; under a service manager the daemon is started again, which loads them anew"
            );
        }
        self.health.wrong = wrong;
        self.health.wrong.is_none()
    }

    /// Lets a first enforcement end by itself, where the command line asks for it and nobody has confirmed it. To be called
    /// before a policy with this mode comes into force.
    pub(super) fn limit(&mut self, mode: Mode) {
        let pending = self.enforcing.revert();
        let limit = self.confirm.filter(|_| mode == Mode::Enforce);
        let is_confirmed = self.kept.as_ref().is_none_or(Kept::is_confirmed);
        let Some(limit) = limit.filter(|_| !is_confirmed) else {
            if pending.is_some() {
                self.enforcing.set_revert(None);
            }
            self.health.revert = None;
            self.health.has_reverted = false;
            return;
        };
        // A restart neither prolongs the time nor turns an enforcement on again that has ended. Where the maps of another
        // layout are replaced, what they say can not be read and the time begins anew: who might lock himself out by that
        // has just installed this enforcer.
        let revert = pending.unwrap_or_else(|| since_boot() + limit);
        self.enforcing.set_revert(Some(revert));
        self.health.revert = Some(revert);
        let left = revert.saturating_sub(since_boot());
        if !left.is_zero() {
            warn!(
                "enforcing for {} s, then only reporting, unless `enforcer confirm` comes before",
                left.as_secs()
            );
        }
    }

    fn look_at_confirmation(&mut self) {
        if self.health.revert.is_none() {
            return;
        }
        let Some(revert) = self.enforcing.revert() else {
            info!(name: kind::ENFORCING, "confirmed: the policy is enforced from here on");
            if let Some(kept) = &self.kept {
                kept.confirm();
            }
            self.health.revert = None;
            self.health.has_reverted = false;
            return;
        };
        if !self.health.has_reverted && since_boot() >= revert {
            self.health.has_reverted = true;
            error!(
                name: kind::NOT_ENFORCING,
                "nobody confirmed in time: denials are only reported and nothing is dropped, as in audit mode; \
                 `enforcer confirm` enforces again"
            );
        }
    }

    /// One line for the service manager.
    pub(super) fn status(&self) -> String {
        let what = if self.health.is_gone {
            "NOT ENFORCING: the cgroup is gone"
        } else if self.health.has_reverted {
            "NOT ENFORCING: not confirmed, only reporting"
        } else if self
            .health
            .damages
            .iter()
            .any(|damage| !matches!(damage, Damage::Pin(_)))
        {
            "NOT ENFORCING: detached"
        } else if self.health.wrong.is_some() {
            "the loaded programs misjudge"
        } else {
            match self.policy.config.mode {
                Mode::Enforce => "enforcing",
                Mode::Audit => "auditing, nothing is dropped",
            }
        };
        let spans = counted(self.enforcing.spans() as u64, "span");
        let names = if self.policy.config.enforce.server_names == crate::config::ServerNames::Off {
            ", server names not looked at"
        } else {
            ""
        };
        let held = if self.holds { ", names without answers" } else { "" };
        format!(
            "{what} on {}: generation {}, {spans} of addresses granted{names}{held}",
            self.cgroup.path().display(),
            self.enforcing.generation(),
        )
    }

    /// Tells it when it is news.
    pub(super) fn tell_status(&mut self) {
        let status = self.status();
        if status != self.health.status {
            self.notifier.status(&status);
            self.health.status = status;
        }
    }
}

/// `CLOCK_BOOTTIME`, which no one can set.
pub(super) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        now.tv_sec.try_into().unwrap_or_default(),
        now.tv_nsec.try_into().unwrap_or_default(),
    )
}
