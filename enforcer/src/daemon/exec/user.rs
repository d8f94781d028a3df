//! The user that a command runs as.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

use rustix::process::{Gid, Uid};

/// Most groups that are taken on; NGROUPS_MAX of the kernel is 65,536, and nobody is in so many.
const GROUPS_MAX: usize = 1024;
/// Room for the strings of one entry.
const ENTRY_MAX: usize = 16 * 1024;

/// A user of this machine with the groups they are in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct User {
    name: String,
    home: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Why a user can not be found.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// Nobody of that name or number.
    #[error("there is no user `{0}` on this machine")]
    Unknown(String),
    /// The user database does not answer.
    #[error("the user `{name}` can not be looked up")]
    Lookup {
        /// As it was given.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// More groups than [`GROUPS_MAX`].
    #[error("the user `{0}` is in more than {GROUPS_MAX} groups")]
    Groups(String),
}

impl User {
    /// Looks up a user by name, or by number.
    ///
    /// # Errors
    /// There is no such user, or the user database does not answer.
    pub(super) fn find(text: &str) -> Result<Self, UserError> {
        let name = CString::new(text).map_err(|_| UserError::Unknown(text.to_owned()))?;
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut strings = vec![0; ENTRY_MAX];
        let mut found = std::ptr::null_mut();
        let status = match text.parse::<u32>() {
            // SAFETY: all pointers are to live values of the size that is told; the entry is read only when `found`
            // says that it was written.
            Ok(uid) => unsafe {
                libc::getpwuid_r(
                    uid,
                    entry.as_mut_ptr(),
                    strings.as_mut_ptr(),
                    strings.len(),
                    &raw mut found,
                )
            },
            // SAFETY: as above, and `name` ends with a NUL.
            Err(_) => unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    strings.as_mut_ptr(),
                    strings.len(),
                    &raw mut found,
                )
            },
        };
        if status != 0 {
            return Err(UserError::Lookup {
                name: text.to_owned(),
                source: std::io::Error::from_raw_os_error(status),
            });
        }
        if found.is_null() {
            return Err(UserError::Unknown(text.to_owned()));
        }
        // SAFETY: a call that finds somebody writes the whole entry.
        let entry = unsafe { entry.assume_init() };
        // SAFETY: the strings of the entry end with a NUL and lie in `strings`, which is alive.
        let name = unsafe { CStr::from_ptr(entry.pw_name) };
        // SAFETY: as above.
        let home = unsafe { CStr::from_ptr(entry.pw_dir) };
        Ok(Self {
            groups: groups(name, entry.pw_gid).ok_or_else(|| UserError::Groups(text.to_owned()))?,
            name: name.to_string_lossy().into_owned(),
            home: home.to_string_lossy().into_owned(),
            uid: entry.pw_uid,
            gid: entry.pw_gid,
        })
    }

    /// User, group, and every group.
    pub(super) fn ids(&self) -> ((Uid, Gid), Vec<Gid>) {
        let groups = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        ((Uid::from_raw(self.uid), Gid::from_raw(self.gid)), groups)
    }

    /// What a login would set.
    pub(super) fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("HOME", &self.home),
            ("USER", &self.name),
            ("LOGNAME", &self.name),
        ]
    }
}

fn groups(name: &CStr, gid: u32) -> Option<Vec<u32>> {
    let mut groups = vec![0; GROUPS_MAX];
    let mut count = libc::c_int::try_from(GROUPS_MAX).ok()?;
    // SAFETY: `groups` has room for `count` entries, and `name` ends with a NUL.
    let status = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
    if status < 0 {
        return None;
    }
    groups.truncate(usize::try_from(count).ok()?);
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user_by_name_and_by_number() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(User::find("0").unwrap(), root);
    }

    #[test]
    fn says_that_a_user_is_unknown() {
        assert!(matches!(
            User::find("nobody-of-that-name"),
            Err(UserError::Unknown(_))
        ));
        assert!(matches!(User::find("a\0b"), Err(UserError::Unknown(_))));
    }
}
