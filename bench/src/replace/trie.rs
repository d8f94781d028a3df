//! A longest-prefix-match trie: filled by batches in a new map, which is then put into a map of maps.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use aya_obj::generated::bpf_map_type;

use crate::prefixes::Prefixes;
use crate::raw::{self, MapShape};

/// The outer map with the trie in force, and what the two policies are in its form.
pub(crate) struct Trie {
    outer: OwnedFd,
    shape: MapShape,
    keys: [Vec<u8>; 2],
    values: Vec<u8>,
    _current: OwnedFd,
}

impl Trie {
    /// With an empty trie in force.
    ///
    /// # Errors
    /// When the kernel makes no such maps.
    pub(crate) fn new(policies: &[Prefixes; 2]) -> io::Result<Self> {
        let count = u32::try_from(policies[0].list.len()).map_err(io::Error::other)?;
        let shape = MapShape {
            kind: bpf_map_type::BPF_MAP_TYPE_LPM_TRIE,
            key_bytes: 8,
            value_bytes: 4,
            entries: count,
            flags: raw::NO_PREALLOC,
        };
        let current = raw::create_map(shape, None)?;
        let outer = MapShape {
            kind: bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS,
            key_bytes: 4,
            value_bytes: 4,
            entries: 1,
            flags: 0,
        };
        let outer = raw::create_map(outer, Some(current.as_fd()))?;
        raw::swap(outer.as_fd(), current.as_fd())?;
        Ok(Self {
            outer,
            shape,
            keys: [keys(&policies[0]), keys(&policies[1])],
            values: 1_u32.to_ne_bytes().repeat(count as usize),
            _current: current,
        })
    }

    /// Puts policy `at` into force; how long that took, the end of the one before included.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(crate) fn replace(&mut self, at: usize) -> io::Result<Duration> {
        let begin = Instant::now();
        let fresh = raw::create_map(self.shape, None)?;
        let keys = &self.keys[at];
        raw::update_batch(fresh.as_fd(), self.shape, keys, &self.values, self.shape.entries)?;
        raw::swap(self.outer.as_fd(), fresh.as_fd())?;
        self._current = fresh;
        Ok(begin.elapsed())
    }
}

/// The prefixes as `struct bpf_lpm_trie_key` (`include/uapi/linux/bpf.h`): the length, then the address in network order.
fn keys(prefixes: &Prefixes) -> Vec<u8> {
    prefixes
        .list
        .iter()
        .flat_map(|net| {
            let mut key = [0; 8];
            key[..4].copy_from_slice(&u32::from(net.prefix_len()).to_ne_bytes());
            key[4..].copy_from_slice(&net.network().octets());
            key
        })
        .collect()
}
