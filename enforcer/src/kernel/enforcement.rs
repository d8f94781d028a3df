//! One loaded set of programs and its maps: load, publish, attach. Dropping it detaches.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use aya::maps::{Map, MapData, ProgramArray, RingBuf};
use aya::programs::cgroup_skb::CgroupSkbLink;
use aya::programs::cgroup_sock_addr::CgroupSockAddrLink;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramFd};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use enforcer_common::abi::{Header, INTERVALS_V4, INTERVALS_V6, NextProgram, PORTS_MAX, VERSION};
use enforcer_common::names::{CONDITIONS, NAMES, NameEntry, NameHead, TEXT_WORDS};
use enforcer_common::table::{
    BLOCKS, Generation, Index, IntervalV4, IntervalV6, PolicyWord, Settings as Bits,
};

use super::OBJECT;
use super::by_hand::HelloProbe;
use super::counters::{CounterReader, Counters};
use super::error::KernelError;
use super::events::Events;
use super::mapped::Mapped;
use super::preflight;
use super::sys;
use crate::config::{Existing, Mode, Quic};
use crate::policy::table::TableImage;

const EGRESS: &str = "enforcer_egress";
/// The programs that egress goes on with, at their positions in the map of programs.
const NEXT: [(NextProgram, &str); NextProgram::COUNT as usize] = [
    (NextProgram::Session, "enforcer_session"),
    (NextProgram::Pieces, "enforcer_pieces"),
    (NextProgram::Judge, "enforcer_judge"),
];
const CALLS: [&str; 4] = [
    "enforcer_connect4",
    "enforcer_connect6",
    "enforcer_sendmsg4",
    "enforcer_sendmsg6",
];

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
pub struct Enforcement {
    ebpf: Ebpf,
    header: Mapped<Header>,
    index_v4: Mapped<Index>,
    table_v4: Mapped<IntervalV4>,
    index_v6: Mapped<Index>,
    table_v6: Mapped<IntervalV6>,
    scopes: Mapped<u64>,
    name_head: Mapped<NameHead>,
    name_table: Mapped<NameEntry>,
    name_text: Mapped<u64>,
    counters: CounterReader,
    /// Holds what egress goes on with: the kernel empties it when nobody holds it.
    _programs: ProgramArray<MapData>,
    egress_link: Option<CgroupSkbLink>,
    call_links: Vec<CgroupSockAddrLink>,
}

impl Enforcement {
    /// Loads the programs for these filtered ports, 1 to [`PORTS_MAX`] of them. Nothing is judged until they are
    /// attached, and everything on these ports is denied until a policy is published.
    ///
    /// # Errors
    /// [`KernelError`]: the list is of another length or has a 0, a privilege or feature is missing, or the kernel
    /// refuses a program.
    pub fn load(ports: &[u16]) -> Result<Self, KernelError> {
        let constants = constants(ports)?;
        preflight::check()?;
        sys::raise_memlock();
        let mut ebpf = EbpfLoader::new()
            // Of a program that is refused the last words, which say why. Of every step, as is the default, a log of many
            // megabytes is tried again and again until it fits, for minutes.
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global("PORTS", &constants, true)
            .load(OBJECT)
            .map_err(|error| KernelError::Object(error.into()))?;
        let refused = |program, error: aya::programs::ProgramError| KernelError::Load {
            program,
            source: error.into(),
        };
        let mut programs: ProgramArray<MapData> = take(&mut ebpf, "PROGRAMS")?;
        for (position, name) in NEXT {
            let next: &mut CgroupSkb = program(&mut ebpf, name)?;
            next.load().map_err(|error| refused(name, error))?;
            let fd = next.fd().map_err(|error| refused(name, error))?;
            programs
                .set(position as u32, fd, 0)
                .map_err(|error| KernelError::Map {
                    map: "PROGRAMS",
                    action: "filled",
                    source: std::io::Error::other(error),
                })?;
        }
        skb(&mut ebpf)?.load().map_err(|error| refused(EGRESS, error))?;
        for name in CALLS {
            call(&mut ebpf, name)?
                .load()
                .map_err(|error| refused(name, error))?;
        }
        let blocks = 2 * BLOCKS as usize;
        let mut header = map(&ebpf, "HEADER", 1)?;
        Mapped::set_version(&mut header, VERSION);
        Ok(Self {
            header,
            index_v4: map(&ebpf, "INDEX_V4", blocks)?,
            table_v4: map(&ebpf, "TABLE_V4", 2 * INTERVALS_V4 as usize)?,
            index_v6: map(&ebpf, "INDEX_V6", blocks)?,
            table_v6: map(&ebpf, "TABLE_V6", 2 * INTERVALS_V6 as usize)?,
            scopes: map(&ebpf, "SCOPES", 2 * CONDITIONS as usize)?,
            name_head: map(&ebpf, "NAME_HEAD", 2)?,
            name_table: map(&ebpf, "NAME_TABLE", 2 * NAMES as usize)?,
            name_text: map(&ebpf, "NAME_TEXT", 2 * TEXT_WORDS as usize)?,
            _programs: programs,
            counters: CounterReader::new(take(&mut ebpf, "COUNTERS")?),
            ebpf,
            egress_link: None,
            call_links: Vec::new(),
        })
    }

