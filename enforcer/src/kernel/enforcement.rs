//! One loaded set of programs and its maps: load, publish, look at, end.

mod attached;
mod constants;
mod probe;
mod settings;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use aya::maps::{PerCpuArray, RingBuf};
use aya::programs::CgroupSkb;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use enforcer_common::table::Generation;

use self::constants::Constants;
use self::steps::Unfinished;
use super::OBJECT;
use super::ahead::Ahead;
use super::by_hand::HelloProbe;
use super::counters::{CounterReader, Counters};
use super::direct::DirectMaps;
use super::error::KernelError;
use super::events::Events;
use super::links::{Link, POINTS};
use super::object::parsed;
use super::parts::{map_of, mappable, program, program_names};
use super::pins::{MapsFound, Pinned, Pins, Was};
use super::preflight;
use super::sizes::Sizes;
use super::sys;
use super::tables::{Image, Loaded, Tables};
use crate::config::Capacity;
use crate::policy::table::Table;

pub use self::probe::Probe;
pub use self::settings::Settings;

/// The programs, loaded, with a policy or without one, attached or not.
///
/// One that is not pinned ends with this value; of one that is, the kernel keeps everything, and the next
/// [`Enforcement::load_pinned`] goes on with it.
pub struct Enforcement {
    ebpf: Ebpf,
    tables: Tables,
    counters: CounterReader,
    /// What the marks of programs that are not loaded yet were made into.
    direct: Option<DirectMaps>,
    /// In the order of [`POINTS`], all of them or none.
    links: Vec<Link>,
    pinned: Option<Pinned>,
    unfinished: Option<Unfinished>,
    are_events_taken: bool,
    /// How long the kernel took to take the programs.
    loading: Duration,
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
    /// Loads the programs for these filtered ports, 1 to [`PORTS_MAX`](enforcer_common::abi::PORTS_MAX) of them. Nothing is
    /// judged until they are attached, and everything on these ports is denied until a policy is published. The tables are
    /// of the default capacity.
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
        let sizes = Sizes::of(capacity, &parsed()?)?;
        let mut loaded = Self::load_into(&mut EbpfLoader::new(), &constants, &sizes)?;
        loaded.load_all()?;
        Ok(loaded)
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
        Self::load_on_pins(ports, capacity, pins, Ahead::start(), false)
    }

    fn load_on_pins(
        ports: &[u16],
        capacity: Capacity,
        pins: &Arc<Pins>,
        ahead: Ahead,
        in_steps: bool,
    ) -> Result<(Self, MapsFound), KernelError> {
        let constants = Constants::new(ports, capacity)?;
        preflight::check()?;
        let object = parsed()?;
        let sizes = Sizes::of(capacity, &object)?;
        let prepared = pins.prepare_maps(&object, &sizes)?;
        let in_steps = in_steps && prepared.are_first() && !pins.enforces();
        let mut loader: EbpfLoader<'_> = ahead.loader();
        for (name, path) in &prepared.paths {
            loader.map_pin_path(name, path);
        }
        let mut loaded = Self::load_into(&mut loader, &constants, &sizes)?;
        if in_steps {
            let found = prepared.found();
            loaded.load_hooks(Unfinished {
                pins: Arc::clone(pins),
                prepared,
                is_verified: false,
            })?;
            return Ok((loaded, found));
        }
        loaded.load_all()?;
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

    /// Makes the maps. No program is loaded yet.
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
        let mut direct =
            DirectMaps::new(OBJECT, &constants.ports, constants.capacity).map_err(no_descriptors)?;
        let ebpf = loader
            // Of a program that is refused the last words, which say why. Of every step, as is the default, a log of many
            // megabytes is tried again and again until it fits, for minutes.
            .verifier_log_level(VerifierLogLevel::STATS)
            .load(direct.object())
            .map_err(|error| preflight::missing_map().unwrap_or_else(|| KernelError::Object(error.into())))?;
        direct.resolve(&ebpf).map_err(no_descriptors)?;
        let mut tables = Tables::open(|name| mappable(&ebpf, name), true)?;
        tables.set_version();
        let counters = PerCpuArray::try_from(map_of(&ebpf, "COUNTERS")?)
            .map_err(|error| KernelError::Object(error.into()))?;
        Ok(Self {
            tables,
            direct: Some(direct),
            counters: CounterReader::new(counters),
            ebpf,
            links: Vec::new(),
            pinned: None,
            unfinished: None,
            are_events_taken: false,
            loading: Duration::ZERO,
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

    /// The policy in force, word by word; `None` before the first. To be saved for [`Self::put_back`].
    ///
    /// # Errors
    /// [`KernelError::Map`] when the tables can not be mapped.
    pub fn image(&self) -> Result<Option<Image>, KernelError> {
        self.tables.image()
    }

    /// Puts a policy into force that was in force once, under the same layout: its settings, addresses and names, at one
    /// store. Only where there is none yet.
    ///
    /// # Errors
    /// [`KernelError::Map`] when there is one, when it is for tables of another size, or when they can not be mapped.
    pub fn put_back(&mut self, image: &Image) -> Result<Generation, KernelError> {
        self.tables.put_back(image)
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
        if self.are_events_taken {
            return Err(KernelError::Object("the events were taken before".into()));
        }
        // What is pinned later still needs the map, so this one is another handle on it.
        let events = RingBuf::try_from(map_of(&self.ebpf, "EVENTS")?)
            .map_err(|error| KernelError::Object(error.into()))?;
        let events = Events::new(events)?;
        self.are_events_taken = true;
        Ok(events)
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

    /// How long the kernel took to verify and translate the programs that were loaded last, on all processors.
    #[must_use]
    pub fn loading(&self) -> Duration {
        self.loading
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
        let name = self.program_at(&POINTS[0]);
        let program: &mut CgroupSkb = program(&mut self.ebpf, name)?;
        let fd = program
            .fd()
            .and_then(|fd| fd.try_clone().map_err(aya::programs::ProgramError::IOError));
        fd.map(|program| Probe { program })
            .map_err(|error| KernelError::Object(error.into()))
    }
}
