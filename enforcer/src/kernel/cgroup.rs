//! cgroup v2: where it is, the cgroup to enforce on, and the cgroup that `exec` makes for its command.
//!
//! Everything goes through directory descriptors, so that it works where no cgroup file system is mounted.

mod error;
mod find;
mod scoped;
mod text;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::process::{PidfdFlags, Signal};

pub use error::CgroupError;
pub use scoped::ScopedCgroup;

/// Inode number of the initial cgroup namespace: `PROC_CGROUP_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_NAMESPACE_INODE: u64 = 0xEFFF_FFFB;
/// Deepest nesting below a cgroup that is walked; the kernel's own limit is per hierarchy and usually absent.
const DEPTH_MAX: usize = 64;

/// A cgroup of the unified hierarchy, held open.
#[derive(Debug)]
pub struct Cgroup {
    dir: OwnedFd,
    shown: PathBuf,
    id: u64,
}

/// A process in a cgroup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its id in this process's pid namespace.
    pub pid: u32,
    /// Its command name (`comm`), empty when it has gone meanwhile.
    pub name: String,
}

impl Cgroup {
    /// The root of cgroup v2, where everything on the host is judged.
    ///
    /// # Errors
    /// [`CgroupError::Namespaced`] inside a cgroup namespace, whose root is not the host's; no cgroup v2; no access.
    pub fn root() -> Result<Self, CgroupError> {
        if is_namespaced()? {
            return Err(CgroupError::Namespaced);
        }
        let (root, mounted_at) = hierarchy()?;
        let shown = mounted_at.unwrap_or_else(|| PathBuf::from("/"));
        Self::from_dir(root, shown)
    }

