//! Network namespaces, as /proc tells of them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Device and inode number: what makes two namespaces the same (namespaces(7)).
pub(super) type Id = (u64, u64);

/// A network namespace, held open.
#[derive(Debug)]
pub(super) struct NetworkNamespace {
    file: File,
    id: Id,
}

impl NetworkNamespace {
    /// That of the calling thread.
    pub(super) fn own() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// That of a process or thread; `None` when it has ended.
    ///
    /// # Errors
    /// It belongs to another user and enforcer may not look (`PTRACE_MODE_READ_FSCREDS`).
    pub(super) fn of_process(pid: u32) -> io::Result<Option<Self>> {
        match Self::open(Path::new(&format!("/proc/{pid}/ns/net"))) {
            Ok(namespace) => Ok(Some(namespace)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH) => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let stat = rustix::fs::fstat(&file)?;
        Ok(Self {
            file,
            id: (stat.st_dev, stat.st_ino),
        })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// Does `work` on a thread that is in this namespace and ends afterwards: a thread that came back, or failed to,
    /// would keep a container's namespace alive.
    ///
    /// # Errors
    /// EPERM: it may not be entered.
    pub(super) fn visit<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        let entered = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        thread::scope(|scope| {
            let visitor = thread::Builder::new()
                .name("visit-netns".to_owned())
                .spawn_scoped(scope, entered)?;
            match visitor.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}
