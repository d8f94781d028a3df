//! What can go wrong with cgroups, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a cgroup can not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// /proc does not say what every kernel says.
    #[error("/proc can not be read")]
    Proc(#[source] io::Error),
    /// No cgroup v2 in this kernel.
    #[error("this kernel has no cgroup v2")]
    Absent,
    /// No mount of it is visible, and mounting it for this process alone was refused.
    #[error("cgroup v2 is mounted nowhere that this process can see, and mounting it privately was refused")]
    NotMounted(#[source] io::Error),
    /// The root was asked for inside a cgroup namespace.
    #[error(
        "this process is in a cgroup namespace: the root that it sees is a part of the host's tree, and nothing \
         outside that part would be judged"
    )]
    Namespaced,
    /// This process is not below the root that its cgroup namespace shows.
    #[error("this process is in the cgroup `{path}`, outside of the cgroup namespace that it sees")]
    Outside {
        /// As /proc/self/cgroup has it.
        path: PathBuf,
    },
    /// A path that is not on cgroup v2.
    #[error("`{}` is not a cgroup v2 directory", path.display())]
    NotCgroup2 {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A cgroup or one of its files can not be opened.
    #[error("`{}` can not be opened", path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A cgroup can not be made.
    #[error("the cgroup `{}` can not be made", path.display())]
    Create {
        /// What was to be made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CgroupError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Proc(_) => "mount /proc: `mount -t proc proc /proc`",
            Self::Absent => {
                "cgroup v2 needs Linux 4.15 with CONFIG_CGROUPS and CONFIG_CGROUP_BPF, and is off when the kernel \
                 command line says cgroup_no_v2"
            }
            Self::NotMounted(_) => {
                "run as root, or mount it: `mount -t cgroup2 none /sys/fs/cgroup` (on a hybrid host \
                 /sys/fs/cgroup/unified)"
            }
            Self::Namespaced => {
                "run on the host itself, or in a container with the host's cgroup namespace (`--cgroupns=host`); to \
                 enforce on a part only, name it: `cgroup = \"/sys/fs/cgroup/...\"` under [enforce]"
            }
            Self::Outside { .. } => {
                "start the command from a process of the same container or cgroup namespace"
            }
            Self::NotCgroup2 { .. } => {
                "give a directory of cgroup v2 (`grep cgroup2 /proc/self/mounts` lists the mounts), or a path \
                 relative to its root"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; a cgroup that a service manager makes exists only while its unit runs"
            }
            Self::Open { .. } | Self::Create { .. } => {
                "run as root; inside a container the cgroup file system must be mounted read-write"
            }
        }
    }
}
