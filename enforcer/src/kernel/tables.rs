//! The tables of a policy in their maps: written by the daemon that holds them, read by anybody who may.

use std::os::fd::OwnedFd;

use enforcer_common::abi::{Header, INTERVALS_V4, INTERVALS_V6, VERSION};
use enforcer_common::names::{CONDITIONS, NAMES, NameEntry, NameHead, TEXT_WORDS};
use enforcer_common::table::{BLOCKS, Generation, Index, IntervalV4, IntervalV6, PolicyWord};

use super::enforcement::Settings;
use super::error::KernelError;
use super::mapped::{Element, Mapped};
use crate::endpoints::GrantedName;
use crate::policy::table::{Range, TableImage, decode, decode_names};

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

/// The mapped tables.
pub(super) struct Tables {
    header: Mapped<Header>,
    index_v4: Mapped<Index>,
    table_v4: Mapped<IntervalV4>,
    index_v6: Mapped<Index>,
    table_v6: Mapped<IntervalV6>,
    scopes: Mapped<u64>,
    name_head: Mapped<NameHead>,
    name_table: Mapped<NameEntry>,
    name_text: Mapped<u64>,
    /// A new policy gets a generation above this one.
    floor: Generation,
}

/// Elements of both halves.
const fn both(half: u32) -> usize {
    2 * half as usize
}

impl Tables {
    /// Maps the maps that `of` gives by their names.
    ///
    /// # Errors
    /// Those of `of`; [`KernelError::Map`] when one can not be mapped.
    pub(super) fn open(
        of: impl Fn(&'static str) -> Result<OwnedFd, KernelError>,
        writable: bool,
    ) -> Result<Self, KernelError> {
        fn mapped<T: Element>(
            of: &impl Fn(&'static str) -> Result<OwnedFd, KernelError>,
            name: &'static str,
            count: usize,
            writable: bool,
        ) -> Result<Mapped<T>, KernelError> {
            use std::os::fd::AsFd as _;
            Mapped::new(name, of(name)?.as_fd(), count, writable)
        }
        Ok(Self {
            header: mapped(&of, "HEADER", 1, writable)?,
            index_v4: mapped(&of, "INDEX_V4", both(BLOCKS), writable)?,
            table_v4: mapped(&of, "TABLE_V4", both(INTERVALS_V4), writable)?,
            index_v6: mapped(&of, "INDEX_V6", both(BLOCKS), writable)?,
            table_v6: mapped(&of, "TABLE_V6", both(INTERVALS_V6), writable)?,
            scopes: mapped(&of, "SCOPES", both(CONDITIONS), writable)?,
            name_head: mapped(&of, "NAME_HEAD", 2, writable)?,
            name_table: mapped(&of, "NAME_TABLE", both(NAMES), writable)?,
            name_text: mapped(&of, "NAME_TEXT", both(TEXT_WORDS), writable)?,
            floor: Generation(0),
        })
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

    /// Puts a policy into force at one store: writes the half that nobody reads, then the word.
    pub(super) fn publish(&mut self, image: &TableImage, settings: Settings) -> Generation {
        let next = self.header.word().generation().max(self.floor).next();
        let half = next.half().index() as usize;
        self.index_v4.write(half * BLOCKS as usize, &image.index_v4);
        self.table_v4
            .write(half * INTERVALS_V4 as usize, &image.intervals_v4);
        self.index_v6.write(half * BLOCKS as usize, &image.index_v6);
        self.table_v6
            .write(half * INTERVALS_V6 as usize, &image.intervals_v6);
        self.scopes.write(half * CONDITIONS as usize, &image.conditions);
        self.name_head.write(half, &[image.names.head]);
        self.name_table.write(half * NAMES as usize, &image.names.entries);
        self.name_text
            .write(half * TEXT_WORDS as usize, &image.names.text);
        self.header.publish(PolicyWord::new(next, settings.bits()));
        next
    }

    /// Reads the policy in force; `None` before the first.
    ///
    /// # Errors
    /// [`KernelError::Layout`] for maps of another build; [`KernelError::System`] when it changes all the time.
    pub(super) fn read(&self) -> Result<Option<Loaded>, KernelError> {
        let blocks = BLOCKS as usize;
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
            let ranges = decode(
                &self.index_v4.read(half * blocks, blocks),
                &self
                    .table_v4
                    .read(half * INTERVALS_V4 as usize, INTERVALS_V4 as usize),
                &self.index_v6.read(half * blocks, blocks),
                &self
                    .table_v6
                    .read(half * INTERVALS_V6 as usize, INTERVALS_V6 as usize),
                &self.scopes.read(half * CONDITIONS as usize, CONDITIONS as usize),
            );
            let names = decode_names(
                self.name_head.read(half, 1).first().copied().unwrap_or_default(),
                &self.name_table.read(half * NAMES as usize, NAMES as usize),
                &self
                    .name_text
                    .read(half * TEXT_WORDS as usize, TEXT_WORDS as usize),
            );
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
