//! One loaded set of programs and its maps: load, publish, attach, look after.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{Map, MapData, MapInfo, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{CgroupSkb, ProgramFd};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use enforcer_common::abi::{NextProgram, PORTS_MAX};
use enforcer_common::table::{Generation, Settings as Bits};

use super::OBJECT;
use super::by_hand::HelloProbe;
use super::counters::{CounterReader, Counters};
use super::direct::DirectMaps;
use super::error::KernelError;
use super::events::Events;
use super::links::{Link, POINTS, Point};
use super::loading::load_programs;
use super::pins::{Damage, LinkFound, MapsFound, Pinned, Pins, Was, program_id};
use super::preflight;
use super::sizes::Sizes;
use super::sys;
use super::tables::{Loaded, Mappable, Tables};
use crate::config::{Capacity, Existing, Mode, Quic};
use crate::policy::table::Table;

/// The programs that egress goes on with, at their positions in the map of programs.
const NEXT: [(NextProgram, &str); NextProgram::COUNT as usize] = [
    (NextProgram::Session, "enforcer_session"),
    (NextProgram::Pieces, "enforcer_pieces"),
    (NextProgram::Judge, "enforcer_judge"),
];
const EGRESS: &str = POINTS[0].program;

/// The settings that change together with the addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Enforce or audit.
    pub mode: Mode,
    /// What becomes of UDP.
    pub quic: Quic,
    /// What becomes of connections whose beginning was not seen.
    pub existing: Existing,
}

impl Settings {
    pub(super) const fn bits(self) -> Bits {
        let audit = if matches!(self.mode, Mode::Audit) {
            Bits::AUDIT
        } else {
            0
        };
        let quic = if matches!(self.quic, Quic::Allow) {
            Bits::QUIC_ALLOWED
        } else {
            0
        };
        let existing = if matches!(self.existing, Existing::Allow) {
            Bits::EXISTING_ALLOWED
        } else {
            0
        };
        Bits(audit | quic | existing)
    }

    pub(super) const fn from_bits(bits: Bits) -> Self {
        Self {
            mode: if bits.audit() { Mode::Audit } else { Mode::Enforce },
            quic: if bits.quic_allowed() {
                Quic::Allow
            } else {
                Quic::Deny
            },
            existing: if bits.existing_allowed() {
                Existing::Allow
            } else {
                Existing::Deny
            },
        }
    }
}

/// The programs, loaded, with a policy or without one, attached or not.
///
/// One that is not pinned ends with this value; of one that is, the kernel keeps everything, and the next
/// [`Enforcement::load_pinned`] goes on with it.
pub struct Enforcement {
    ebpf: Ebpf,
    tables: Tables,
    counters: CounterReader,
    /// Holds what egress goes on with: the kernel empties it when nobody holds it.
    _programs: ProgramArray<MapData>,
    /// In the order of [`POINTS`], all of them or none.
    links: Vec<Link>,
    pinned: Option<Pinned>,
}

impl Drop for Enforcement {
    fn drop(&mut self) {
        // Closing alone may be too little: a process that is being started has a copy of every descriptor for a moment.
        if self.pinned.is_none() {
            self.detach();
        }
    }
}

impl Enforcement {
    /// Loads the programs for these filtered ports, 1 to [`PORTS_MAX`] of them. Nothing is judged until they are
    /// attached, and everything on these ports is denied until a policy is published. The tables are of the default
    /// capacity.
    ///
    /// # Errors
    /// [`KernelError`]: the list is of another length or has a 0, a privilege or feature is missing, or the kernel
    /// refuses a program.
    pub fn load(ports: &[u16]) -> Result<Self, KernelError> {
        Self::load_with(ports, Capacity::default())
    }

    /// As [`Self::load`], with tables of this capacity.
    ///
    /// # Errors
    /// As for [`Self::load`]; [`KernelError::Memory`] when the tables would take too much of the machine's.
    pub fn load_with(ports: &[u16], capacity: Capacity) -> Result<Self, KernelError> {
        let constants = Constants::new(ports, capacity)?;
        preflight::check()?;
        let sizes = Sizes::of(capacity)?;
        Self::load_into(&mut EbpfLoader::new(), &constants, &sizes)
    }

