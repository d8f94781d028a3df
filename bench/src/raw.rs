//! Raw system calls: maps with batches, a map in a map and the empty program for comparison; processor times and pins.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_info, bpf_prog_type,
};

/// The kernel takes an LPM trie only without memory in advance (`kernel/bpf/lpm_trie.c`).
pub(crate) const NO_PREALLOC: u32 = 1;

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapShape {
    pub(crate) kind: bpf_map_type,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u32,
}

/// Makes a map; `inner` is what the maps in a map of maps look like.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn create_map(shape: MapShape, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: a field of plain numbers.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = shape.kind as u32;
    create.key_size = shape.key_bytes;
    create.value_size = shape.value_bytes;
    create.max_entries = shape.entries;
    create.map_flags = shape.flags;
    create.inner_map_fd = inner.map_or(0, |fd| fd.as_raw_fd().unsigned_abs());
    // SAFETY: nothing is pointed to.
    let fd = unsafe { bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts `count` elements into a map by as few calls as the kernel allows (Linux 5.6).
///
/// # Errors
/// The kernel's error number.
///
/// # Panics
/// When keys or values are not `count` elements long.
pub(crate) fn update_batch(
    map: BorrowedFd<'_>,
    shape: MapShape,
    keys: &[u8],
    values: &[u8],
    count: u32,
) -> io::Result<()> {
    assert_eq!(keys.len(), shape.key_bytes as usize * count as usize);
    assert_eq!(values.len(), shape.value_bytes as usize * count as usize);
    let mut attr = zeroed();
    attr.batch.map_fd = map.as_raw_fd().unsigned_abs();
    attr.batch.keys = keys.as_ptr() as u64;
    attr.batch.values = values.as_ptr() as u64;
    attr.batch.count = count;
    // SAFETY: the kernel reads as many keys and values as `count` says, which are there.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr) }.map(drop)
}

/// Puts the map `inner` at position 0 of a map of maps, and waits until nobody reads the one before.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn swap(outer: BorrowedFd<'_>, inner: BorrowedFd<'_>) -> io::Result<()> {
    let key = 0_u32;
    let value = inner.as_raw_fd();
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = outer.as_raw_fd().unsigned_abs();
    attr.__bindgen_anon_2.key = (&raw const key) as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = (&raw const value) as u64;
    // SAFETY: key and value are there until the call returns, of the sizes that the map was made with.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// Where a program is attached, with the type of program that is attached there.
pub(crate) type Hook = (bpf_prog_type, bpf_attach_type);
/// `cgroup_skb/egress`: packets.
pub(crate) const EGRESS: Hook = (
    bpf_prog_type::BPF_PROG_TYPE_CGROUP_SKB,
    bpf_attach_type::BPF_CGROUP_INET_EGRESS,
);
/// `cgroup/sendmsg4`: calls that name their destination.
pub(crate) const SENDMSG4: Hook = (
    bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG,
);

/// Loads the program for a hook that lets everything pass: what no program can be faster than.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn load_empty((kind, hook): Hook) -> io::Result<OwnedFd> {
    const MOVE_IMMEDIATE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let instruction = |code, imm| bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm,
    };
    let program = [instruction(MOVE_IMMEDIATE, 1), instruction(EXIT, 0)];
    let mut attr = zeroed();
    // SAFETY: a field of plain numbers.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = kind as u32;
    load.expected_attach_type = hook as u32;
    load.insns = program.as_ptr() as u64;
    load.insn_cnt = 2;
    load.license = c"Dual MIT/GPL".as_ptr() as u64;
    // SAFETY: instructions and licence are there until the call returns.
    let fd = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a cgroup; closing the descriptor detaches it.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    (_, hook): Hook,
    cgroup: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().unsigned_abs();
    attr.link_create.__bindgen_anon_2.target_fd = cgroup.as_raw_fd().unsigned_abs();
    attr.link_create.attach_type = hook as u32;
    // SAFETY: nothing is pointed to.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The first egress program on a cgroup.
///
/// # Errors
/// The kernel's error number; [`io::ErrorKind::NotFound`] when there is none.
pub(crate) fn egress_program(cgroup: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut ids = [0_u32; 8];
    let mut attr = zeroed();
    attr.query.__bindgen_anon_1.target_fd = cgroup.as_raw_fd().unsigned_abs();
    attr.query.attach_type = bpf_attach_type::BPF_CGROUP_INET_EGRESS as u32;
    attr.query.prog_ids = ids.as_mut_ptr() as u64;
    attr.query.__bindgen_anon_2.prog_cnt = 8;
    // SAFETY: `ids` lives until the call returns and has the room that `attr` states.
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) }?;
    let [id, ..] = ids;
    if id == 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut attr = zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    // SAFETY: nothing is pointed to.
    let fd = unsafe { bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How often a program has run, and for how long in all, while the kernel kept statistics (`BPF_ENABLE_STATS`, Linux 5.8).
///
/// # Errors
/// The kernel's error number.
pub(crate) fn run_time(program: BorrowedFd<'_>) -> io::Result<(u64, Duration)> {
    // SAFETY: plain numbers, for which zero is a value.
    let mut info = unsafe { std::mem::zeroed::<bpf_prog_info>() };
    let mut attr = zeroed();
    attr.info.bpf_fd = program.as_raw_fd().unsigned_abs();
    attr.info.info = (&raw mut info) as u64;
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).map_err(io::Error::other)?;
    // SAFETY: `info` lives until the call returns and has the size that `attr` states; it asks for no lists.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok((info.run_cnt, Duration::from_nanos(info.run_time_ns)))
}

/// The time that children which have ended and were waited for have spent in the kernel.
pub(crate) fn children_in_kernel() -> Duration {
    // SAFETY: plain numbers, for which zero is a value.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: `usage` has the size that the call fills; it can not fail with these arguments.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let seconds = u64::try_from(usage.ru_stime.tv_sec).unwrap_or(0);
    let micros = u64::try_from(usage.ru_stime.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// The processor time of a whole process, of threads that have ended too.
///
/// # Errors
/// When there is no such process.
pub(crate) fn processor_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` has the size that the call fills.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` has the size that the call fills.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
}

/// Opens what is pinned at a path.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    // SAFETY: the path ends with a NUL and lives until the call returns.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attr) }?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn zeroed() -> bpf_attr {
    // SAFETY: all of the union is plain numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
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
