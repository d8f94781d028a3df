//! How many elements the maps of the tables have for a configured capacity, and whether the machine has the memory.

use std::fs;
use std::path::Path;

use aya_obj::Object;
use enforcer_common::table::{IntervalV4, IntervalV6};

use super::cgroup::hierarchy;
use super::error::KernelError;
use crate::config::Capacity;

/// The part of the memory that all tables together may take: kernel memory is never swapped out, and while a capacity
/// changes the old tables are there as well.
const PART: u64 = 2;

/// The maps whose size is configured, and how many elements they have.
#[derive(Debug)]
pub(super) struct Sizes([(&'static str, u32); 2]);

/// How much memory there is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Whose: the machine, or the cgroup whose limit is lower.
    pub of: String,
    /// Bytes.
    pub bytes: u64,
}

impl Sizes {
    /// # Errors
    /// [`KernelError::Memory`] when the maps would take more than half of the machine's memory, or of what the cgroup of
    /// this process may have; [`KernelError::Object`] when the object is of another layout.
    pub(super) fn of(capacity: Capacity, object: &Object) -> Result<Self, KernelError> {
        let sizes = Self::in_object(capacity, object)?;
        let needed = sizes.bytes(object);
        let cgroups = hierarchy().ok().and_then(|(_, mounted_at)| mounted_at);
        match limit(Path::new("/proc"), cgroups.as_deref()) {
            Some(limit) if needed > limit.bytes / PART => Err(KernelError::Memory {
                capacity,
                needed,
                limit,
            }),
            _ => Ok(sizes),
        }
    }

    fn in_object(capacity: Capacity, object: &Object) -> Result<Self, KernelError> {
        // An element may hold many intervals.
        let entries = |name: &'static str, half: u32, size: usize| {
            let bytes = 2 * u64::from(half) * size as u64;
            let value = object.maps.get(name).map(|map| u64::from(map.value_size()));
            let entries = value
                .filter(|value| *value > 0 && bytes.is_multiple_of(*value))
                .and_then(|value| u32::try_from(bytes / value).ok());
            let wrong = || format!("the elements of the map `{name}` are not of the size that was asked for");
            entries
                .map(|entries| (name, entries))
                .ok_or_else(|| KernelError::Object(wrong().into()))
        };
        Ok(Self([
            entries("TABLE_V4", capacity.ipv4(), size_of::<IntervalV4>())?,
            entries("TABLE_V6", capacity.ipv6(), size_of::<IntervalV6>())?,
        ]))
    }

    /// Every map and its number of elements.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.0.iter().copied()
    }

    /// How many elements a map has; `None` for one whose size is fixed.
    pub(super) fn of_map(&self, name: &str) -> Option<u32> {
        self.entries()
            .find(|(map, _)| *map == name)
            .map(|(_, entries)| entries)
    }

    /// What all maps of the object take, without what the kernel keeps beside each.
    fn bytes(&self, object: &Object) -> u64 {
        object
            .maps
            .iter()
            .map(|(name, map)| {
                let entries = self.of_map(name).unwrap_or(map.max_entries());
                // Elements of arrays are aligned to 8 bytes, and a ring has no values.
                let value = u64::from(map.value_size().max(1)).next_multiple_of(8);
                match map.value_size() {
                    0 => u64::from(entries),
                    _ => value * u64::from(entries),
                }
            })
            .sum()
    }
}

/// The lowest limit of memory that holds for this process; `None` where none can be read.
fn limit(proc: &Path, cgroups: Option<&Path>) -> Option<Limit> {
    let machine = fs::read_to_string(proc.join("meminfo"))
        .ok()
        .and_then(|text| total(&text))
        .map(|bytes| Limit {
            of: "this machine".to_owned(),
            bytes,
        });
    let own = fs::read_to_string(proc.join("self/cgroup")).ok();
    let own = own.as_deref().and_then(own_cgroup).unwrap_or("");
    let parents = Path::new(own).ancestors().filter_map(|path| {
        let text = fs::read_to_string(cgroups?.join(path).join("memory.max")).ok()?;
        Some(Limit {
            of: format!("the cgroup /{}", path.display()),
            bytes: text.trim().parse().ok()?,
        })
    });
    machine.into_iter().chain(parents).min_by_key(|limit| limit.bytes)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The path of the process in cgroup v2, without its first slash.
fn own_cgroup(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))?
        .strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::OBJECT;

    #[test]
    fn the_lowest_limit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (proc, cgroups) = (folder.path().join("proc"), folder.path().join("cgroup"));
        assert_eq!(limit(&proc, Some(&cgroups)), None);
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::create_dir_all(cgroups.join("system.slice/enforcer.service")).unwrap();
        fs::write(proc.join("meminfo"), "MemTotal:       24576 kB\nMemFree: 1 kB\n").unwrap();
        let found = |of: &str, bytes| {
            Some(Limit {
                of: of.to_owned(),
                bytes,
            })
        };
        assert_eq!(limit(&proc, Some(&cgroups)), found("this machine", 24 << 20));
        fs::write(
            proc.join("self/cgroup"),
            "1:cpu:/x\n0::/system.slice/enforcer.service\n",
        )
        .unwrap();
        fs::write(cgroups.join("system.slice/enforcer.service/memory.max"), "max\n").unwrap();
        fs::write(cgroups.join("system.slice/memory.max"), "1048576\n").unwrap();
        assert_eq!(
            limit(&proc, Some(&cgroups)),
            found("the cgroup /system.slice", 1 << 20)
        );
    }

    #[test]
    fn maps_are_as_large_as_their_capacity() {
        let object = Object::parse(OBJECT).unwrap();
        let capacity = Capacity::default();
        let default = Sizes::in_object(capacity, &object).unwrap();
        let twice = Capacity::new(2 * capacity.ipv4(), capacity.ipv6()).unwrap();
        let twice = Sizes::in_object(twice, &object).unwrap();
        let more = u64::from(2 * capacity.ipv4()) * 8;
        assert_eq!(twice.bytes(&object) - default.bytes(&object), more);
        for (name, entries) in default.entries() {
            assert_eq!(object.maps[name].max_entries(), entries, "{name}");
        }
    }
}
