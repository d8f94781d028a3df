//! Cgroups of version 2 for what the lab runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use rustix::process::Pid;

use crate::cleanup::{self, Guard, Made};
use crate::enter;

/// A cgroup of its own directly below the root of version 2; dropping it ends its processes and removes it.
pub struct Cgroup {
    path: PathBuf,
    _guard: Guard,
}

impl Cgroup {
    /// Makes one whose name ends in `label`.
    ///
    /// # Errors
    /// When cgroup v2 is not mounted or the caller may not make cgroups.
    pub fn new(label: &str) -> Result<Self> {
        let path = root()?.join(cleanup::unique_name(label));
        let guard = Guard::new(Made::Cgroup(path.clone()))?;
        fs::create_dir(&path)
            .with_context(|| format!("the cgroup {} cannot be made (this needs root)", path.display()))?;
        Ok(Self { path, _guard: guard })
    }

    /// `command` will run in this cgroup from its first instruction on.
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn hold(&self, command: &mut Command) -> Result<()> {
        enter::in_cgroup(command, self)
    }

    /// Its folder, as `[enforce] cgroup` wants it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or below it on hosts that still carry version 1.
pub(crate) fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc is not mounted")?;
    mounts
        .lines()
        .find_map(|line| {
            let mut fields = line.split(' ');
            let (path, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        })
        .ok_or_else(|| anyhow!("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"))
}

/// The processes in a cgroup, those of cgroups below it not among them.
pub(crate) fn processes_in(path: &Path) -> Vec<Pid> {
    fs::read_to_string(path.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect()
}