    /// As [`Self::load`], with the maps that are pinned, or with new ones in their place where there are none, or not such
    /// as these programs work with. A policy in maps that were there is in force as soon as the programs are attached.
    ///
    /// # Errors
    /// As for [`Self::load_with`]; [`KernelError::Pins`] when they can be neither read nor made.
    pub fn load_pinned(
        ports: &[u16],
        capacity: Capacity,
        pins: &Arc<Pins>,
    ) -> Result<(Self, MapsFound), KernelError> {
        let constants = Constants::new(ports, capacity)?;
        preflight::check()?;
        let sizes = Sizes::of(capacity)?;
        let prepared = pins.prepare_maps(&sizes)?;
        let mut loader = EbpfLoader::new();
        for (name, path) in &prepared.paths {
            loader.map_pin_path(name, path);
        }
        let mut loaded = Self::load_into(&mut loader, &constants, &sizes)?;
        if prepared.revert_ns != 0 {
            loaded.tables.set_revert_ns(prepared.revert_ns);
        }
        let found = pins.finish_maps(prepared)?;
        if found.flows == Was::Taken && loaded.tables.generation() == Generation(0) {
            loaded.tables.go_on_above_all();
        }
        loaded.pinned = Some(Pinned::new(Arc::clone(pins), &loaded.ebpf)?);
        Ok((loaded, found))
    }

