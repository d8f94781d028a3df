//! What an enforcer on a cgroup holds, read from the kernel itself and not from the word of a daemon.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::MapInfo;
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};

use super::error::KernelError;
use super::parts::map_bytes;
use super::sys;
use super::tables::{Loaded, Mappable, Tables};

/// Program names as the kernel keeps them: 15 bytes.
const EGRESS: &str = "enforcer_egress";
const JUDGE: &str = "enforcer_judge";
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
    Tables::open(|name| open(&maps, name), false)?.read()
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

fn open(maps: &[MapInfo], name: &'static str) -> Result<Mappable, KernelError> {
    let info = maps
        .iter()
        .find(|map| map.name_as_str() == Some(name))
        .ok_or_else(|| KernelError::Object(format!("the loaded programs have no map `{name}`").into()))?;
    info.fd()
        .map_err(std::io::Error::other)
        .and_then(|fd| fd.as_fd().try_clone_to_owned())
        .map(|fd| Mappable {
            fd,
            bytes: map_bytes(info),
        })
        .map_err(|source| KernelError::Map {
            map: name,
            action: "opened",
            source,
        })
}
