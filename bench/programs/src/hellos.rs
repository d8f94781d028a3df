//! The least that a check of a ClientHello can be: what section 5 of the benchmark holds the enforcer's against.
//!
//! They stand where the enforcer stands, on the egress of a cgroup, over the same connections and the same policy, and keep
//! with a socket whether it was checked. Nothing that makes the check one is in the first two: no length is held against
//! another, no extension counted or looked for a second time, no record behind the hello looked at, no segment put in order, no
//! name compared byte by byte, no pattern looked up, nothing counted or told, and a policy that changes meanwhile goes unnoticed.
//! The third has what a check owes of that, and nothing for hellos that come in any other way than most: it counts them and asks
//! whether one may be told of, as the enforcer's, but tells of none, reads the policy once, and knows whole names only. IPv4
//! without options only.

use core::arch::asm;
use core::ffi::c_void;
use core::ptr::null_mut;

use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::{
    bpf_jiffies64, bpf_ktime_get_ns, bpf_sk_fullsock, bpf_sk_storage_get, bpf_skb_load_bytes,
};
use aya_ebpf::macros::{btf_map, cgroup_skb, map};
use aya_ebpf::maps::{Array, PerCpuArray};
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::abi::Counter;
use enforcer_common::bytes::Bytes as _;

use crate::{DROP, PASS, context, skb};

/// The filtered port.
const PORT: u32 = 443;
/// Bytes of an IPv4 header.
const HEADER: u32 = 20;
/// Most bytes of a hello: a power of two.
const HELLO_MAX: u32 = 1 << 10;
/// Most extensions, and most words of a name.
const EXTENSIONS_MAX: u32 = 64;
const WORDS_MAX: u32 = 32;
/// Most names: a power of two, with room for their number.
const NAMES_MAX: u32 = 1 << 14;
/// Halvings that find one of as many.
const HALVINGS: u32 = 14;

/// How far a session is: its hello was let through, and nothing is looked at any more.
const GREETED: u32 = 1;
const CHECKED: u32 = 2;

/// What is kept with a socket.
#[repr(C)]
struct Session {
    stage: u32,
    /// The number of the byte that is to come next, where what a check owes is done.
    next: u32,
    /// Always zero, which the verifier does not know.
    zero: u64,
    /// The hello, with room for a word that begins at its end.
    hello: [u8; HELLO_MAX as usize + 8],
    name: [u64; WORDS_MAX as usize],
}

#[btf_map]
static HELLO_SESSIONS: SkStorage<Session> = SkStorage::new();
/// The number of granted names, and their hashes in ascending order.
#[map]
static HELLO_NAMES: Array<u64> = Array::with_max_entries(NAMES_MAX, 0);
/// The texts of the first few of them, at the same positions.
#[map]
static HELLO_TEXTS: Array<[u64; WORDS_MAX as usize]> = Array::with_max_entries(16, 0);
/// Sessions that were let through, and what limits their telling.
#[map]
static HELLO_COUNT: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);

/// The whole: all of the hello is read, the name found in it and looked up.
#[cgroup_skb(egress)]
fn bench_hello_entry(program: SkBuffContext) -> i32 {
    entry::<false>(&program, |session| read(&program, session))
}

/// The same with nothing read: it is only noted that the socket was checked.
#[cgroup_skb(egress)]
fn bench_hello_entry_nothing(program: SkBuffContext) -> i32 {
    entry::<false>(&program, |session| {
        // SAFETY: not null, and alive as long as the socket, which the packet holds. The same holds for the others.
        unsafe { (*session).stage = CHECKED };
        Some(())
    })
}

/// The whole, with what a check owes, and what follows the hello: until it is no other hello that may follow.
#[cgroup_skb(egress)]
fn bench_hello_entry_owed(program: SkBuffContext) -> i32 {
    entry::<true>(&program, |session| owed(&program, session))
}

/// Reads all of the hello, finds the name in it, and looks it up: whether the segment passes.
#[inline(always)]
fn read(program: &SkBuffContext, session: *mut Session) -> Option<()> {
    let length = load(program, session)?;
    let name = find_name(session, length)?;
    let hash = take_name(session, name);
    position(hash)?;
    // SAFETY: as above.
    unsafe { (*session).stage = CHECKED };
    Some(())
}

