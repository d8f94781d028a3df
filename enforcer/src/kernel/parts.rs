//! The programs and maps of a loaded object, by their names.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData, MapInfo};
use aya::programs::ProgramFd;

use super::error::KernelError;
use super::links::POINTS;
use super::tables::Mappable;

/// The authority.
pub(super) const EGRESS: &str = POINTS[0].program;
/// What is in its place until it is loaded.
pub(super) const HOLD: &str = "enforcer_hold";

/// A program of the object, of its kind.
pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .ok_or_else(|| KernelError::Object(format!("the object has no program `{name}` of its kind").into()))
}

/// The names of the programs that are attached.
pub(super) fn program_names() -> impl Iterator<Item = &'static str> {
    POINTS.iter().map(|point| point.program)
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
pub(super) fn map_of(ebpf: &Ebpf, name: &'static str) -> Result<Map, KernelError> {
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
pub(super) fn mappable(ebpf: &Ebpf, name: &'static str) -> Result<Mappable, KernelError> {
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
        Map::Array(data) | Map::PerCpuArray(data) | Map::RingBuf(data) | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}
