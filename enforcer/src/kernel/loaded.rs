//! What an enforcer on a cgroup holds, read from the kernel itself and not from the word of a daemon.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{MapError, MapInfo};
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use aya::sys::SyscallError;

use super::error::KernelError;
use super::parts::{EGRESS, HOLD, map_bytes};
use super::sys;
use super::tables::{Loaded, Mappable, Tables};

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
    for program in loaded_programs() {
        let program = match program {
            Ok(program) => program,
            // Programs of others come and go while the list is read.
            Err(ProgramError::SyscallError(error)) if is_gone(&error) => continue,
            Err(error) => return Err(system("reading a loaded program", std::io::Error::other(error))),
        };
        // The kernel keeps 15 bytes of a name, as many as these have at most.
        let is_ours = program
            .name_as_str()
            .is_some_and(|name| [EGRESS, HOLD].contains(&name));
        if is_ours && attached.contains(&program.id()) {
            newest = Some(program);
        }
    }
    let Some(program) = newest else { return Ok(None) };
    // Gone since the list was read: so is its policy.
    let Some(maps) = maps_of(&program)? else {
        return Ok(None);
    };
    Tables::open(|name| open(&maps, name), false)?.read()
}

/// The maps that a program works with; `None` when it is gone.
fn maps_of(program: &ProgramInfo) -> Result<Option<Vec<MapInfo>>, KernelError> {
    let system = |action, source| KernelError::System { action, source };
    let ids = match program.map_ids() {
        Ok(ids) => ids.unwrap_or_default(),
        Err(ProgramError::SyscallError(error)) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(system("reading a loaded program", std::io::Error::other(error))),
    };
    let mut maps = Vec::new();
    for id in ids {
        match MapInfo::from_id(id) {
            Ok(map) => maps.push(map),
            // A map lives as long as its program.
            Err(MapError::SyscallError(error)) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(system("reading a loaded map", std::io::Error::other(error))),
        }
    }
    Ok(Some(maps))
}

fn is_gone(error: &SyscallError) -> bool {
    error.io_error.kind() == std::io::ErrorKind::NotFound
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