/// The same with what a check owes.
#[inline(always)]
fn owed(program: &SkBuffContext, session: *mut Session) -> Option<()> {
    let [_, _, _, _, _, _, sequence, _, control] = skb(program).near()?;
    // SAFETY: as above.
    let (stage, next) = unsafe { ((*session).stage, (*session).next) };
    if sequence != next {
        return None;
    }
    if stage == GREETED {
        if !is_settled(program, HEADER + header_of(control)) {
            return None;
        }
        // SAFETY: as above.
        unsafe { (*session).stage = CHECKED };
        return Some(());
    }
    begin();
    let length = load(program, session)?;
    let name = find_name_checked(session, length)?;
    let hash = take_name(session, name);
    let at = position(hash)?;
    if !is_text(session, name.1, at) {
        return None;
    }
    count();
    // SAFETY: as above.
    unsafe {
        (*session).stage = GREETED;
        (*session).next = sequence.wrapping_add(length);
    }
    Some(())
}

/// What every packet goes through, and `check` with a segment of a session that was not checked; in order, where what a check
/// owes is done.
#[inline(always)]
fn entry<const OWES: bool>(program: &SkBuffContext, check: impl FnOnce(*mut Session) -> Option<()>) -> i32 {
    let skb = skb(program);
    let Some([_, _, _, _, destination, ports, sequence, _, control]) = skb.near() else {
        return PASS;
    };
    if ports & 0xffff != PORT {
        return PASS;
    }
    let found = enforcer_ebpf::find_address(destination);
    if !found.is_granted() {
        return DROP;
    }
    if control & (1 << 17) != 0 {
        // A SYN. The enforcer has the place from the call to `connect`.
        let session = session(program, true);
        if OWES && !session.is_null() {
            // SAFETY: not null, and alive as long as the socket, which the packet holds.
            unsafe { (*session).next = sequence.wrapping_add(1) };
        }
        return PASS;
    }
    if found.grant().condition() == 0 || skb.length() == HEADER + header_of(control) {
        return PASS;
    }
    let session = session(program, false);
    // SAFETY: as above.
    if session.is_null() || unsafe { (*session).stage } == CHECKED {
        return PASS;
    }
    match check(session) {
        Some(()) => PASS,
        None => DROP,
    }
}

/// Bytes of a TCP header, by its fourth word.
#[inline(always)]
const fn header_of(control: u32) -> u32 {
    control >> 26 & 0x3c
}

/// What is kept with the socket; with `create` there is a place made for it. Null without one.
#[inline(always)]
fn session(program: &SkBuffContext, create: bool) -> *mut Session {
    let flags = if create { BPF_SK_STORAGE_GET_F_CREATE } else { 0 };
    // SAFETY: the context is valid for the program's run, and neither helper is asked about a null pointer.
    unsafe {
        let socket = (*context(program)).__bindgen_anon_2.sk;
        if socket.is_null() {
            return null_mut();
        }
        let full = bpf_sk_fullsock(socket);
        if full.is_null() {
            return null_mut();
        }
        let map = (&raw const HELLO_SESSIONS).cast_mut().cast::<c_void>();
        bpf_sk_storage_get(map, full.cast(), null_mut(), flags.into()).cast()
    }
}

/// Begins to fetch what is needed behind the hello, where there is one name: it comes while the hello is read.
#[inline(always)]
fn begin() {
    // SAFETY: the elements are alive and aligned. Volatile: the reads stay although nobody wants what they give.
    unsafe {
        if let Some(hash) = HELLO_NAMES.get_ptr(1) {
            let _ = hash.read_volatile();
        }
        if let Some(text) = HELLO_TEXTS.get_ptr(1) {
            let _ = text.cast::<u64>().read_volatile();
        }
        if let Some(counter) = HELLO_COUNT.get_ptr(0) {
            let _ = (&raw const (*counter).denied).read_volatile();
        }
    }
}

