//! Maps that the programs reach by their address: what the compiler can not say is put into the object before it is loaded.
//!
//! The programs have a mark where the address of a map's element belongs ([`enforcer_common::abi::Direct`]). For the kernel
//! the instruction names the map by a descriptor, and there is none before the object's maps are made, which is what reading
//! the object does. So the marks become the numbers of descriptors that are kept free, and once the maps are there, each gets
//! its number. The kernel looks when a program is loaded, not later.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use enforcer_common::abi::{Constant, Direct, PORTS_MAX};
use rustix::io::{DupFlags, dup3};

/// `BPF_LD | BPF_DW | BPF_IMM` (Linux `include/uapi/linux/bpf.h`): the first of the two slots that load 64 bits.
const LOAD: u8 = 0x18;
/// `BPF_PSEUDO_MAP_VALUE`: what is loaded is the address of a map's value.
const MAP_VALUE: u8 = 2;
/// Bytes of an instruction; one that loads 64 bits has two of these.
const SLOT: usize = 8;

/// An object whose marks are descriptors, and these descriptors.
#[derive(Debug)]
pub struct DirectMaps {
    object: Vec<u8>,
    places: Vec<OwnedFd>,
}

impl DirectMaps {
    /// Puts numbers into a copy of an object: those of descriptors, the filtered ports in network order, closed by a zero, and
    /// the intervals in a half of the tables, of IPv4 and of IPv6.
    ///
    /// # Errors
    /// When there are no descriptors.
    pub fn new(object: &[u8], ports: &[u16; PORTS_MAX], capacity: [u32; 2]) -> io::Result<Self> {
        // What they are descriptors of does not matter: nothing is ever done with it.
        let places: Vec<OwnedFd> = Direct::ALL
            .iter()
            .map(|_| Ok(io::pipe()?.0.into()))
            .collect::<io::Result<_>>()?;
        let mut numbers = [0; Constant::COUNT];
        let fixed = capacity.into_iter().chain(ports.map(u32::from));
        numbers.iter_mut().zip(fixed).for_each(|(to, from)| *to = from);
        let mut object = object.to_vec();
        for at in (0..object.len().saturating_sub(2 * SLOT - 1)).step_by(SLOT) {
            let pair = &mut object[at..at + 2 * SLOT];
            match marked(pair) {
                Some(Mark::Map(direct)) => {
                    if let Some(place) = places.get(direct as usize) {
                        name(pair, place.as_raw_fd());
                    }
                }
                Some(Mark::Number(at)) => {
                    if let Some(number) = numbers.get(at) {
                        fix(pair, *number);
                    }
                }
                None => {}
            }
        }
        Ok(Self { object, places })
    }

    /// The object to be read.
    #[must_use]
    pub fn object(&self) -> &[u8] {
        &self.object
    }

    /// Gives the maps of the object that was read their numbers; programs are to be loaded while this lives.
    ///
    /// # Errors
    /// When a map is not there.
    pub fn resolve(&mut self, ebpf: &Ebpf) -> io::Result<()> {
        for (direct, place) in Direct::ALL.into_iter().zip(&mut self.places) {
            let mut data = array(ebpf, direct)?;
            let info = data.info().map_err(io::Error::other)?;
            if info.max_entries() != 1 {
                // The kernel refuses the instruction, although it is never reached; any other map will do.
                data = array(ebpf, Direct::Header)?;
            }
            dup3(data.fd().as_fd(), place, DupFlags::CLOEXEC)?;
        }
        Ok(())
    }
}

fn array(ebpf: &Ebpf, direct: Direct) -> io::Result<&MapData> {
    match ebpf.map(direct.map()) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(io::Error::other(format!(
            "the object has no map `{}`",
            direct.map()
        ))),
    }
}

/// What a mark stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mark {
    /// The start of a map's first value.
    Map(Direct),
    /// The constant at this position.
    Number(usize),
}

/// What the mark stands for that an instruction loads.
fn marked(pair: &[u8]) -> Option<Mark> {
    let &[LOAD, registers, 0, 0, l0, l1, l2, l3, 0, 0, 0, 0, h0, h1, h2, h3] = pair else {
        return None;
    };
    let upper = u32::from_ne_bytes([h0, h1, h2, h3]);
    let lower = u32::from_ne_bytes([l0, l1, l2, l3]);
    if upper != Direct::MARK || registers & source(0xf) != 0 {
        return None;
    }
    let map = || Direct::ALL.get(lower as usize).copied().map(Mark::Map);
    Constant::position(lower).map(Mark::Number).or_else(map)
}

