//! Links between programs and a cgroup, which aya neither updates nor detaches.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use aya_obj::generated::bpf_attach_type;

use super::sys;

/// A hook of a cgroup, and what is attached there.
#[derive(Debug)]
pub(super) struct Point {
    /// Its name among the pins.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: &'static str,
    hook: bpf_attach_type,
}

/// Every hook, the authority first: when it is attached, what the others have not seen yet is judged all the same.
pub(super) const POINTS: [Point; 5] = [
    Point {
        name: "egress",
        program: "enforcer_egress",
        hook: bpf_attach_type::BPF_CGROUP_INET_EGRESS,
    },
    Point {
        name: "connect4",
        program: "enforcer_connect4",
        hook: bpf_attach_type::BPF_CGROUP_INET4_CONNECT,
    },
    Point {
        name: "connect6",
        program: "enforcer_connect6",
        hook: bpf_attach_type::BPF_CGROUP_INET6_CONNECT,
    },
    Point {
        name: "sendmsg4",
        program: "enforcer_sendmsg4",
        hook: bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG,
    },
    Point {
        name: "sendmsg6",
        program: "enforcer_sendmsg6",
        hook: bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG,
    },
];

/// A link, held open. Closing it detaches, unless it is pinned or somebody else holds it.
#[derive(Debug)]
pub(super) struct Link {
    fd: OwnedFd,
    pub(super) point: &'static Point,
}

impl Link {
    /// Attaches a program to a cgroup directory.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(super) fn create(
        point: &'static Point,
        program: BorrowedFd<'_>,
        cgroup: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let fd = sys::link_create(program, cgroup, point.hook)?;
        Ok(Self { fd, point })
    }

    /// Opens the link that is pinned at `path`.
    ///
    /// # Errors
    /// The kernel's error number; [`io::ErrorKind::InvalidData`] for what is no link.
    pub(super) fn open(point: &'static Point, path: &Path) -> io::Result<Self> {
        let fd = sys::open_pinned(path)?;
        // Asked about a program or map, the kernel would answer in another form (kernel/bpf/syscall.c,
        // bpf_link_show_fdinfo).
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
        if !told.lines().any(|line| line.starts_with("link_type:")) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a link"));
        }
        Ok(Self { fd, point })
    }

    /// What the kernel says of it.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(super) fn info(&self) -> io::Result<sys::LinkInfo> {
        sys::link_info(self.fd.as_fd())
    }

    /// Whether it is attached, at its hook, to the cgroup with this inode number.
    pub(super) fn is_on(&self, cgroup: u64) -> bool {
        self.info()
            .is_ok_and(|info| info.cgroup == cgroup && info.hook == self.point.hook as u32)
    }

    /// Lets another program run in its place, with nothing in between.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        sys::link_update(self.fd.as_fd(), program)
    }

    /// Detaches for good, also where a process that was just started still has a copy of the descriptor.
    pub(super) fn detach(&self) {
        // It fails only for a link that is detached already.
        let _detached = sys::link_detach(self.fd.as_fd());
    }

    /// Pins it.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(super) fn pin(&self, path: &Path) -> io::Result<()> {
        sys::pin(self.fd.as_fd(), path)
    }
}