    fn load_into<'a>(
        loader: &mut EbpfLoader<'a>,
        constants: &'a Constants,
        sizes: &Sizes,
    ) -> Result<Self, KernelError> {
        sys::raise_memlock();
        for (map, entries) in sizes.entries() {
            loader.map_max_entries(map, entries);
        }
        let no_descriptors = |source| KernelError::System {
            action: "naming the maps that the programs reach directly",
            source,
        };
        let mut direct = DirectMaps::new(OBJECT).map_err(no_descriptors)?;
        let mut ebpf = loader
            // Of a program that is refused the last words, which say why. Of every step, as is the default, a log of many
            // megabytes is tried again and again until it fits, for minutes.
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global("PORTS", &constants.ports, true)
            .override_global("CAPACITY", &constants.capacity, true)
            .load(direct.object())
            .map_err(|error| KernelError::Object(error.into()))?;
        direct.resolve(&ebpf).map_err(no_descriptors)?;
        let mut programs = ProgramArray::try_from(map_of(&ebpf, "PROGRAMS")?)
            .map_err(|error| KernelError::Object(error.into()))?;
        load_programs(&mut ebpf)?;
        for (position, name) in NEXT {
            let next: &mut CgroupSkb = program(&mut ebpf, name)?;
            let fd = next.fd().map_err(|error| KernelError::Load {
                program: name,
                source: error.into(),
            })?;
            programs
                .set(position as u32, fd, 0)
                .map_err(|error| KernelError::Map {
                    map: "PROGRAMS",
                    action: "filled",
                    source: std::io::Error::other(error),
                })?;
        }
        let mut tables = Tables::open(|name| mappable(&ebpf, name), true)?;
        tables.set_version();
        let counters = PerCpuArray::try_from(map_of(&ebpf, "COUNTERS")?)
            .map_err(|error| KernelError::Object(error.into()))?;
        Ok(Self {
            tables,
            _programs: programs,
            counters: CounterReader::new(counters),
            ebpf,
            links: Vec::new(),
            pinned: None,
        })
    }

    /// Puts a policy into force: addresses of both families, server names and settings at one store. Costs what has
    /// changed since the same table was published the time before the last. A table holds only what fits.
    ///
    /// # Errors
    /// [`KernelError::Map`] when the kernel refuses to map a part of its tables; the policy from before is in force then.
    ///
    /// # Panics
    /// When the table was made for another capacity than [`Self::capacity`].
    pub fn try_publish(&mut self, table: &Table, settings: Settings) -> Result<Generation, KernelError> {
        self.tables.publish(table, settings)
    }

    /// As [`Self::try_publish`], for whoever can not go on without it: tests, and what is measured.
    ///
    /// # Panics
    /// As that, and when it fails.
    pub fn publish(&mut self, table: &Table, settings: Settings) -> Generation {
        self.try_publish(table, settings)
            .unwrap_or_else(|error| panic!("the policy could not be published: {error}"))
    }

    /// Gives back what publications have mapped of the tables, which counts as memory of this process. The next one maps
    /// what it needs.
    pub fn rest(&mut self) {
        self.tables.rest();
    }

    /// What the tables of the kernel hold.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.tables.capacity()
    }

    /// The policy in force, read from the maps; `None` before the first.
    ///
    /// # Errors
    /// As for [`loaded`](super::loaded()).
    pub fn policy(&self) -> Result<Option<Loaded>, KernelError> {
        self.tables.read()
    }

    /// When enforcement ends by itself, time since boot (`CLOCK_BOOTTIME`); `None` for never.
    #[must_use]
    pub fn revert(&self) -> Option<Duration> {
        match self.tables.revert_ns() {
            0 => None,
            time => Some(Duration::from_nanos(time)),
        }
    }

    /// Sets that time. From then on the programs report denials and let everything through, also without a daemon.
    pub fn set_revert(&mut self, revert: Option<Duration>) {
        let time = revert.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.tables.set_revert_ns(time);
    }

    /// Attaches all programs to a cgroup directory, or none. Programs of others stay: every one must let a packet
    /// through. What is pinned there already has its program replaced in place, and goes on judging all the time.
    ///
    /// # Errors
    /// [`KernelError::Attach`] with the program that could not be attached; what was pinned and attached stays.
    pub fn attach(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<Vec<LinkFound>, KernelError> {
        let failed = |point: &Point, source: std::io::Error| KernelError::Attach {
            program: point.program,
            cgroup: path.to_owned(),
            source: source.into(),
        };
        if !self.links.is_empty() {
            let source = std::io::Error::other("this set of programs is attached already");
            return Err(failed(&POINTS[0], source));
        }
        let mut found = Vec::new();
        for point in &POINTS {
            let program = program_fd(&self.ebpf, point.program)?;
            let attached = match &self.pinned {
                None => Link::create(point, program.as_fd(), cgroup).map(|link| (link, LinkFound::Missing)),
                Some(pinned) => pinned.pins.attach(point, program.as_fd(), cgroup),
            };
            match attached {
                Ok((link, was)) => {
                    self.links.push(link);
                    found.push(was);
                }
                Err(source) => {
                    if self.pinned.is_none() {
                        self.detach();
                    }
                    self.links.clear();
                    return Err(failed(point, source));
                }
            }
        }
        if let Some(pinned) = &self.pinned {
            pinned.keep_programs()?;
        }
        Ok(found)
    }

    /// Detaches, the authority last. Pins of links stay where they are and hold nothing any more.
    pub fn detach(&mut self) {
        while let Some(link) = self.links.pop() {
            link.detach();
        }
    }

    /// What somebody has taken away or replaced of what was attached to this cgroup and pinned; empty when all is well.
    #[must_use]
    pub fn damages(&self, cgroup: u64) -> Vec<Damage> {
        let mut damages = Vec::new();
        for link in &self.links {
            let program = program_fd(&self.ebpf, link.point.program).ok();
            damages.extend(damage_of(link, cgroup, program.as_ref()));
        }
        if let Some(pinned) = &self.pinned {
            damages.extend(pinned.damages(&self.links));
        }
        damages
    }

    /// Puts back what [`Self::damages`] finds.
    ///
    /// # Errors
    /// As for [`Self::attach`]; what could be put back is.
    pub fn repair(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
        if let Some(pinned) = &mut self.pinned {
            pinned.restore()?;
        }
        // Those that still work are found by their pins again; the others are attached anew.
        let id = cgroup_id(cgroup)?;
        if let Some(pinned) = &self.pinned {
            for link in self.links.iter().filter(|link| link.is_on(id)) {
                pinned.pins.pin_link(link)?;
            }
        }
        let old = std::mem::take(&mut self.links);
        let outcome = self.attach(cgroup, path).map(drop);
        if outcome.is_err() {
            self.links = old;
        }
        outcome
    }

    /// The generation in force; 0 before the first policy.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.tables.generation()
    }

    /// The stream of denials. Once: a second reader would take the first one's events.
    ///
    /// # Errors
    /// [`KernelError`] when it was taken already, or outside of a tokio runtime.
    pub fn take_events(&mut self) -> Result<Events, KernelError> {
        let events = self
            .ebpf
            .take_map("EVENTS")
            .and_then(|map| RingBuf::try_from(map).ok())
            .ok_or_else(|| KernelError::Object("the map `EVENTS` was taken before".into()))?;
        Events::new(events)
    }

    /// Denials per reason since the programs were loaded.
    ///
    /// # Errors
    /// [`KernelError::Map`] when the kernel can not be asked.
    pub fn counters(&self) -> Result<Counters, KernelError> {
        self.counters.read()
    }

    /// A handle on the counters that outlives borrows of the programs.
    #[must_use]
    pub fn counter_reader(&self) -> CounterReader {
        self.counters.clone()
    }

    /// The parser of ClientHellos, to run it without a connection.
    ///
    /// # Errors
    /// [`KernelError::Load`] when the kernel refuses the program, or has it already.
    pub fn hello_probe(&mut self) -> Result<HelloProbe, KernelError> {
        HelloProbe::load(&mut self.ebpf)
    }

    /// How many instructions the kernel verified, one way through a program after the other, before it took each; `None`
    /// before Linux 5.16, which does not tell.
    ///
    /// # Errors
    /// [`KernelError::Object`] when the kernel can not be asked.
    pub fn verified(&self) -> Result<Vec<(&'static str, Option<u32>)>, KernelError> {
        program_names()
            .filter_map(|name| Some((name, self.ebpf.program(name)?)))
            .map(|(name, program)| {
                let info = program
                    .info()
                    .map_err(|error| KernelError::Object(error.into()))?;
                Ok((name, info.verified_instruction_count()))
            })
            .collect()
    }

    /// A second handle on the egress program, to run it without sending anything, also while policies change.
    ///
    /// # Errors
    /// [`KernelError::System`] when the descriptor can not be duplicated.
    pub fn probe(&mut self) -> Result<Probe, KernelError> {
        let program = skb(&mut self.ebpf)?;
        let fd = program
            .fd()
            .and_then(|fd| fd.try_clone().map_err(aya::programs::ProgramError::IOError));
        fd.map(|program| Probe { program })
            .map_err(|error| KernelError::Object(error.into()))
    }
}

