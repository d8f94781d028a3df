//! What can go wrong with the kernel, and what the user can do about it.

use std::io;
use std::path::PathBuf;

use super::sizes::Limit;
use crate::config::Capacity;
use crate::policy::table::TableError;

/// A failure between the daemon and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The process lacks a capability.
    #[error("this process may not load kernel programs: it lacks {missing}")]
    Privileges {
        /// The capabilities, joined by `and`.
        missing: String,
    },
    /// The kernel is too old or was built without something.
    #[error("this kernel ({release}) lacks {feature}: enforcer can not enforce on it")]
    Feature {
        /// What is missing.
        feature: &'static str,
        /// `uname -r`.
        release: String,
    },
    /// A list of ports that the programs can not hold.
    #[error("{} filtered ports were given: 1 to {max} of them, none of which is 0, can be filtered", ports.len())]
    Ports {
        /// The list.
        ports: Vec<u16>,
        /// The most.
        max: usize,
    },
    /// Another build of enforcer is on the cgroup.
    #[error("the enforcer on this cgroup has map layout {found}, this one has {expected}")]
    Layout {
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The programs could not be loaded.
    #[error("the kernel refused the program `{program}`")]
    Load {
        /// The program.
        program: &'static str,
        /// The kernel's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object could not be read, or its maps could not be made.
    #[error("the kernel programs could not be set up")]
    Object(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A program could not be attached.
    #[error("the program `{program}` could not be attached to {}", cgroup.display())]
    Attach {
        /// The program.
        program: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
        /// The kernel's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not all programs could be attached and pinned, and what had been attached could not be brought back.
    #[error(
        "the hooks {} could not be given their old programs back: they judge by the new ones, the others as before",
        left.join(", ")
    )]
    HalfAttached {
        /// The hooks that run new programs.
        left: Vec<&'static str>,
        /// What came before.
        source: Box<KernelError>,
    },
    /// A map could not be mapped or read.
    #[error("the map `{map}` could not be {action}")]
    Map {
        /// The map.
        map: &'static str,
        /// What was tried: `mapped`, `read`, ...
        action: &'static str,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{action} failed")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// There is no BPF file system, and none could be mounted.
    #[error("no BPF file system is mounted, and none can be mounted at /sys/fs/bpf")]
    NoBpffs {
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// Another process serves this instance.
    #[error("another enforcer serves the instance `{instance}`{}", pid.map(|pid| format!(": process {pid}")).unwrap_or_default())]
    Busy {
        /// The instance.
        instance: String,
        /// The process, where it can be told.
        pid: Option<u32>,
    },
    /// What is pinned could not be read or changed.
    #[error("{} could not be {action}", path.display())]
    Pins {
        /// What was tried: `made`, `pinned`, ...
        action: &'static str,
        /// The pin or folder.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// The tables would take too much memory.
    #[error(
        "tables for {} IPv4 and {} IPv6 ranges take {} MiB of the kernel's memory, which it can not swap out; {} has \
         {} MiB, of which the tables may take half",
        capacity.ipv4(), capacity.ipv6(), needed.div_ceil(1 << 20), limit.of, limit.bytes >> 20
    )]
    Memory {
        /// The configured capacity.
        capacity: Capacity,
        /// What its maps take, bytes.
        needed: u64,
        /// What there is.
        limit: Limit,
    },
    /// The policy does not fit.
    #[error("the policy was not published, the one in force stays")]
    Table(#[from] TableError),
}

impl KernelError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Privileges { .. } => {
                "run it as root (`sudo enforcer ...`), or give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; in a \
                 container, root is not enough unless these capabilities were added"
            }
            Self::Feature { .. } => "use a kernel of 5.10 or later with cgroup v2 and BPF built in",
            Self::Ports { .. } => "list the ports on which registries are served, such as 443",
            Self::Layout { .. } => {
                "ask the program that is running there (`enforcer status` of the same version), or restart it with this one"
            }
            Self::Load { .. } | Self::Object(_) => {
                "the kernel's words above say what it did not accept; before 5.10 use a later kernel, otherwise please report \
                 them together with `uname -r`"
            }
            Self::Attach { .. } => {
                "another program may hold the cgroup exclusively: `bpftool cgroup tree` shows who is attached"
            }
            Self::HalfAttached { .. } => {
                "restart enforcer once what the kernel says is mended: it attaches all of them anew"
            }
            Self::Map { .. } | Self::System { .. } => {
                "look at the limits of the process (memlock, open files) and at dmesg"
            }
            Self::NoBpffs { .. } => "as root: mount -t bpf bpf /sys/fs/bpf",
            Self::Busy { .. } => {
                "stop it first (`systemctl stop enforcer`; what it enforces stays), or give this one a name of its own with \
                 --instance"
            }
            Self::Pins { .. } => {
                "the BPF file system must be writable: root, or the owner of /sys/fs/bpf/enforcer with CAP_BPF; in a unit, \
                 ReadWritePaths=/sys/fs/bpf and neither PrivateBPF= nor ProtectKernelTunables="
            }
            Self::Memory { .. } => {
                "name a smaller `capacity` under [enforce]; where a limit of the service is too small, raise MemoryMax= in \
                 its unit"
            }
            Self::Table(error) => error.hint(),
        }
    }
}
