//! What an enforcer on a cgroup holds, read from the kernel itself and not from the word of a daemon.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::MapInfo;
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use enforcer_common::abi::{Header, INTERVALS_V4, INTERVALS_V6, VERSION};
use enforcer_common::names::{CONDITIONS, NAMES, NameEntry, NameHead, TEXT_WORDS};
use enforcer_common::table::{BLOCKS, Generation};

use super::enforcement::Settings;
use super::error::KernelError;
use super::mapped::{Element, Mapped};
use super::sys;
use crate::endpoints::GrantedName;
use crate::policy::table::{Range, decode, decode_names};

/// Program names as the kernel keeps them: 15 bytes.
const EGRESS: &str = "enforcer_egress";
const JUDGE: &str = "enforcer_judge";
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

/// Reads the policy of the enforcer that is attached to this cgroup directory itself; `None` when there is none, or
/// when it has published nothing yet. With several, the one that was loaded last.
///
/// # Errors
/// [`KernelError`]: reading what others have loaded needs `CAP_SYS_ADMIN`.
pub fn loaded(cgroup: BorrowedFd<'_>) -> Result<Option<Loaded>, KernelError> {
    let system = |action, source| KernelError::System { action, source };
    let attached = sys::egress_programs(cgroup)
        .map_err(|source| system("asking for the programs on the cgroup", source))?;
    let mut newest = None;
    let mut judges = Vec::new();
    for program in loaded_programs() {
        let program = match program {
            Ok(program) => program,
            // Programs of others come and go while the list is read.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound =>
            {
                continue;
            }
            Err(error) => return Err(system("reading a loaded program", std::io::Error::other(error))),
        };
        if attached.contains(&program.id()) && program.name_as_str() == Some(EGRESS) {
            newest = Some(program);
        } else if program.name_as_str() == Some(JUDGE) {
            judges.push(program);
        }
    }
    let Some(program) = newest else { return Ok(None) };
    let mut maps = maps_of(&program)?;
    // The program that it goes on with to judge names knows the rest. There may be several, of other enforcers.
    let header = maps
        .iter()
        .find(|map| map.name_as_str() == Some("HEADER"))
        .map(MapInfo::id);
    for judge in judges {
        let of_judge = maps_of(&judge)?;
        if of_judge.iter().any(|map| Some(map.id()) == header) {
            maps.extend(of_judge);
            break;
        }
    }
    let header: Mapped<Header> = open(&maps, "HEADER", 1)?;
    let blocks = BLOCKS as usize;
    let index_v4 = open(&maps, "INDEX_V4", 2 * blocks)?;
    let table_v4 = open(&maps, "TABLE_V4", 2 * INTERVALS_V4 as usize)?;
    let index_v6 = open(&maps, "INDEX_V6", 2 * blocks)?;
    let table_v6 = open(&maps, "TABLE_V6", 2 * INTERVALS_V6 as usize)?;
    let scopes = open(&maps, "SCOPES", 2 * CONDITIONS as usize)?;
    let name_head: Mapped<NameHead> = open(&maps, "NAME_HEAD", 2)?;
    let name_table: Mapped<NameEntry> = open(&maps, "NAME_TABLE", 2 * NAMES as usize)?;
    let name_text = open(&maps, "NAME_TEXT", 2 * TEXT_WORDS as usize)?;
    for _ in 0..ATTEMPTS {
        let word = header.word();
        let generation = word.generation();
        let Some(head) = header.read(0, 1).first().copied() else {
            break;
        };
        if head.version != VERSION {
            return Err(KernelError::Layout {
                found: head.version,
                expected: VERSION,
            });
        }
        if generation.0 == 0 {
            return Ok(None);
        }
        let half = generation.half().index() as usize;
        let ranges = decode(
            &index_v4.read(half * blocks, blocks),
            &table_v4.read(half * INTERVALS_V4 as usize, INTERVALS_V4 as usize),
            &index_v6.read(half * blocks, blocks),
            &table_v6.read(half * INTERVALS_V6 as usize, INTERVALS_V6 as usize),
            &scopes.read(half * CONDITIONS as usize, CONDITIONS as usize),
        );
        let names = decode_names(
            name_head.read(half, 1).first().copied().unwrap_or_default(),
            &name_table.read(half * NAMES as usize, NAMES as usize),
            &name_text.read(half * TEXT_WORDS as usize, TEXT_WORDS as usize),
        );
        if header.word() == word {
            let settings = Settings::from_bits(word.settings());
            return Ok(Some(Loaded {
                generation,
                settings,
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

/// The maps that a program works with.
fn maps_of(program: &ProgramInfo) -> Result<Vec<MapInfo>, KernelError> {
    let system = |action, error| KernelError::System {
        action,
        source: std::io::Error::other(error),
    };
    program
        .map_ids()
        .map_err(|error| system("reading a loaded program", error.to_string()))?
        .unwrap_or_default()
        .into_iter()
        .map(MapInfo::from_id)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| system("reading a loaded map", error.to_string()))
}

fn open<T: Element>(maps: &[MapInfo], name: &'static str, count: usize) -> Result<Mapped<T>, KernelError> {
    let info = maps
        .iter()
        .find(|map| map.name_as_str() == Some(name))
        .ok_or_else(|| KernelError::Object(format!("the loaded programs have no map `{name}`").into()))?;
    let fd = info.fd().map_err(|error| KernelError::Map {
        map: name,
        action: "opened",
        source: std::io::Error::other(error),
    })?;
    Mapped::new(name, fd.as_fd(), count, false)
}
