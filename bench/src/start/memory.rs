//! What the pinned maps take, as the kernel accounts it (`memlock` in /proc/self/fdinfo) and as their sizes say.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::raw;

/// The maps of IPv4 prefixes.
const TABLE_V4: [&str; 2] = ["INDEX_V4", "TABLE_V4"];

/// Bytes, by what they are.
///
/// # Errors
/// When the pins can not be read.
pub(super) fn of(pins: &Path) -> Result<[(&'static str, u64); 4]> {
    let (mut accounted, mut computed, mut table, mut table_computed) = (0, 0, 0, 0);
    for folder in folders(pins)? {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let fd =
                raw::open_pinned(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
            let info = Info::read(&text);
            accounted += info.field("memlock");
            computed += info.computed();
            if path
                .file_name()
                .is_some_and(|name| TABLE_V4.iter().any(|table| name == *table))
            {
                table += info.field("memlock");
                table_computed += info.computed();
            }
        }
    }
    Ok([
        ("kernel memory of all maps", accounted),
        ("kernel memory of all maps, computed", computed),
        ("table memory in use, IPv4", table),
        ("table memory in use, IPv4, computed", table_computed),
    ])
}

/// Those of maps; the others hold programs.
fn folders(pins: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(pins).with_context(|| format!("{} cannot be read", pins.display()))?;
    let folders = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        (name.starts_with("abi-") || name.starts_with("flow-")).then_some(path)
    });
    Ok(folders.collect())
}

/// The numbers of one map.
struct Info(BTreeMap<String, u64>);

impl Info {
    fn read(text: &str) -> Self {
        let number = |value: &str| value.trim().parse::<u64>().ok();
        let fields = text.lines().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key.to_owned(), number(value)?))
        });
        Self(fields.collect())
    }

    fn field(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What lies in it, without what the kernel keeps beside: a ring buffer and socket storage have no values by number.
    fn computed(&self) -> u64 {
        let value = self.field("value_size").next_multiple_of(8);
        match value {
            0 => self.field("max_entries"),
            value => value * self.field("max_entries"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_is_read_as_the_kernel_writes_it() {
        let text = "pos:\t0\nflags:\t02000002\nmap_type:\t2\nkey_size:\t4\nvalue_size:\t12\nmax_entries:\t100\n\
                    map_flags:\t0x400\nmemlock:\t4096\nfrozen:\t0\n";
        let info = Info::read(text);
        assert_eq!((info.field("memlock"), info.computed()), (4096, 1600));
        assert_eq!(
            Info::read("value_size:\t0\nmax_entries:\t1048576\n").computed(),
            1_048_576
        );
    }
}
