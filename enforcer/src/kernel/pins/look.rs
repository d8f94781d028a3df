//! What is pinned of an instance, looked at beside the daemon that serves it, or without one. Changes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aya::maps::{Map, MapData, PerCpuArray};
use enforcer_common::abi::VERSION;

use super::super::counters::{CounterReader, Counters};
use super::super::enforcement::Settings;
use super::super::error::KernelError;
use super::super::links::{Link, POINTS};
use super::{folder, maps};

/// The pins of an instance at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// The process that has them locked: the daemon, or one that is about to be.
    pub holder: Option<u32>,
    /// Every hook.
    pub hooks: Vec<PinnedHook>,
    /// When the link of the authority was pinned.
    pub since: Option<SystemTime>,
    /// The policy in force; `None` when there is none yet, or none of this layout.
    pub policy: Option<PinnedPolicy>,
    /// What was denied.
    pub counters: Option<Counters>,
}

/// A hook and the link that is pinned for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PinnedHook {
    /// Its name.
    pub name: &'static str,
    /// Whether a link is pinned under it.
    pub is_pinned: bool,
    /// The cgroup that it judges, an inode number; `None` when it is detached.
    pub cgroup: Option<u64>,
}

/// What the header of the policy says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PinnedPolicy {
    /// The generation in force.
    pub generation: u64,
    /// Its settings.
    pub settings: Settings,
    /// When enforcement ends by itself, time since boot (`CLOCK_BOOTTIME`).
    pub revert: Option<Duration>,
}

/// The names of all hooks, the authority first.
#[must_use]
pub fn hook_names() -> [&'static str; POINTS.len()] {
    POINTS.each_ref().map(|point| point.name)
}

/// When the link of the authority was pinned, over restarts of the daemon.
#[must_use]
pub fn attached_since(instance: &str) -> Option<SystemTime> {
    let folder = folder::existing(instance).ok()??;
    fs::metadata(folder.join(POINTS[0].name)).ok()?.modified().ok()
}

/// Looks at what is pinned of an instance; `None` when nothing is.
///
/// # Errors
/// [`KernelError::Pins`] when it may not be looked at.
pub fn look(instance: &str) -> Result<Option<Look>, KernelError> {
    let Some(folder) = folder::existing(instance)? else {
        return Ok(None);
    };
    let inode = fs::metadata(&folder)
        .map_err(|error| folder::failed("looked at", &folder, error))?
        .ino();
    let mut hooks = Vec::with_capacity(POINTS.len());
    for point in &POINTS {
        let path = folder.join(point.name);
        let link = match Link::open(point, &path) {
            Ok(link) => Some(link),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(folder::failed("opened", &path, error));
            }
            Err(_) => None,
        };
        let info = link.as_ref().and_then(|link| link.info().ok());
        hooks.push(PinnedHook {
            name: point.name,
            is_pinned: link.is_some(),
            cgroup: info.map(|info| info.cgroup).filter(|cgroup| *cgroup != 0),
        });
    }
    let of_policy = folder.join(maps::policy_folder());
    Ok(Some(Look {
        holder: folder::holder(inode),
        hooks,
        since: attached_since(instance),
        policy: policy(&of_policy.join("HEADER"))?,
        counters: counters(&of_policy.join("COUNTERS")),
    }))
}

fn policy(path: &Path) -> Result<Option<PinnedPolicy>, KernelError> {
    if !folder::is_there(path)? {
        return Ok(None);
    }
    let mapped = maps::header(path, false)?;
    let header = mapped.read(0, 1);
    let word = mapped.word();
    let is_ours = header.first().is_some_and(|header| header.version == VERSION);
    let generation = word.generation().0;
    let revert_ns = header.first().map_or(0, |header| header.revert_ns);
    Ok((is_ours && generation != 0).then(|| PinnedPolicy {
        generation,
        settings: Settings::from_bits(word.settings()),
        revert: (revert_ns != 0).then(|| Duration::from_nanos(revert_ns)),
    }))
}

fn counters(path: &Path) -> Option<Counters> {
    let map = Map::PerCpuArray(MapData::from_pin(path).ok()?);
    let map = PerCpuArray::try_from(map).ok()?;
    CounterReader::new(map).read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_pinned_nothing_is_seen() {
        assert!(look("no-such-instance-of-a-test").unwrap().is_none());
        assert_eq!(attached_since("no-such-instance-of-a-test"), None);
        assert_eq!(hook_names()[0], "egress");
    }
}