/// Counts a session, and those of which nothing could be told.
#[inline(always)]
fn count() {
    let Some(counter) = HELLO_COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the element is alive and belongs to this CPU; the helpers have no preconditions.
    unsafe {
        add_one(&raw mut (*counter).denied);
        if !(*counter).bucket.take(bpf_jiffies64(), || bpf_ktime_get_ns()) {
            add_one(&raw mut (*counter).suppressed);
        }
    }
}

/// Adds one, whole: an interrupt on this CPU may let a session through in between.
///
/// # Safety
/// `counter` points to an aligned and living map value.
#[inline(always)]
unsafe fn add_one(counter: *mut u64) {
    // SAFETY: as the caller promises.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1_u64) };
}

/// Copies the hello; its length.
#[inline(always)]
fn load(program: &SkBuffContext, session: *mut Session) -> Option<u32> {
    let skb = skb(program);
    let [.., control] = skb.near::<9>()?;
    let payload = HEADER + header_of(control);
    let length = skb.length().wrapping_sub(payload);
    let mut bounded = u64::from(length);
    // SAFETY: touches one register that it owns. The verifier sees a length of 1 to as many as there is room for.
    unsafe { asm!("{0} += -1", "{0} &= 0x3ff", "{0} += 1", inout(reg) bounded) };
    // SAFETY: the helper writes so many bytes or fails.
    let status = unsafe {
        #[expect(clippy::cast_possible_truncation, reason = "at most 1024")]
        bpf_skb_load_bytes(
            context(program).cast(),
            payload,
            (&raw mut (*session).hello).cast(),
            bounded as u32,
        )
    };
    (status == 0).then_some(length)
}

/// Eight bytes of the hello.
#[inline(always)]
fn eight(session: *const Session, at: u32) -> u64 {
    let mut word = u64::from(at);
    // SAFETY: reads within the hello, behind which there are eight bytes more, and touches one register that it owns.
    unsafe {
        asm!(
            "{0} &= 0x3ff",
            "{0} += {1}",
            "{0} = *(u64 *)({0} + 0)",
            inout(reg) word,
            in(reg) &raw const (*session).hello,
            options(readonly, nostack),
        );
    }
    word
}

/// A number of 16 bits in network order.
#[inline(always)]
fn number(word: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits are meant")]
    u32::from((word as u16).swap_bytes())
}

/// A number of 8 bits.
#[inline(always)]
fn byte(word: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower 8 bits are meant")]
    u32::from(word as u8)
}

/// Where the name is, and its length.
#[inline(always)]
fn find_name(session: *const Session, length: u32) -> Option<(u32, u32)> {
    // Behind the headers of record and message, version and random (RFC 8446 section 4.1.2).
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + byte(eight(session, at));
    at += 2 + number(eight(session, at));
    at += 1 + byte(eight(session, at));
    at += 2;
    for _ in 0..EXTENSIONS_MAX {
        if at >= length {
            break;
        }
        let head = eight(session, at);
        if number(head) == 0 {
            // Behind the extension's type and length, and the list's length and the name's type (RFC 6066 section 3).
            return Some((at + 9, number(eight(session, at + 7))));
        }
        at += 4 + number(head >> 16);
    }
    None
}

