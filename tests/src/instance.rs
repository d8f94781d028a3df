//! Instances of the enforcer whose pins are the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

use crate::cleanup::{self, Guard, Made};

/// Where systemd mounts the BPF file system.
const BPFFS: &str = "/sys/fs/bpf";
/// Where the pins of all instances are.
pub(crate) const PINS: &str = "/sys/fs/bpf/enforcer";

/// A name for `--instance`. Dropping it removes the pins, which ends what was attached.
pub struct Instance {
    name: String,
    _guard: Guard,
}

impl Instance {
    /// One whose name ends in `label`.
    ///
    /// # Errors
    /// When signals cannot be listened to, and without root where no BPF file system is mounted.
    pub fn new(label: &str) -> Result<Self> {
        mounted()?;
        let name = cleanup::unique_name(label);
        let guard = Guard::new(Made::Folder(Path::new(PINS).join(&name)))?;
        Ok(Self { name, _guard: guard })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its pins are.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(&self.name)
    }
}

/// Mounts a BPF file system where there is none. A daemon on a host of the lab would mount one that goes with it.
fn mounted() -> Result<()> {
    static MOUNTED: OnceLock<Result<(), String>> = OnceLock::new();
    MOUNTED
        .get_or_init(|| mount_unless_there().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn mount_unless_there() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc is not mounted")?;
    if mounts
        .lines()
        .any(|line| line.split(' ').skip(1).take(2).eq([BPFFS, "bpf"]))
    {
        return Ok(());
    }
    mount("bpf", BPFFS, "bpf", MountFlags::NOSUID | MountFlags::NODEV, None)
        .with_context(|| format!("no BPF file system can be mounted at {BPFFS} (this needs root)"))
}
