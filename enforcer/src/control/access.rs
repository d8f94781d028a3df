//! Who may ask, and who may change something: told by the kernel, and never by the one who asks.
//!
//! The credentials are those of the process when it connected (unix(7), `SO_PEERCRED`), in the terms of the initial user
//! namespace: root of a container that has a user namespace of its own is nobody here.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::net::sockopt::socket_peercred;

/// Most groups of a process (`NGROUPS_MAX` of include/uapi/linux/limits.h).
const GROUPS_MAX: usize = 65_536;
/// Room for the groups of nearly everybody.
const GROUPS_USUAL: usize = 64;

/// What somebody may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rights {
    /// Nothing.
    None,
    /// Ask.
    Read,
    /// Ask, and have something done.
    Change,
}

/// Who is at the other end of a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The effective user.
    pub uid: u32,
    /// The effective group and the supplementary ones.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// `socket` is no connected UNIX socket.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        let credentials = socket_peercred(&socket)?;
        let mut groups = supplementary(socket.as_fd(), GROUPS_USUAL)?;
        groups.push(credentials.gid.as_raw());
        Ok(Self {
            uid: credentials.uid.as_raw(),
            groups,
        })
    }

    /// What he may do: root and the user that this process runs as everything, `group` ask.
    #[must_use]
    pub fn rights(&self, group: Option<u32>) -> Rights {
        if self.uid == 0 || self.uid == rustix::process::geteuid().as_raw() {
            Rights::Change
        } else if group.is_some_and(|group| self.groups.contains(&group)) {
            Rights::Read
        } else {
            Rights::None
        }
    }
}

/// The supplementary groups (`SO_PEERGROUPS`, Linux 4.13), in room for so many at first.
fn supplementary(socket: BorrowedFd<'_>, room: usize) -> io::Result<Vec<u32>> {
    let mut groups = vec![MaybeUninit::<u32>::uninit(); room];
    let mut bytes = libc::socklen_t::try_from(size_of::<u32>() * room).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `bytes` bytes to `groups`, which has room for them, and `bytes` is ours.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if outcome != 0 {
        let error = io::Error::last_os_error();
        // It has told how many bytes it needs.
        let needed = bytes as usize / size_of::<u32>();
        if error.raw_os_error() == Some(libc::ERANGE) && needed > room && needed <= GROUPS_MAX {
            return supplementary(socket, needed);
        }
        return Err(error);
    }
    groups.truncate(bytes as usize / size_of::<u32>());
    Ok(groups
        .into_iter()
        .map(|group| {
            // SAFETY: the kernel has written as many as it says, and every bit pattern is a value.
            unsafe { group.assume_init() }
        })
        .collect())
}

/// The id of the group that a configuration names: a number, or a name of /etc/group (group(5)). Other sources of names
/// are not asked, since they may need the network that waits for enforcer.
///
/// # Errors
/// Why there is none, in words.
pub fn group_id(group: &str) -> Result<u32, String> {
    let read = || {
        std::fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group can not be read: {error}"))
    };
    group.parse().or_else(|_| {
        find_group(&read()?, group).ok_or_else(|| format!("the group `{group}` is not in /etc/group"))
    })
}

fn find_group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_kernel_says_who_it_is() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer.groups.contains(&rustix::process::getegid().as_raw()));
        assert_eq!(peer.rights(None), Rights::Change);
        // The room for the groups may be too small at first.
        let all = supplementary(one.as_fd(), GROUPS_USUAL).unwrap();
        assert_eq!(supplementary(one.as_fd(), 0).unwrap(), all);
    }

    #[test]
    fn a_group_may_ask_and_strangers_may_not() {
        let peer = Peer {
            uid: 12_345,
            groups: vec![100, 7],
        };
        assert_eq!(peer.rights(None), Rights::None);
        assert_eq!(peer.rights(Some(0)), Rights::None);
        assert_eq!(peer.rights(Some(7)), Rights::Read);
        let root = Peer {
            uid: 0,
            groups: Vec::new(),
        };
        assert_eq!(root.rights(None), Rights::Change);
    }

    #[test]
    fn groups_are_found_by_name_or_number() {
        let text = "root:x:0:\nops:x:1001:alice,bob\nbroken\nworse:x:y:\n";
        assert_eq!(find_group(text, "ops"), Some(1001));
        for name in ["op", "broken", "worse", "alice"] {
            assert_eq!(find_group(text, name), None);
        }
        assert_eq!(group_id("17"), Ok(17));
        assert!(group_id("no-such-group-here").unwrap_err().contains("/etc/group"));
    }
}
