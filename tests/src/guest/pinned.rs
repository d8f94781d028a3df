//! Whether enforcement outlives its process on this kernel, and is taken over in place.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use enforcer::config::{Capacity, Existing, Mode, Quic};
use enforcer::kernel::{Enforcement, LinkFound, Pins, Settings, Trial, Was, self_check};

use crate::vectors::{PORTS, policy};

const CGROUP: &str = "/sys/fs/cgroup/pinned";
const ENFORCE: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Deny,
    existing: Existing::Deny,
};

/// Loads, attaches, forgets, takes over, looks, and removes.
pub(super) fn run() -> Result<()> {
    fs::create_dir_all(CGROUP).context("a cgroup can not be made")?;
    let folder = File::open(CGROUP)?;
    let id = folder.metadata()?.ino();
    let policy = policy().context("the policy of the vectors")?;
    let load = || -> Result<_> {
        let pins = Arc::new(Pins::open("pinned")?);
        Ok(Enforcement::load_pinned(&PORTS, Capacity::default(), &pins)?)
    };
    let (mut first, _) = load().context("the programs can not be pinned")?;
    let generation = first.publish(&policy, ENFORCE);
    first.attach(folder.as_fd(), Path::new(CGROUP))?;
    drop(first);

    let (mut next, found) = load().context("what is pinned can not be taken over")?;
    ensure!(
        (found.policy == Was::Taken) && (found.flows == Was::Taken),
        "pinned maps are not taken over: {found:?}"
    );
    ensure!(next.generation() == generation, "the policy is another one");
    let links = next.attach(folder.as_fd(), Path::new(CGROUP))?;
    ensure!(
        links.iter().all(|link| *link == LinkFound::Replaced),
        "programs are not replaced in place: {links:?}"
    );
    let damages = next.damages(id);
    ensure!(damages.is_empty(), "a link is not as it should be: {damages:?}");
    let wrong = self_check(&next.probe()?, &Trial::of(&policy.ranges()), PORTS[0])?;
    ensure!(wrong.is_none(), "the self-check failed: {wrong:?}");
    drop(next);
    let removed = Pins::open("pinned")?.remove()?;
    ensure!(
        removed.detached.len() == links.len(),
        "not everything was attached"
    );
    fs::remove_dir(CGROUP)?;
    Ok(())
}
