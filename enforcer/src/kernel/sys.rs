//! Raw system calls: everything of bpf(2) that aya has no call for, and the limits around it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

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
    // SAFETY: `ids` lives until the call returns and has the room that `attr` states.
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) }?;
    // SAFETY: the kernel has written the count there.
    let count = unsafe { attr.query.__bindgen_anon_2.prog_cnt } as usize;
    Ok(ids[..count.min(PROGRAMS_MAX)].to_vec())
}

/// Runs a program `repeat` times over a packet without sending it: what it returned last, and the mean duration.
///
/// # Errors
/// The kernel's error number: EINVAL for fewer than 14 bytes.
pub(super) fn test_run(program: BorrowedFd<'_>, packet: &[u8], repeat: u32) -> io::Result<(u32, Duration)> {
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.test.prog_fd = program.as_raw_fd().unsigned_abs();
    attr.test.data_in = packet.as_ptr() as u64;
    attr.test.data_size_in = u32::try_from(packet.len()).map_err(io::Error::other)?;
    attr.test.repeat = repeat;
    // SAFETY: the kernel reads as many bytes of `packet` as `attr` states, and writes none: there is no output buffer.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    // SAFETY: the kernel has written both numbers.
    let (returned, nanoseconds) = unsafe { (attr.test.retval, attr.test.duration) };
    Ok((returned, Duration::from_nanos(nanoseconds.into())))
}

/// bpf(2).
///
/// # Safety
/// What `attr` points to must be there for the call, as long as it states.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<()> {
    // SAFETY: `attr` is a whole bpf_attr; the rest is the caller's promise.
    let status = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
