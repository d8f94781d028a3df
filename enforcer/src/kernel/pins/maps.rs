//! The pinned maps: those that are there and fit are worked on with, others are replaced as a whole.
//!
//! aya takes whatever is pinned under a name, so what is there is held against what the object asks for before.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapInfo};
use aya_obj::Object;
use enforcer_common::abi::{Header, VERSION};
use enforcer_common::flow;
use enforcer_common::table::Generation;

use super::super::error::KernelError;
use super::super::mapped::Mapped;
use super::super::sizes::Sizes;
use super::super::sys;
use super::{Pins, aside, folder};

/// Maps that belong together: all of them are taken over, or none.
struct Group {
    kind: &'static str,
    version: u32,
    maps: &'static [&'static str],
}

const GROUPS: [Group; 2] = [
    Group {
        kind: "abi",
        version: VERSION,
        maps: &[
            "HEADER", "INDEX_V4", "TABLE_V4", "INDEX_V6", "TABLE_V6", "NAMES", "COUNTERS", "EVENTS",
        ],
    },
    Group {
        kind: "flow",
        version: flow::VERSION,
        maps: &["FLOWS", "PIECES_0", "PIECES_1", "PIECES_2", "PIECES_3"],
    },
];

/// Maps of which every page is cleared when they are made: they take the kernel as long as a good part of a program.
const LARGE: [&str; 5] = ["INDEX_V4", "TABLE_V4", "INDEX_V6", "TABLE_V6", "NAMES"];

impl Group {
    fn name(&self) -> String {
        format!("{}-{}", self.kind, self.version)
    }
}

/// What became of a group of maps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Was {
    /// There was none: it is new.
    Missing,
    /// It is worked on with as it was.
    Taken,
    /// There was one that these programs can not work with, for this reason: there is a new one.
    Unfit(String),
}

/// What was pinned when the programs were loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MapsFound {
    /// The maps of the policy, its counters and events.
    pub policy: Was,
    /// What is kept with sockets.
    pub flows: Was,
}

/// Where the maps of a load are or will be.
pub(in super::super) struct PreparedMaps {
    /// The path of each, by its name.
    pub(in super::super) paths: Vec<(&'static str, PathBuf)>,
    /// The time from which on the maps that are to be replaced would only report; 0 for none. Whoever has to confirm has to
    /// do so whatever the size of the tables.
    pub(in super::super) revert_ns: u64,
    was: [Was; GROUPS.len()],
}

impl PreparedMaps {
    /// Whether there was none of them.
    pub(in super::super) fn are_first(&self) -> bool {
        self.was.iter().all(|was| *was == Was::Missing)
    }

    /// What was there of them.
    pub(in super::super) fn found(&self) -> MapsFound {
        let [policy, flows] = self.was.clone();
        MapsFound { policy, flows }
    }
}

impl Pins {
    /// Looks at what is pinned, and says where each map is, or is to be made. The large ones are made, while the loader is
    /// still being made beside.
    pub(in super::super) fn prepare_maps(
        &self,
        object: &Object,
        sizes: &Sizes,
    ) -> Result<PreparedMaps, KernelError> {
        for group in &GROUPS {
            aside::recover(&self.folder, &group.name())
                .map_err(|error| folder::failed("put back", &self.folder.join(group.name()), error))?;
        }
        let mut paths = Vec::new();
        let was = GROUPS.each_ref().map(|group| self.look(group, object, sizes));
        for (group, was) in GROUPS.iter().zip(&was) {
            let folder = if *was == Was::Taken {
                self.folder.join(group.name())
            } else {
                let new = self.folder.join(format!("new-{}", group.name()));
                folder::remove_if_there(&new)
                    .and_then(|()| fs::create_dir(&new))
                    .map_err(|error| folder::failed("made", &new, error))?;
                make_large(group, &new, object, sizes);
                new
            };
            paths.extend(group.maps.iter().map(|name| (*name, folder.join(name))));
        }
        let revert_ns = match &was[0] {
            Was::Unfit(_) => self.revert_ns(),
            Was::Missing | Was::Taken => 0,
        };
        Ok(PreparedMaps {
            paths,
            revert_ns,
            was,
        })
    }

    /// Puts the new groups in their place, once all their maps are made. What was there comes back when the programs are
    /// dropped before they judge.
    pub(in super::super) fn finish_maps(&self, prepared: PreparedMaps) -> Result<MapsFound, KernelError> {
        let replaced = GROUPS.iter().zip(&prepared.was);
        let replaced = replaced.filter(|(_, was)| **was != Was::Taken);
        let names: Vec<String> = replaced.map(|(group, _)| group.name()).collect();
        self.aside
            .put_in_place(&self.folder, &names)
            .map_err(|(place, error)| folder::failed("put in its place", &place, error))?;
        Ok(prepared.found())
    }

    /// What a header of this layout says, whatever the other maps are like; 0 where there is none.
    fn revert_ns(&self) -> u64 {
        let path = self.folder.join(GROUPS[0].name()).join("HEADER");
        let header = header(&path, false).ok();
        let found = header.and_then(|header| header.read(0, 1).first().copied());
        found
            .filter(|header| header.version == VERSION)
            .map_or(0, |header| header.revert_ns)
    }