    /// Puts a policy into force: addresses of both families, server names and settings at one store. Nothing can fail here: an image
    /// exists only if it fits.
    pub fn publish(&mut self, image: &TableImage, settings: Settings) -> Generation {
        let next = self.header.word().generation().next();
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

    /// Attaches all programs to a cgroup directory, or none. Programs of others stay: every one must let a packet
    /// through. Once: to move to another cgroup, load and attach a second set and drop this one.
    ///
    /// # Errors
    /// [`KernelError::Attach`] with the program that could not be attached; those that are attached stay.
    pub fn attach(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
        if self.egress_link.is_some() {
            let source = "this set of programs is attached already".into();
            return Err(KernelError::Attach {
                program: EGRESS,
                cgroup: path.to_owned(),
                source,
            });
        }
        let outcome = self.attach_all(cgroup, path);
        if outcome.is_err() {
            self.detach();
        }
        outcome
    }

    fn attach_all(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
        let failed = |program, error: aya::programs::ProgramError| KernelError::Attach {
            program,
            cgroup: path.to_owned(),
            source: error.into(),
        };
        // The authority first: nothing gets out between it and the others.
        let program = skb(&mut self.ebpf)?;
        let link = program
            .attach(cgroup, CgroupSkbAttachType::Egress, CgroupAttachMode::Single)
            .and_then(|id| program.take_link(id))
            .map_err(|error| failed(EGRESS, error))?;
        self.egress_link = Some(link);
        for name in CALLS {
            let program = call(&mut self.ebpf, name)?;
            let link = program
                .attach(cgroup, CgroupAttachMode::Single)
                .and_then(|id| program.take_link(id))
                .map_err(|error| failed(name, error))?;
            self.call_links.push(link);
        }
        Ok(())
    }

    /// Detaches, the authority last.
    pub fn detach(&mut self) {
        self.call_links.clear();
        self.egress_link = None;
    }

    /// The generation in force; 0 before the first policy.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.header.word().generation()
    }

    /// The stream of denials. Once: a second reader would take the first one's events.
    ///
    /// # Errors
    /// [`KernelError`] when it was taken already, or outside of a tokio runtime.
    pub fn take_events(&mut self) -> Result<Events, KernelError> {
        Events::new(take::<RingBuf<MapData>>(&mut self.ebpf, "EVENTS")?)
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
        let next = NEXT.iter().map(|(_, name)| name);
        std::iter::once(&EGRESS)
            .chain(next)
            .chain(&CALLS)
            .filter_map(|&name| Some((name, self.ebpf.program(name)?)))
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

/// The ports as the programs hold them: closed by a zero, which therefore can not be one.
fn constants(ports: &[u16]) -> Result<[u16; PORTS_MAX], KernelError> {
    let mut constants = [0; PORTS_MAX];
    if ports.is_empty() || ports.len() > PORTS_MAX || ports.contains(&0) {
        return Err(KernelError::Ports {
            ports: ports.to_vec(),
            max: PORTS_MAX,
        });
    }
    constants[..ports.len()].copy_from_slice(ports);
    Ok(constants)
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

fn call<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut CgroupSockAddr, KernelError> {
    program(ebpf, name)
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .ok_or_else(|| KernelError::Object(format!("the object has no program `{name}` of its kind").into()))
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<Map>,
{
    ebpf.take_map(name)
        .and_then(|map| T::try_from(map).ok())
        .ok_or_else(|| {
            KernelError::Object(format!("the object has no map `{name}`, or it was taken before").into())
        })
}

pub(super) fn map<T: super::mapped::Element>(
    ebpf: &Ebpf,
    name: &'static str,
    count: usize,
) -> Result<Mapped<T>, KernelError> {
    let missing = || KernelError::Object(format!("the object has no map `{name}`").into());
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(missing());
    };
    Mapped::new(name, data.fd().as_fd(), count, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_would_not_be_filtered_is_refused() {
        let full: Vec<u16> = (1..=16).collect();
        assert_eq!(constants(&full).unwrap().as_slice(), full);
        assert_eq!(constants(&[443]).unwrap()[..2], [443, 0]);
        for wrong in [vec![], (1..=17).collect(), vec![443, 0, 8443]] {
            assert!(
                matches!(constants(&wrong), Err(KernelError::Ports { ports, .. }) if ports == wrong),
                "{wrong:?}"
            );
        }
    }
}