    /// The cgroup at `path`: a directory of a mounted cgroup v2, or, when relative, one below the root of cgroup v2.
    ///
    /// # Errors
    /// The path can not be opened, or is not on cgroup v2.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let dir = if path.is_absolute() {
            open_dir(CWD, path)
        } else {
            open_dir(hierarchy()?.0.as_fd(), path)
        };
        let dir = dir.map_err(|source| CgroupError::Open {
            path: path.to_owned(),
            source,
        })?;
        if !is_cgroup2(dir.as_fd()) {
            return Err(CgroupError::NotCgroup2 {
                path: path.to_owned(),
            });
        }
        Self::from_dir(dir, path.to_owned())
    }

    /// The cgroup that this process is in.
    ///
    /// # Errors
    /// No cgroup v2, or this process is outside of what its cgroup namespace shows.
    pub fn own() -> Result<Self, CgroupError> {
        let text = std::fs::read_to_string("/proc/self/cgroup").map_err(CgroupError::Proc)?;
        let path = text::unified_path(&text).ok_or(CgroupError::Absent)?;
        if Path::new(path).components().any(|part| part.as_os_str() == "..") {
            return Err(CgroupError::Outside { path: path.into() });
        }
        let (root, mounted_at) = hierarchy()?;
        let below = path.trim_start_matches('/');
        let dir = open_dir(
            root.as_fd(),
            Path::new(if below.is_empty() { "." } else { below }),
        );
        let dir = dir.map_err(|source| CgroupError::Open {
            path: path.into(),
            source,
        })?;
        let shown = mounted_at.map_or_else(|| PathBuf::from(path), |mount| mount.join(below));
        Self::from_dir(dir, shown)
    }

    fn from_dir(dir: OwnedFd, shown: PathBuf) -> Result<Self, CgroupError> {
        let stat = rustix::fs::fstat(&dir).map_err(|error| CgroupError::Open {
            path: shown.clone(),
            source: error.into(),
        })?;
        Ok(Self {
            dir,
            shown,
            id: stat.st_ino,
        })
    }

    /// Makes a cgroup below this one. It is removed, with what still runs in it, when the value is dropped.
    ///
    /// # Errors
    /// [`CgroupError::Create`]: no access, or a limit on descendants.
    pub fn create_child(&self, name: &str) -> Result<ScopedCgroup, CgroupError> {
        let failed = |error: rustix::io::Errno| CgroupError::Create {
            path: self.shown.join(name),
            source: error.into(),
        };
        rustix::fs::mkdirat(&self.dir, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let parent = rustix::io::fcntl_dupfd_cloexec(&self.dir, 0).map_err(failed)?;
        let opened = open_dir(self.dir.as_fd(), Path::new(name));
        let dir = opened.map_err(|source| CgroupError::Create {
            path: self.shown.join(name),
            source,
        })?;
        let cgroup = Self::from_dir(dir, self.shown.join(name))?;
        Ok(ScopedCgroup::new(cgroup, parent, name))
    }

    /// The id that `bpf_get_current_cgroup_id` gives for it: the inode number of its directory.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it is, for messages: its path in the file system, or in the hierarchy where none is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Its `cgroup.procs`, open for writing: a process that writes `0` to it moves into this cgroup.
    ///
    /// # Errors
    /// [`CgroupError::Open`]: no access.
    pub fn procs(&self) -> Result<OwnedFd, CgroupError> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, "cgroup.procs", flags, Mode::empty()).map_err(|error| {
            CgroupError::Open {
                path: self.shown.join("cgroup.procs"),
                source: error.into(),
            }
        })
    }

    /// The processes in it and in the cgroups below it. Those of other pid namespaces are left out.
    ///
    /// # Errors
    /// Reading fails for another reason than that a cgroup has gone.
    pub fn processes(&self) -> io::Result<Vec<Process>> {
        let processes = self.pids()?.into_iter().map(|pid| Process {
            pid,
            name: std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .map(|name| name.trim_end().to_owned())
                .unwrap_or_default(),
        });
        Ok(processes.collect())
    }

    fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        walk(self.dir.as_fd(), DEPTH_MAX, &mut |dir| {
            let text = match read(dir, "cgroup.procs") {
                // A threaded cgroup: its processes are listed by the domain above it (cgroups(7)).
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
                other => other?,
            };
            pids.extend(
                text.lines()
                    .filter_map(|line| line.parse::<u32>().ok())
                    .filter(|pid| *pid != 0),
            );
            Ok(())
        })?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Whether no process lives in it or below it.
    ///
    /// # Errors
    /// `cgroup.events` can not be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        let events = read(self.dir.as_fd(), "cgroup.events")?;
        Ok(events.lines().any(|line| line == "populated 0"))
    }

    /// Whether its directory was removed. Programs that were attached to it are then no longer.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        // Every cgroup has this file, the root as well.
        let found = rustix::fs::accessat(
            &self.dir,
            "cgroup.procs",
            rustix::fs::Access::EXISTS,
            AtFlags::empty(),
        );
        matches!(found, Err(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV))
    }

    /// Sends `signal` to every process in it and below it.
    ///
    /// # Errors
    /// The processes can not be listed. A process that has gone meanwhile is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let handles: Vec<_> = self
            .pids()?
            .into_iter()
            .filter_map(|pid| {
                let id = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
                let handle = rustix::process::pidfd_open(id, PidfdFlags::empty()).ok()?;
                Some((pid, handle))
            })
            .collect();
        // A number may have been given to another process between listing and opening: what is still listed now is
        // the process that was opened.
        let still = self.pids()?;
        for (_, handle) in handles.iter().filter(|(pid, _)| still.binary_search(pid).is_ok()) {
            let _gone = rustix::process::pidfd_send_signal(handle, signal);
        }
        Ok(())
    }

    /// Kills everything in it and below it, also what is being forked meanwhile (`cgroup.kill`, Linux 5.14). On older
    /// kernels one round of SIGKILL: call it until [`Cgroup::is_empty`].
    ///
    /// # Errors
    /// No access, or the processes can not be listed.
    pub fn kill(&self) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, "cgroup.kill", flags, Mode::empty()) {
            Ok(file) => rustix::io::write(file, b"1").map(drop).map_err(io::Error::from),
            Err(rustix::io::Errno::NOENT) => self.signal(Signal::KILL),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// The path in the unified hierarchy of the cgroup that `pid` is in at the moment; `None` when it has ended.
#[must_use]
pub fn path_of_process(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text::unified_path(&text).map(str::to_owned)
}

/// Whether this process is in another cgroup namespace than the initial one.
fn is_namespaced() -> Result<bool, CgroupError> {
    match rustix::fs::stat("/proc/self/ns/cgroup") {
        Ok(stat) => Ok(stat.st_ino != INITIAL_NAMESPACE_INODE),
        // A kernel that is built without cgroup namespaces.
        Err(rustix::io::Errno::NOENT) if Path::new("/proc/self/ns").exists() => Ok(false),
        Err(error) => Err(CgroupError::Proc(error.into())),
    }
}

/// The root of the hierarchy, and where it is mounted.
///
/// Where it is mounted nowhere (`ip netns exec` hides it behind a fresh /sys), a mount that only this process sees.
pub(super) fn hierarchy() -> Result<(OwnedFd, Option<PathBuf>), CgroupError> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Proc)?;
    for mount in text::mounts(&mountinfo) {
        // The list also has mounts that another one covers.
        if let Ok(dir) = open_dir(CWD, &mount)
            && is_cgroup2(dir.as_fd())
        {
            return Ok((dir, Some(mount)));
        }
    }
    match detached() {
        Ok(root) => Ok((root, None)),
        Err(rustix::io::Errno::NODEV) => Err(CgroupError::Absent),
        Err(error) => Err(CgroupError::NotMounted(error.into())),
    }
}

/// cgroup v2 in a mount that is attached nowhere (Linux 5.2, CAP_SYS_ADMIN).
fn detached() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // fsmount gives an O_PATH descriptor, which can neither be listed nor attached to.
    rustix::fs::openat(&mount, ".", DIRECTORY, Mode::empty())
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_dir(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(at, path, DIRECTORY, Mode::empty())?)
}

fn is_cgroup2(dir: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(dir).is_ok_and(|stat| stat.f_type == libc::CGROUP2_SUPER_MAGIC)
}

fn read(dir: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut text = String::new();
    File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?).read_to_string(&mut text)?;
    Ok(text)
}

/// Visits `dir` and every cgroup below it; one that goes meanwhile is passed over.
fn walk(
    dir: BorrowedFd<'_>,
    depth: usize,
    visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<()> {
    match visit(dir) {
        // ENODEV is what kernfs answers for the files of a cgroup that was removed while it was open.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => return Ok(()),
        other => other?,
    }
    for name in children(dir)? {
        if let (Ok(child), true) = (open_dir(dir, &name), depth > 0) {
            walk(child.as_fd(), depth - 1, visit)?;
        }
    }
    Ok(())
}

/// The names of the cgroups right below `dir`.
fn children(dir: BorrowedFd<'_>) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type() == FileType::Directory && name != "." && name != ".." {
            names.push(PathBuf::from(name));
        }
    }
    Ok(names)
}