    /// The folders of the maps.
    pub(super) fn map_folders(&self) -> [PathBuf; GROUPS.len()] {
        GROUPS.each_ref().map(|group| self.folder.join(group.name()))
    }

    /// The name and the path of every pinned map.
    pub(super) fn map_pins(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        GROUPS.iter().flat_map(|group| {
            let folder = self.folder.join(group.name());
            group.maps.iter().map(move |name| (*name, folder.join(name)))
        })
    }

    fn look(&self, group: &Group, object: &Object, sizes: &Sizes) -> Was {
        let folder = self.folder.join(group.name());
        if folder.symlink_metadata().is_err() {
            return self.other_version(group);
        }
        for name in group.maps {
            if let Err(why) = fits(name, &folder.join(name), object, sizes) {
                return Was::Unfit(why);
            }
        }
        Was::Taken
    }

    /// Maps of another layout, which an older or newer enforcer left.
    fn other_version(&self, group: &Group) -> Was {
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        let found = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|name| Some(name.strip_prefix(group.kind)?.strip_prefix('-')?.to_owned()));
        match found {
            Some(version) => Was::Unfit(format!(
                "its layout has the version {version}, this enforcer has {}",
                group.version
            )),
            None => Was::Missing,
        }
    }
}

/// Makes and pins those of a group that take long. What does not succeed is made with the others, or it is said why not.
fn make_large(group: &Group, folder: &Path, object: &Object, sizes: &Sizes) {
    sys::raise_memlock();
    for name in group.maps.iter().filter(|name| LARGE.contains(name)) {
        let Some(mut map) = object.maps.get(*name).cloned() else {
            continue;
        };
        if let Some(entries) = sizes.of_map(name) {
            map.set_max_entries(entries);
        }
        if let Ok(made) = MapData::create(map, name, None) {
            let _pinned = made.pin(folder.join(name));
        }
    }
}

/// Whether a pinned map is such as the object asks for; why not, in words.
fn fits(name: &str, path: &Path, object: &Object, sizes: &Sizes) -> Result<(), String> {
    let wanted = object
        .maps
        .get(name)
        .ok_or_else(|| format!("the programs have no map {name}"))?;
    let info =
        MapInfo::from_pin(path).map_err(|error| format!("{} can not be opened: {error}", path.display()))?;
    let kind = info.map_type().map_or(u32::MAX, |kind| kind as u32);
    let found = [
        kind,
        info.key_size(),
        info.value_size(),
        info.max_entries(),
        info.map_flags(),
    ];
    let expected = [
        wanted.map_type(),
        wanted.key_size(),
        wanted.value_size(),
        sizes.of_map(name).unwrap_or(wanted.max_entries()),
        wanted.map_flags(),
    ];
    let words = ["type", "key size", "value size", "entries", "flags"];
    for ((word, found), expected) in words.iter().zip(found).zip(expected) {
        if found != expected {
            return Err(format!("the map {name} has the {word} {found}, not {expected}"));
        }
    }
    // The kernel keeps 15 bytes of a name.
    let kept = name.get(..15).unwrap_or(name);
    if info.name_as_str().is_some_and(|found| found != kept) {
        return Err(format!("what is pinned as {name} is another map"));
    }
    if name == "HEADER" {
        let version = header(path, true)
            .map_err(|error| error.to_string())?
            .read(0, 1)
            .first()
            .map_or(0, |header| header.version);
        if version != VERSION {
            return Err(format!("its header has the version {version}, not {VERSION}"));
        }
    }
    Ok(())
}

/// The folder of the policy's maps, below that of an instance.
pub(super) fn policy_folder() -> String {
    GROUPS[0].name()
}

/// Maps the header that is pinned at `path`.
pub(super) fn header(path: &Path, writable: bool) -> Result<Mapped<Header>, KernelError> {
    let data = MapData::from_pin(path).map_err(|error| KernelError::Map {
        map: "HEADER",
        action: "opened",
        source: io::Error::other(error),
    })?;
    Mapped::new("HEADER", data.fd().as_fd(), 1, writable)
}

/// Takes the time away from which on an instance would only report, also beside the daemon that serves it. Whether there
/// was one, and the generation in force; `None` when nothing is pinned.
///
/// # Errors
/// [`KernelError`] when the header can not be reached.
pub fn confirm(instance: &str) -> Result<Option<(bool, Generation)>, KernelError> {
    let path = folder::of(instance)?.join(GROUPS[0].name()).join("HEADER");
    if !folder::is_there(&path)? {
        return Ok(None);
    }
    let mut header = header(&path, true)?;
    let was_limited = header
        .read(0, 1)
        .first()
        .is_some_and(|header| header.revert_ns != 0);
    header.set_revert_ns(0);
    Ok(Some((was_limited, header.word().generation())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_of_the_lists_is_one_of_the_object() {
        let object = Object::parse(super::super::super::object::OBJECT).expect("the object is ours");
        let listed = GROUPS.iter().flat_map(|group| group.maps).chain(&LARGE);
        for name in listed {
            assert!(object.maps.contains_key(*name), "{name}");
        }
        for name in LARGE {
            assert!(GROUPS.iter().any(|group| group.maps.contains(&name)), "{name}");
        }
    }
}
