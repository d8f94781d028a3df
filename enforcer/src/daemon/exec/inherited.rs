//! Sockets that the command would inherit. The kernel judges a socket by the cgroup in which it was made (Linux
//! `net/core/sock.c`, `cgroup_sk_alloc`), so one from outside would be a way out of the policy.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::FdFlags;
use rustix::net::AddressFamily;

/// The standard descriptors are handed on whatever they are: the command can not do without them.
const STANDARD: std::ops::RangeInclusive<RawFd> = 0..=2;

/// What was found.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Inherited {
    /// Descriptors that the command does not get.
    pub(super) kept_back: Vec<RawFd>,
    /// Standard descriptors that are internet sockets; the command gets them, and they are not judged.
    pub(super) handed_on: Vec<RawFd>,
}

/// Keeps every internet socket that came from outside from being handed on to the command.
///
/// To be called before this process opens sockets of its own.
///
/// # Errors
/// The descriptors can not be listed, or one of them can not be kept back: the command must not be started then.
pub(super) fn keep_back() -> io::Result<Inherited> {
    let mut numbers: Vec<RawFd> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<RawFd>().ok()),
        );
    }
    numbers.sort_unstable();
    let mut found = Inherited::default();
    for number in numbers {
        // SAFETY: used within this turn of the loop alone. Should the descriptor have been closed since it was listed,
        // as the one of the listing itself has, it is no internet socket to the next call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if !is_internet(descriptor) {
            continue;
        }
        if STANDARD.contains(&number) {
            found.handed_on.push(number);
            continue;
        }
        let flags = rustix::io::fcntl_getfd(descriptor)?;
        if !flags.contains(FdFlags::CLOEXEC) {
            rustix::io::fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
            found.kept_back.push(number);
        }
    }
    Ok(found)
}

fn is_internet(descriptor: BorrowedFd<'_>) -> bool {
    matches!(
        rustix::net::sockopt::socket_domain(descriptor),
        Ok(AddressFamily::INET | AddressFamily::INET6 | AddressFamily::PACKET)
    )
}
