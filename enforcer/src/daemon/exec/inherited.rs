//! Sockets that the command would inherit. The kernel judges a socket by the cgroup in which it was made (Linux
//! `net/core/sock.c`, `cgroup_sk_alloc`), so one from outside would be a way out of the policy.

use std::fs;
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
pub(super) fn keep_back() -> Inherited {
    let mut found = Inherited::default();
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return found;
    };
    let numbers: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers {
        // SAFETY: used within this turn of the loop alone. Should the descriptor have been closed since it was listed,
        // as the one of the listing itself has, the calls below say so and do nothing.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if !is_internet(descriptor) {
            continue;
        }
        if STANDARD.contains(&number) {
            found.handed_on.push(number);
        } else if let Ok(flags) = rustix::io::fcntl_getfd(descriptor)
            && !flags.contains(FdFlags::CLOEXEC)
            && rustix::io::fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC).is_ok()
        {
            found.kept_back.push(number);
        }
    }
    found.kept_back.sort_unstable();
    found.handed_on.sort_unstable();
    found
}

fn is_internet(descriptor: BorrowedFd<'_>) -> bool {
    matches!(
        rustix::net::sockopt::socket_domain(descriptor),
        Ok(AddressFamily::INET | AddressFamily::INET6 | AddressFamily::PACKET)
    )
}
