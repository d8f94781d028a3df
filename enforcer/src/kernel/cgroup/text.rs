//! The two texts of /proc that say where cgroup v2 is. Pure: text in, paths out.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Where file systems of type `cgroup2` are mounted whole, in the order of `/proc/self/mountinfo` (proc(5)).
///
/// A mount of a part of the hierarchy (its root field is not `/`) is left out: what a container engine binds into a
/// container is not the root.
pub(super) fn mounts(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (root, mount_point) = (fields.next()?, fields.next()?);
            let is_whole = file_system.split(' ').next() == Some("cgroup2") && root == "/";
            is_whole.then(|| unescape(mount_point))
        })
        .collect()
}

/// The path of the unified hierarchy in `/proc/<pid>/cgroup` (cgroups(7)): the line `0::<path>`.
pub(super) fn unified_path(cgroup: &str) -> Option<&str> {
    cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .filter(|path| path.starts_with('/'))
}

/// Undoes the octal escapes (`\040` for a space) of a mount point.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn finds_cgroup_v2_on_plain_and_hybrid_hosts() {
        let plain = "24 30 0:22 / /proc rw shared:12 - proc proc rw\n\
                     29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mounts(plain), [Path::new("/sys/fs/cgroup")]);
        let hybrid = "33 24 0:28 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n\
                      34 33 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
                      35 33 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,name=systemd\n";
        assert_eq!(mounts(hybrid), [Path::new("/sys/fs/cgroup/unified")]);
        assert!(mounts("").is_empty());
    }

    #[test]
    fn a_mount_of_a_part_is_not_the_root() {
        let container = "700 699 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
                         701 699 0:26 /../.. /mnt/outer ro - cgroup2 cgroup rw\n\
                         702 699 0:26 / /mnt/cgroup\\040two rw - cgroup2 cgroup rw\n";
        assert_eq!(mounts(container), [Path::new("/mnt/cgroup two")]);
    }

    #[test]
    fn lines_that_are_cut_short_are_left_out() {
        assert!(mounts("29 23 0:26\n29 23 0:26 / - cgroup2\n - \n\n").is_empty());
        assert_eq!(unescape("a\\04"), Path::new("a\\04"));
        assert_eq!(unescape("\\134x"), Path::new("\\x"));
    }

    #[test]
    fn finds_the_own_cgroup() {
        let hybrid = "9:name=systemd:/\n4:memory:/jobs/1\n0::/user.slice/user-1000.slice\n";
        assert_eq!(unified_path(hybrid), Some("/user.slice/user-1000.slice"));
        assert_eq!(unified_path("0::/\n"), Some("/"));
        assert_eq!(unified_path("1:cpu:/\n"), None, "cgroup v1 alone");
        assert_eq!(unified_path("0::\n"), None);
    }
}
