//! Raw system calls: everything of bpf(2) that aya has no call for, and the limits around it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Most programs on one cgroup that are looked at: the kernel allows 64 for each hook (`kernel/bpf/cgroup.c`,
/// `BPF_CGROUP_MAX_PROGS`).
const PROGRAMS_MAX: usize = 64;

/// Before Linux 5.11 maps count against RLIMIT_MEMLOCK. Where it can not be raised, the load will say so.
pub(super) fn raise_memlock() {
    let _ = setrlimit(
        Resource::Memlock,
        Rlimit {
            current: None,
            maximum: None,
        },
    );
}

/// The ids of the egress programs that are attached to a cgroup directory itself.
///
/// # Errors
/// The kernel's error number.
pub(super) fn egress_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; PROGRAMS_MAX];
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.query.__bindgen_anon_1.target_fd = cgroup.as_raw_fd().unsigned_abs();
    attr.query.attach_type = bpf_attach_type::BPF_CGROUP_INET_EGRESS as u32;
    attr.query.prog_ids = ids.as_mut_ptr() as u64;
    #[expect(clippy::cast_possible_truncation, reason = "64")]
    {
        attr.query.__bindgen_anon_2.prog_cnt = PROGRAMS_MAX as u32;
    }
    // SAFETY: `attr` is a whole bpf_attr, and `ids` has the room that it states.
    let status = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_PROG_QUERY as libc::c_long,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has written the count there.
    let count = unsafe { attr.query.__bindgen_anon_2.prog_cnt } as usize;
    Ok(ids[..count.min(PROGRAMS_MAX)].to_vec())
}
