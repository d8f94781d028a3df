//! Raw system calls: everything of bpf(2) that aya has no call for, and the limits around it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_prog_info};
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

/// What the kernel says of a link between a program and a cgroup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LinkInfo {
    /// The link's number.
    pub(super) id: u32,
    /// The number of the program that runs.
    pub(super) program: u32,
    /// The cgroup's inode number; 0 once the link is detached or its cgroup is gone.
    pub(super) cgroup: u64,
    /// The hook, a [`bpf_attach_type`].
    pub(super) hook: u32,
}

/// Attaches a program to a cgroup directory, beside those that are there (Linux 5.7).
///
/// # Errors
/// The kernel's error number.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    hook: bpf_attach_type,
) -> io::Result<OwnedFd> {
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().unsigned_abs();
    attr.link_create.__bindgen_anon_2.target_fd = cgroup.as_raw_fd().unsigned_abs();
    attr.link_create.attach_type = hook as u32;
    // SAFETY: nothing is pointed to.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Replaces the program of a link: every packet is judged by the one or the other (Linux 5.7).
///
/// # Errors
/// The kernel's error number: ENOLINK once the link is detached.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.link_update.link_fd = link.as_raw_fd().unsigned_abs();
    attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd().unsigned_abs();
    // SAFETY: nothing is pointed to.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Detaches, whoever else holds the link (Linux 5.9).
///
/// # Errors
/// The kernel's error number.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.link_detach.link_fd = link.as_raw_fd().unsigned_abs();
    // SAFETY: nothing is pointed to.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(drop)
}

/// Asks about a link, which `link` must be: the answer has no room for what the kernel says of programs and maps.
///
/// # Errors
/// The kernel's error number.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: all of it is plain numbers and addresses that nobody follows, for which zero is a value.
    let mut info = unsafe { std::mem::zeroed::<bpf_link_info>() };
    // SAFETY: as above.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.info.bpf_fd = link.as_raw_fd().unsigned_abs();
    #[expect(clippy::cast_possible_truncation, reason = "a hundred bytes")]
    {
        attr.info.info_len = size_of::<bpf_link_info>() as u32;
    }
    attr.info.info = (&raw mut info) as u64;
    // SAFETY: `info` lives until the call returns and has the room that `attr` states.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    // SAFETY: every bit pattern is a value of it, whatever kind of link it is.
    let cgroup = unsafe { info.__bindgen_anon_1.cgroup };
    Ok(LinkInfo {
        id: info.id,
        program: info.prog_id,
        cgroup: cgroup.cgroup_id,
        hook: cgroup.attach_type,
    })
}

/// The number of a program.
///
/// # Errors
/// The kernel's error number.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: all of it is plain numbers and addresses that nobody follows, for which zero is a value.
    let mut info = unsafe { std::mem::zeroed::<bpf_prog_info>() };
    // SAFETY: as above.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.info.bpf_fd = program.as_raw_fd().unsigned_abs();
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred bytes")]
    {
        attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    }
    attr.info.info = (&raw mut info) as u64;
    // SAFETY: `info` lives until the call returns and has the room that `attr` states; it asks for no lists.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info.id)
}

/// Pins a program, map or link at a path of a BPF file system.
///
/// # Errors
/// The kernel's error number: EEXIST where there is something, EPERM for a name with a dot.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = object.as_raw_fd().unsigned_abs();
    // SAFETY: the path ends with a NUL and lives until the call returns.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Opens what is pinned at a path: a program, map or link.
///
/// # Errors
/// The kernel's error number.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    let mut attr = unsafe { std::mem::zeroed::<bpf_attr>() };
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    // SAFETY: as for `pin`.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until no program runs any more that was running at the time of the call.
///
/// Programs run within RCU read sections, which the global barrier waits for (`kernel/sched/membarrier.c`). Where there is
/// one processor it waits for nothing, and nothing runs on another.
pub(super) fn wait_for_programs() {
    /// `MEMBARRIER_CMD_GLOBAL` (Linux `include/uapi/linux/membarrier.h`).
    const GLOBAL: libc::c_int = 1;
    // SAFETY: takes numbers only. A kernel without it (CONFIG_MEMBARRIER) leaves what follows to chance and to TCP, which
    // sends again.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}

/// bpf(2); what it returns, a descriptor or zero.
///
/// # Safety
/// What `attr` points to must be there for the call, as long as it states.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
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
        i32::try_from(status).map_err(io::Error::other)
    }
}
