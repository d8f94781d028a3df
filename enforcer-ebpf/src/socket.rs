//! The socket that sends a packet, and what is kept with it.

use aya_ebpf::bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_sk_storage_delete, bpf_sk_storage_get};
use enforcer_common::flow::Flow;
use enforcer_common::packet::protocol;
use enforcer_common::verdict::Flows;

use crate::maps::{FLOWS, PIECES};
use crate::pieces::Kept;

/// `SOCK_STREAM` (Linux `include/linux/net.h`).
const STREAM: u32 = 1;

/// The socket that sends a packet.
pub(crate) struct Socket {
    /// Null when there is none, or one that is about to go (time wait).
    full: *mut bpf_sock,
}

impl Socket {
    /// The socket of a packet.
    #[inline(always)]
    pub(crate) fn of(context: *mut __sk_buff) -> Self {
        // SAFETY: the context is valid for the program's run; the helper is asked about no null pointer.
        let full = unsafe {
            let socket = (*context).__bindgen_anon_2.sk;
            if socket.is_null() {
                core::ptr::null_mut()
            } else {
                bpf_sk_fullsock(socket)
            }
        };
        Self { full }
    }

    /// What is kept with it, whatever its kind; with `create` there is a place made for it, all zero. Null without one.
    #[inline(always)]
    pub(crate) fn flow(&self, create: bool) -> *mut Flow {
        if self.full.is_null() {
            return core::ptr::null_mut();
        }
        let map = (&raw const FLOWS).cast_mut().cast();
        // SAFETY: the map is a socket storage, and the socket a full one.
        unsafe { bpf_sk_storage_get(map, self.full.cast(), core::ptr::null_mut(), flags(create)) }.cast()
    }

    /// Where the pieces of a record are kept. Null without memory for them.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> *mut Kept {
        if self.full.is_null() {
            return core::ptr::null_mut();
        }
        let map = (&raw const PIECES).cast_mut().cast();
        // SAFETY: as above.
        unsafe { bpf_sk_storage_get(map, self.full.cast(), core::ptr::null_mut(), flags(true)) }.cast()
    }

    /// Gives the memory of [`Self::pieces`] back.
    #[inline(always)]
    pub(crate) fn forget_pieces(&self) {
        if self.full.is_null() {
            return;
        }
        let map = (&raw const PIECES).cast_mut().cast();
        // SAFETY: as above. That there is nothing to give back is no failure.
        unsafe { bpf_sk_storage_delete(map, self.full.cast()) };
    }
}

#[inline(always)]
const fn flags(create: bool) -> u64 {
    if create {
        BPF_SK_STORAGE_GET_F_CREATE as u64
    } else {
        0
    }
}

impl Flows for Socket {
    #[inline(always)]
    fn is_tcp(&self) -> bool {
        if self.full.is_null() {
            return false;
        }
        // SAFETY: not null; the verifier allows these fields. A raw socket may have TCP for its protocol, hence the type.
        unsafe { (*self.full).type_ == STREAM && (*self.full).protocol == protocol::TCP as u32 }
    }

    #[inline(always)]
    fn kept(&mut self) -> Option<&mut Flow> {
        if !self.is_tcp() {
            return None;
        }
        // SAFETY: null, or alive as long as the socket, which the packet holds.
        unsafe { self.flow(false).as_mut() }
    }

    #[inline(always)]
    fn keep(&mut self) -> Option<&mut Flow> {
        if !self.is_tcp() {
            return None;
        }
        // SAFETY: as above.
        unsafe { self.flow(true).as_mut() }
    }
}