/// What the programs hold that does not change after they are loaded.
#[derive(Debug)]
struct Constants {
    /// Closed by a zero, which therefore can not be one.
    ports: [u16; PORTS_MAX],
    /// Intervals of a half: of IPv4, of IPv6.
    capacity: [u32; 2],
}

impl Constants {
    fn new(ports: &[u16], capacity: Capacity) -> Result<Self, KernelError> {
        if ports.is_empty() || ports.len() > PORTS_MAX || ports.contains(&0) {
            return Err(KernelError::Ports {
                ports: ports.to_vec(),
                max: PORTS_MAX,
            });
        }
        let mut constants = Self {
            ports: [0; PORTS_MAX],
            capacity: [capacity.ipv4(), capacity.ipv6()],
        };
        for (constant, port) in constants.ports.iter_mut().zip(ports) {
            // As packets have them.
            *constant = port.to_be();
        }
        Ok(constants)
    }
}

/// How often a program has run, and for how long, while the kernel kept statistics (`BPF_ENABLE_STATS`, Linux 5.8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunTime {
    /// Runs.
    pub count: u64,
    /// All of them together, with what the program went on with by tail calls.
    pub time: Duration,
}

/// Runs the egress program by hand (`BPF_PROG_TEST_RUN`).
pub struct Probe {
    program: ProgramFd,
}

impl Probe {
    /// Whether a packet, which starts with an Ethernet header, would be let through.
    ///
    /// # Errors
    /// [`KernelError::System`] when the kernel can not run it, for example over fewer than 14 bytes.
    pub fn passes(&self, frame: &[u8]) -> Result<bool, KernelError> {
        self.repeat(frame, 1).map(|(passed, _)| passed)
    }

    /// How often the program has run, attached or by hand, and for how long.
    ///
    /// # Errors
    /// [`KernelError::System`] when the kernel does not tell.
    pub fn run_time(&self) -> Result<RunTime, KernelError> {
        let number = self.program.as_fd().as_raw_fd();
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        let told = told.map_err(|source| KernelError::System {
            action: "reading how long a program has run",
            source,
        })?;
        let value = |name: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(name));
            found.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Ok(RunTime {
            count: value("run_cnt:"),
            time: Duration::from_nanos(value("run_time_ns:")),
        })
    }

    /// As [`Self::passes`], `count` times in a row; the last outcome, and the mean duration of a run.
    ///
    /// # Errors
    /// As [`Self::passes`].
    pub fn repeat(&self, frame: &[u8], count: u32) -> Result<(bool, Duration), KernelError> {
        sys::test_run(self.program.as_fd(), frame, count)
            .map(|(returned, duration)| (returned == 1, duration))
            .map_err(|source| KernelError::System {
                action: "running a program over a packet",
                source,
            })
    }
}