/// Has an instruction load the start of the first value of the map behind a descriptor.
fn name(pair: &mut [u8], fd: i32) {
    if let Some(registers) = pair.get_mut(1) {
        *registers |= source(MAP_VALUE);
    }
    put(pair, fd.to_ne_bytes());
}

/// Has an instruction load a number.
fn fix(pair: &mut [u8], number: u32) {
    put(pair, number.to_ne_bytes());
}

/// Makes this the lower half of what an instruction loads, and the upper one zero.
fn put(pair: &mut [u8], number: [u8; 4]) {
    let [_, _, _, _, l0, l1, l2, l3, _, _, _, _, h0, h1, h2, h3] = pair else {
        return;
    };
    [*l0, *l1, *l2, *l3] = number;
    [*h0, *h1, *h2, *h3] = [0; 4];
}

/// A source register where the byte of the registers has it (Linux `struct bpf_insn`, whose bit fields follow the byte order).
const fn source(number: u8) -> u8 {
    if cfg!(target_endian = "little") {
        number << 4
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::OBJECT;

    /// The instructions with a mark, by where they start.
    fn marks(object: &[u8]) -> Vec<(usize, Mark)> {
        let slots = (0..object.len() - 2 * SLOT).step_by(SLOT);
        slots
            .filter_map(|at| Some((at, marked(&object[at..at + 2 * SLOT])?)))
            .collect()
    }

    #[test]
    fn every_mark_becomes_its_number_and_nothing_else_changes() {
        let ports: [u16; PORTS_MAX] = std::array::from_fn(|at| u16::try_from(at).unwrap() + 7001);
        let direct = DirectMaps::new(OBJECT, &ports, [131_072, 32_768]).unwrap();
        let found = marks(OBJECT);
        for wanted in Direct::ALL
            .map(Mark::Map)
            .into_iter()
            .chain((0..Constant::COUNT).map(Mark::Number))
        {
            assert!(
                found.iter().any(|(_, mark)| *mark == wanted),
                "no program has {wanted:?}"
            );
        }
        assert_eq!(marks(direct.object()), []);
        let slots = OBJECT.chunks(SLOT).zip(direct.object().chunks(SLOT));
        let changed = slots.filter(|(before, after)| before != after).count();
        assert_eq!(changed, 2 * found.len());
        for (at, mark) in found {
            let pair = &direct.object()[at..at + 2 * SLOT];
            let number = i32::from_ne_bytes(pair[4..8].try_into().unwrap());
            let (kind, expected) = match mark {
                Mark::Map(map) => (MAP_VALUE, direct.places[map as usize].as_raw_fd()),
                Mark::Number(0) => (0, 131_072),
                Mark::Number(1) => (0, 32_768),
                Mark::Number(at) => (0, i32::from(ports[at - 2])),
            };
            assert_eq!(
                (pair[1] & source(0xf), number),
                (source(kind), expected),
                "{mark:?}"
            );
            assert_eq!(pair[12..], [0; 4], "{mark:?}");
        }
    }

    #[test]
    fn only_a_load_of_a_mark_is_one() {
        let mut pair = [0; 2 * SLOT];
        pair[0] = LOAD;
        pair[1] = 3;
        pair[4..8].copy_from_slice(&(Direct::IndexV6 as u32).to_ne_bytes());
        pair[12..].copy_from_slice(&Direct::MARK.to_ne_bytes());
        assert_eq!(marked(&pair), Some(Mark::Map(Direct::IndexV6)));
        for (at, byte) in [(0, 0x79), (2, 1), (4, 9), (8, 1), (12, 0)] {
            let mut other = pair;
            other[at] = byte;
            assert_eq!(marked(&other), None, "byte {at}");
        }
        name(&mut pair, 0x1234);
        assert_eq!(pair[1] & source(0xf), source(MAP_VALUE));
        assert_eq!(pair[4..8], 0x1234_i32.to_ne_bytes());
        assert_eq!(marked(&pair), None);
    }
}
