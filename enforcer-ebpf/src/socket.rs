//! The socket that sends a packet, and what is kept with it.

use aya_ebpf::bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_sk_storage_delete, bpf_sk_storage_get};
use enforcer_common::flow::Flow;
use enforcer_common::packet::protocol;
use enforcer_common::verdict::Flows;

use crate::maps::{FLOWS, PIECES_0, PIECES_1, PIECES_2, PIECES_3};
use crate::pieces::Kept;

/// `SOCK_STREAM` (Linux `include/linux/net.h`).
const STREAM: u32 = 1;

/// The socket that sends a packet. It is asked for where it is needed: most packets are to other ports.
pub(crate) struct Socket {
    context: *mut __sk_buff,
}

impl Socket {
    /// The socket of a packet.
    #[inline(always)]
    pub(crate) fn of(context: *mut __sk_buff) -> Self {
        Self { context }
    }

    /// Null when there is none, or one that is about to go (time wait).
    #[inline(always)]
    fn full(&self) -> *mut bpf_sock {
        // SAFETY: the context is valid for the program's run; the helper is asked about no null pointer.
        unsafe {
            let socket = (*self.context).__bindgen_anon_2.sk;
            if socket.is_null() {
                core::ptr::null_mut()
            } else {
                bpf_sk_fullsock(socket)
            }
        }
    }

    /// What is kept with it, whatever its kind; with `create` there is a place made for it, all zero. Null without one.
    #[inline(always)]
    pub(crate) fn flow(&self, create: bool) -> *mut Flow {
        stored((&raw const FLOWS).cast(), self.full(), create).cast()
    }

    /// Where one of the four parts of a record is kept, 0 to 3; with `create` there is a place made for it. Null without one.
    #[inline(always)]
    pub(crate) fn pieces(&self, part: u32, create: bool) -> *mut Kept {
        let full = self.full();
        match part {
            0 => stored((&raw const PIECES_0).cast(), full, create),
            1 => stored((&raw const PIECES_1).cast(), full, create),
            2 => stored((&raw const PIECES_2).cast(), full, create),
            _ => stored((&raw const PIECES_3).cast(), full, create),
        }
        .cast()
    }

    /// Whether the packet was made by a test run: its socket has no type, which no socket of a process lacks.
    #[inline(always)]
    pub(crate) fn is_by_hand(&self) -> bool {
        let full = self.full();
        // SAFETY: not null; the verifier allows this field.
        !full.is_null() && unsafe { (*full).type_ } == 0
    }

    /// Gives the memory of [`Self::pieces`] back.
    #[inline(always)]
    pub(crate) fn forget_pieces(&self) {
        let full = self.full();
        if full.is_null() {
            return;
        }
        // SAFETY: the maps are socket storages, and the socket a full one. That there is nothing to give back is no failure.
        unsafe {
            bpf_sk_storage_delete((&raw const PIECES_0).cast_mut().cast(), full.cast());
            bpf_sk_storage_delete((&raw const PIECES_1).cast_mut().cast(), full.cast());
            bpf_sk_storage_delete((&raw const PIECES_2).cast_mut().cast(), full.cast());
            bpf_sk_storage_delete((&raw const PIECES_3).cast_mut().cast(), full.cast());
        }
    }

    /// What is kept with it, when it is a TCP socket.
    #[inline(always)]
    fn flow_of_tcp(&mut self, create: bool) -> Option<&mut Flow> {
        let full = self.full();
        if !is_tcp(full) {
            return None;
        }
        let flow = stored((&raw const FLOWS).cast(), full, create).cast::<Flow>();
        // SAFETY: null, or alive as long as the socket, which the packet holds. The programs of one socket run one after the
        // other, and each asks for one reference at a time.
        unsafe { flow.as_mut() }
    }
}

/// What a storage of sockets holds for one. Null when that is nothing, or for no socket.
#[inline(always)]
fn stored(map: *const core::ffi::c_void, full: *mut bpf_sock, create: bool) -> *mut core::ffi::c_void {
    if full.is_null() {
        return core::ptr::null_mut();
    }
    let flags = if create {
        u64::from(BPF_SK_STORAGE_GET_F_CREATE)
    } else {
        0
    };
    // SAFETY: the map is a socket storage, and the socket a full one; without a first value the memory is all zero.
    unsafe { bpf_sk_storage_get(map.cast_mut().cast(), full.cast(), core::ptr::null_mut(), flags) }.cast()
}

#[inline(always)]
fn is_tcp(full: *mut bpf_sock) -> bool {
    if full.is_null() {
        return false;
    }
    // SAFETY: not null; the verifier allows these fields. A raw socket may have TCP for its protocol, hence the type.
    unsafe { (*full).type_ == STREAM && (*full).protocol == protocol::TCP as u32 }
}

impl Flows for Socket {
    #[inline(always)]
    fn is_tcp(&self) -> bool {
        is_tcp(self.full())
    }

    #[inline(always)]
    fn kept(&mut self) -> Option<&mut Flow> {
        self.flow_of_tcp(false)
    }

    #[inline(always)]
    fn keep(&mut self) -> Option<&mut Flow> {
        self.flow_of_tcp(true)
    }
}