fn skb(ebpf: &mut Ebpf) -> Result<&mut CgroupSkb, KernelError> {
    program(ebpf, EGRESS)
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .ok_or_else(|| KernelError::Object(format!("the object has no program `{name}` of its kind").into()))
}

/// The names of all programs that judge.
pub(super) fn program_names() -> impl Iterator<Item = &'static str> {
    let next = NEXT.iter().map(|(_, name)| *name);
    POINTS.iter().map(|point| point.program).chain(next)
}

/// A descriptor of a loaded program.
pub(super) fn program_fd(ebpf: &Ebpf, name: &'static str) -> Result<ProgramFd, KernelError> {
    let missing = || KernelError::Object(format!("the object has no program `{name}`").into());
    let program = ebpf.program(name).ok_or_else(missing)?;
    program
        .fd()
        .and_then(|fd| fd.try_clone().map_err(aya::programs::ProgramError::IOError))
        .map_err(|error| KernelError::Object(error.into()))
}

/// A second handle on a map, which leaves the first where it is.
fn map_of(ebpf: &Ebpf, name: &'static str) -> Result<Map, KernelError> {
    let data = MapData::from_fd(map_fd(ebpf, name)?).map_err(|error| KernelError::Object(error.into()))?;
    Map::from_map_data(data).map_err(|error| KernelError::Object(error.into()))
}

/// A descriptor of a map.
pub(super) fn map_fd(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    let data = ebpf.map(name).and_then(data_of);
    let data = data.ok_or_else(|| KernelError::Object(format!("the object has no map `{name}`").into()))?;
    data.fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| KernelError::Map {
            map: name,
            action: "opened",
            source,
        })
}

/// A map that can be mapped.
fn mappable(ebpf: &Ebpf, name: &'static str) -> Result<Mappable, KernelError> {
    let data = ebpf.map(name).and_then(data_of);
    let info = data.map(MapData::info).transpose();
    let info = info.map_err(|error| KernelError::Object(error.into()))?;
    Ok(Mappable {
        fd: map_fd(ebpf, name)?,
        bytes: info.as_ref().map_or(0, map_bytes),
    })
}

/// What the elements of a map take.
pub(super) fn map_bytes(info: &MapInfo) -> u64 {
    u64::from(info.value_size()) * u64::from(info.max_entries())
}

/// The kinds of map that the programs have.
fn data_of(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::ProgramArray(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}

/// The inode number of a cgroup directory, under which links name it.
pub(super) fn cgroup_id(cgroup: BorrowedFd<'_>) -> Result<u64, KernelError> {
    rustix::fs::fstat(cgroup)
        .map(|stat| stat.st_ino)
        .map_err(|error| KernelError::System {
            action: "looking at the cgroup",
            source: error.into(),
        })
}

/// What is wrong with one link.
fn damage_of(link: &Link, cgroup: u64, program: Option<&ProgramFd>) -> Option<Damage> {
    let name = link.point.name;
    if !link.is_on(cgroup) {
        return Some(Damage::Detached(name));
    }
    let ours = program.and_then(|program| program_id(program.as_fd()))?;
    let runs = link.info().ok()?.program;
    (runs != ours).then_some(Damage::OtherProgram(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_would_not_be_filtered_is_refused() {
        let constants = |ports: &[u16]| Constants::new(ports, Capacity::default()).map(|new| new.ports);
        let full: Vec<u16> = (1..=16).collect();
        assert_eq!(constants(&full).unwrap().map(u16::from_be).as_slice(), full);
        assert_eq!(constants(&[443]).unwrap()[..2], [443_u16.to_be(), 0]);
        for wrong in [vec![], (1..=17).collect(), vec![443, 0, 8443]] {
            assert!(
                matches!(constants(&wrong), Err(KernelError::Ports { ports, .. }) if ports == wrong),
                "{wrong:?}"
            );
        }
    }
}