/// As [`find_name`], with every length held against those around it, and no extension there twice.
#[inline(always)]
fn find_name_checked(session: *const Session, length: u32) -> Option<(u32, u32)> {
    let first = eight(session, 0);
    let record = number(first >> 24);
    let message = byte(first >> 48) << 16 | byte(first >> 56) << 8 | byte(eight(session, 8));
    // A handshake record of some version 3, and in it a ClientHello and nothing else.
    if byte(first) != 22
        || byte(first >> 8) != 3
        || byte(first >> 40) != 1
        || message + 4 != record
        || record + 5 != length
    {
        return None;
    }
    let mut at = 5 + 4 + 2 + 32;
    let id = byte(eight(session, at));
    at += 1 + id;
    let ciphers = number(eight(session, at));
    at += 2 + ciphers;
    let compressions = byte(eight(session, at));
    at += 1 + compressions;
    let extensions = number(eight(session, at));
    at += 2;
    if id > 32 || ciphers < 2 || ciphers & 1 != 0 || compressions == 0 || at + extensions != length {
        return None;
    }
    // SAFETY: as for every session. Volatile, so that neither the compiler nor the verifier knows what it is.
    let zero = || unsafe { (&raw const (*session).zero).read_volatile() };
    let (mut types, mut others, mut again) = (zero(), zero(), zero());
    #[expect(clippy::cast_possible_truncation, reason = "zero")]
    let (mut name, mut name_length) = (zero() as u32, zero() as u32);
    for _ in 0..EXTENSIONS_MAX {
        if at >= length {
            break;
        }
        let head = eight(session, at);
        let (kind, size) = (number(head), number(head >> 16));
        at += 4;
        if kind < u64::BITS {
            let mark = 1 << kind;
            again |= types & mark;
            types |= mark;
            if kind == 0 {
                (name, name_length) = (at, size);
            }
        } else {
            let mark = 1 << (kind.wrapping_mul(0x9e37_79b9) >> 26);
            again |= others & mark;
            others |= mark;
        }
        at += size;
    }
    let list = eight(session, name);
    if at != length
        || again != 0
        || types & 1 == 0
        || number(list) + 2 != name_length
        || byte(list >> 16) != 0
        || number(list >> 24) + 5 != name_length
    {
        return None;
    }
    Some((name + 5, name_length - 5))
}

/// Whether the record at `payload` is one behind which no hello follows, or the change of cipher in front of such a one
/// (RFC 8446, appendix D.4).
#[inline(always)]
fn is_settled(program: &SkBuffContext, payload: u32) -> bool {
    const CHANGE_CIPHER_SPEC: u8 = 20;
    const APPLICATION_DATA: u8 = 23;
    let skb = skb(program);
    let Some([mut kind, _, _, high, low, _]) = skb.read(payload) else {
        return false;
    };
    if kind == CHANGE_CIPHER_SPEC && high == 0 && low == 1 {
        let Some([next, ..]) = skb.read::<6>(payload + 6) else {
            return false;
        };
        kind = next;
    }
    kind == APPLICATION_DATA
}

/// Whether the name, of `length` bytes, is the text at a position.
#[inline(always)]
fn is_text(session: *const Session, length: u32, at: u32) -> bool {
    let Some(text) = HELLO_TEXTS.get_ptr(at) else {
        return false;
    };
    let mut differs = 0;
    for index in 0..WORDS_MAX {
        if index * 8 >= length {
            break;
        }
        // SAFETY: within both, which are alive and aligned; nobody writes the texts while programs run.
        differs |= unsafe {
            (&raw const (*session).name)
                .cast::<u64>()
                .add(index as usize)
                .read()
                ^ text.cast::<u64>().add(index as usize).read_volatile()
        };
    }
    differs == 0
}

/// Copies the name; its hash.
#[inline(always)]
fn take_name(session: *mut Session, (at, length): (u32, u32)) -> u64 {
    let mut hash = 0;
    for index in 0..WORDS_MAX {
        let start = index * 8;
        if start >= length {
            break;
        }
        let left = length - start;
        let kept = if left >= 8 {
            u64::MAX
        } else {
            (1 << (left * 8)) - 1
        };
        let word = eight(session, at.wrapping_add(start)) & kept;
        // SAFETY: within the name.
        unsafe {
            (&raw mut (*session).name)
                .cast::<u64>()
                .add(index as usize)
                .write(word)
        };
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash
}

/// The position of the name with this hash.
#[inline(always)]
fn position(hash: u64) -> Option<u32> {
    let entry = |at| {
        let found = HELLO_NAMES.get_ptr(at);
        // SAFETY: the element is alive and aligned, and nobody writes it while programs run.
        found.map_or(0, |found| unsafe { found.read_volatile() })
    };
    let mut base = 1;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most as many as the map has entries"
    )]
    let mut count = entry(0) as u32;
    for _ in 0..HALVINGS {
        if count <= 1 {
            break;
        }
        let half = count >> 1;
        if entry(base + half) <= hash {
            base += half;
        }
        count -= half;
    }
    (entry(base) == hash).then_some(base)
}
