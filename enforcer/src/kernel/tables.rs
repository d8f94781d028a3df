//! The tables of a policy in their maps: written by the daemon that holds them, read by anybody who may.

mod image;
mod publish;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd as _, OwnedFd};

use enforcer_common::abi::{Header, VERSION};
use enforcer_common::names::{ENTRIES_AT, NAMES_HALF, SCOPES_AT};
use enforcer_common::table::{BLOCKS, Generation, Index, IntervalV4, IntervalV6};

use super::enforcement::Settings;
use super::error::KernelError;
use super::mapped::{Element, Mapped, Windows};
use crate::config::Capacity;
use crate::endpoints::GrantedName;
use crate::policy::table::{Range, decode, decode_names};
use publish::Halves;

pub use image::Image;

/// How often a policy that changes under the reader is read again.
const ATTEMPTS: u32 = 8;

/// The policy that is in force on a cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its generation.
    pub generation: Generation,
    /// Its settings.
    pub settings: Settings,
    /// What it grants, ascending.
    pub ranges: Vec<Range>,
    /// The server names it grants, ascending.
    pub names: Vec<GrantedName>,
}

/// A map that can be mapped.
pub(super) struct Mappable {
    pub(super) fd: OwnedFd,
    /// What its elements take.
    pub(super) bytes: u64,
}

/// The tables. The header is mapped all the time, the rest while it changes: see [`Self::rest`].
pub(super) struct Tables {
    header: Mapped<Header>,
    index_v4: Windows<Index>,
    table_v4: Windows<IntervalV4>,
    index_v6: Windows<Index>,
    table_v6: Windows<IntervalV6>,
    names: Windows<u64>,
    /// Of a half.
    capacity: Capacity,
    halves: Halves,
    /// A new policy gets a generation above this one.
    floor: Generation,
}

/// Elements of both halves.
const fn both(half: u32) -> usize {
    2 * half as usize
}

impl Tables {
    /// Works with the maps that `of` gives by their names.
    ///
    /// # Errors
    /// Those of `of`; [`KernelError::Map`] when the header can not be mapped, or a map is of another size than any
    /// enforcer's.
    pub(super) fn open(
        of: impl Fn(&'static str) -> Result<Mappable, KernelError>,
        writable: bool,
    ) -> Result<Self, KernelError> {
        fn any<T: Element>(name: &'static str, map: Mappable) -> Windows<T> {
            let count = usize::try_from(map.bytes).unwrap_or(usize::MAX) / size_of::<T>();
            Windows::new(name, map.fd, count)
        }
        fn sized<T: Element>(
            name: &'static str,
            count: usize,
            of_size: impl Fn(&'static str, usize) -> Result<Mappable, KernelError>,
        ) -> Result<Windows<T>, KernelError> {
            Ok(any(name, of_size(name, count * size_of::<T>())?))
        }
        let of_size = |name: &'static str, bytes: usize| {
            let map = of(name)?;
            if map.bytes != bytes as u64 {
                return Err(other_size(name, map.bytes));
            }
            Ok(map)
        };
        let header = of_size("HEADER", size_of::<Header>())?;
        let table_v4: Windows<IntervalV4> = any("TABLE_V4", of("TABLE_V4")?);
        let table_v6: Windows<IntervalV6> = any("TABLE_V6", of("TABLE_V6")?);
        let half = |count: usize| u32::try_from(count / 2).unwrap_or_default();
        let capacity = Capacity::new(half(table_v4.count()), half(table_v6.count()))
            .ok_or_else(|| other_size("TABLE_V4", table_v4.count() as u64))?;
        Ok(Self {
            header: Mapped::new("HEADER", header.fd.as_fd(), 1, writable)?,
            index_v4: sized("INDEX_V4", both(BLOCKS), of_size)?,
            table_v4,
            index_v6: sized("INDEX_V6", both(BLOCKS), of_size)?,
            table_v6,
            names: sized("NAMES", both(NAMES_HALF), of_size)?,
            capacity,
            halves: Halves::default(),
            floor: Generation(0),
        })
    }

    /// Unmaps what publications have mapped. Nothing is lost by it, and the next one maps what it needs.
    pub(super) fn rest(&mut self) {
        self.index_v4.close();
        self.table_v4.close();
        self.index_v6.close();
        self.table_v6.close();
        self.names.close();
    }

    /// What a half holds.
    pub(super) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The version of the layout that is in the header; 0 before anybody wrote it.
    pub(super) fn version(&self) -> u32 {
        self.header.read(0, 1).first().map_or(0, |header| header.version)
    }

    /// Writes our version of the layout into the header.
    pub(super) fn set_version(&mut self) {
        self.header.set_version(VERSION);
    }

    /// When enforcement ends by itself, nanoseconds of `CLOCK_BOOTTIME`; 0 for never.
    pub(super) fn revert_ns(&self) -> u64 {
        self.header
            .read(0, 1)
            .first()
            .map_or(0, |header| header.revert_ns)
    }

    /// Sets that time.
    pub(super) fn set_revert_ns(&mut self, revert_ns: u64) {
        self.header.set_revert_ns(revert_ns);
    }

    /// The generation in force; 0 before the first policy.
    pub(super) fn generation(&self) -> Generation {
        self.header.word().generation()
    }

    /// Has new maps go on above every generation that maps before them can have had since the boot. What is kept with a
    /// socket says by the generation alone under which policy it was judged: under one that comes back, with other maps,
    /// it would pass whatever it was granted then.
    pub(super) fn go_on_above_all(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let milliseconds = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
        // Nobody publishes a thousand policies a second.
        self.floor = Generation(seconds * 1000 + milliseconds);
    }

    /// Reads the policy in force; `None` before the first.
    ///
    /// # Errors
    /// [`KernelError::Layout`] for maps of another build; [`KernelError::Map`] when they can not be mapped;
    /// [`KernelError::System`] when it changes all the time.
    pub(super) fn read(&self) -> Result<Option<Loaded>, KernelError> {
        let blocks = BLOCKS as usize;
        let (v4, v6) = (self.capacity.ipv4() as usize, self.capacity.ipv6() as usize);
        for _ in 0..ATTEMPTS {
            let word = self.header.word();
            let generation = word.generation();
            if self.version() != VERSION {
                return Err(KernelError::Layout {
                    found: self.version(),
                    expected: VERSION,
                });
            }
            if generation.0 == 0 {
                return Ok(None);
            }
            let half = generation.half().index() as usize;
            let names = self.names.read(half * NAMES_HALF as usize, NAMES_HALF as usize)?;
            let (head, names) = names.split_at(ENTRIES_AT as usize);
            let (head, scopes) = head.split_at(SCOPES_AT as usize);
            let ranges = decode(
                &self.index_v4.read(half * blocks, blocks)?,
                &self.table_v4.read(half * v4, v4)?,
                &self.index_v6.read(half * blocks, blocks)?,
                &self.table_v6.read(half * v6, v6)?,
                scopes,
            );
            let names = decode_names(head, names);
            if self.header.word() == word {
                return Ok(Some(Loaded {
                    generation,
                    settings: Settings::from_bits(word.settings()),
                    ranges,
                    names,
                }));
            }
        }
        Err(KernelError::System {
            action: "reading the loaded policy, which changes all the time,",
            source: std::io::ErrorKind::ResourceBusy.into(),
        })
    }
}

fn other_size(map: &'static str, bytes: u64) -> KernelError {
    KernelError::Map {
        map,
        action: "used",
        source: std::io::Error::other(format!("it is of another size: {bytes} bytes")),
    }
}
