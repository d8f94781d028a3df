//! What the daemon says about itself: what it is about to enforce, and that it does.

use tracing::{error, info, warn};

use super::super::enforcing::{UpdateError, mode_name};
use super::super::log::kind;
use super::super::policy::Policy;
use crate::config::{Existing, Mode, Quic, ServerNames};
use crate::kernel::{Cgroup, LinkFound, MapsFound, Was};

pub(super) fn tell_kept(failed: &UpdateError) {
    let cause = std::error::Error::source(failed).map(|cause| format!(": {cause}"));
    error!(
        "{failed}{}; the policy from before stays in force",
        cause.unwrap_or_default()
    );
}

pub(super) fn tell_enforcing(policy: &Policy, cgroup: &Cgroup) {
    let cgroup = cgroup.path().display();
    let names = match policy.config.enforce.server_names {
        ServerNames::Require => "",
        ServerNames::Off => ", by addresses alone",
    };
    match policy.config.mode {
        Mode::Enforce => info!(name: kind::ENFORCING, mode = "enforce", "enforcing on {cgroup}{names}"),
        Mode::Audit => info!(
            name: kind::ENFORCING,
            mode = "audit",
            "auditing on {cgroup}{names}: denials are reported and nothing is dropped"
        ),
    }
}

/// Says what is about to be enforced.
pub(super) fn banner(policy: &Policy, cgroup: &Cgroup) {
    let config = &policy.config;
    let ports: Vec<_> = config.enforce.ports.iter().map(u16::to_string).collect();
    let udp = match config.enforce.quic {
        Quic::Deny => "UDP to them denied",
        Quic::Allow => "UDP judged by its address",
    };
    let names = match (config.enforce.server_names, config.enforce.existing) {
        (ServerNames::Require, Existing::Deny) => "server names required",
        (ServerNames::Require, Existing::Allow) => "server names required, connections from before let be",
        (ServerNames::Off, _) => "server names not looked at",
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = mode_name(config.mode),
        "enforcer {}: mode {}, cgroup {}, ports {}, {udp}, {names}",
        env!("CARGO_PKG_VERSION"),
        mode_name(config.mode),
        cgroup.path().display(),
        ports.join(" "),
    );
    for file in &config.tag_files {
        info!(change_number = file.change_number, "service tags {file}");
    }
    for rule in &config.rules {
        let title = &rule.kind;
        match &rule.accepted_risk {
            Some(reason) => warn!(
                "rule {}: {title}; exfiltration risk accepted: {reason}",
                rule.id.0
            ),
            None => info!("rule {}: {title}", rule.id.0),
        }
    }
    for caution in policy.cautions() {
        warn!("{caution}");
    }
}

/// Says what of an earlier run was found in the kernel.
pub(super) fn tell_found(maps: &MapsFound, links: &[LinkFound]) {
    for (what, loss, was) in [
        ("policy", "it is made anew", &maps.policy),
        (
            "connections",
            "running connections count as ones from before",
            &maps.flows,
        ),
    ] {
        if let Was::Unfit(why) = was {
            warn!("what was pinned of the {what} can not be taken over: {why}; {loss}");
        }
    }
    let count = |kind| links.iter().filter(|found| **found == kind).count();
    let replaced = count(LinkFound::Replaced);
    if replaced == links.len() {
        info!("taken over: the programs were replaced in place, nothing went unjudged");
    } else if replaced + count(LinkFound::Elsewhere) == links.len() {
        info!("taken over: judged here from now on, and no longer on the cgroup of before");
    } else if count(LinkFound::Missing) != links.len() {
        error!(
            "{} of {} hooks were attached when the daemon came back: the others judged nothing meanwhile",
            replaced + count(LinkFound::Elsewhere),
            links.len()
        );
    }
}
