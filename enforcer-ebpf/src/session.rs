//! What egress goes on with, where an address asks for a granted server name.
//!
//! Global functions, each of which finds the segment that is to be judged in the flow, where egress has noted it, and says
//! what comes next: the verifier walks through each once by itself, and its stack is free again for the next. Not programs
//! of their own, reached by tail calls: for a program that may do such a call the kernel saves and clears what lies beside
//! each packet, also of those that need none of this (`cb_access`, Linux `include/linux/filter.h`).

use aya_ebpf::bindings::__sk_buff;
use enforcer_common::abi::GRANTED;
use enforcer_common::flow::Stage;
use enforcer_common::greeting::{admit, is_first, is_fit, take_hello};
use enforcer_common::names::{Asked, NameTables, Text, find_hashed, is_text, look_up_named};
use enforcer_common::packet::protocol;
use enforcer_common::session::{STEPS_MAX, Step, judge, read, read_pieces};
use enforcer_common::table::{Half, Seen};
use enforcer_common::verdict::{Flows as _, Transport, Verdict};

use crate::allowed::allow_session;
use crate::egress::{Outcome, PASS, carry_out, lost};
use crate::pieces::KeptPieces;
use crate::report::begin_count;
use crate::skb::Skb;
use crate::socket::Socket;
use crate::tables::{Maps, begin_names, word, zero};

/// What comes next for a packet, as it comes out of a global function.
mod next {
    pub(super) const PASS: u32 = 0;
    pub(super) const DROP: u32 = 1;
    pub(super) const JUDGE: u32 = 2;
    pub(super) const READ: u32 = 3;
    pub(super) const GATHER: u32 = 4;
}

/// What becomes of a packet of which a server name decides: whether it passes.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_session(context: *mut __sk_buff) -> u32 {
    let mut next = enforcer_greet(context);
    for _ in 0..STEPS_MAX {
        next = match next {
            next::PASS => return 1,
            next::JUDGE => enforcer_judge(context),
            next::READ => enforcer_read(context),
            next::GATHER => enforcer_gather(context),
            _ => return 0,
        };
    }
    // It never comes to this.
    lost(context).cast_unsigned()
}

/// Reads and judges what nearly every session begins with.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_greet(context: *mut __sk_buff) -> u32 {
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return done(lost(context));
    };
    if !is_first(flow) {
        return next::READ;
    }
    // It comes while the packet is read, instead of one wait behind the other.
    begin_names(flow.policy.generation().half());
    begin_count(GRANTED);
    if !take_hello(&Skb { context }, flow) {
        return next::READ;
    }
    let Some(step) = admit(&Maps, flow) else {
        let is_fit = is_fit::<Skb>(flow);
        return if is_fit { next::JUDGE } else { next::READ };
    };
    allow_session(context, flow.grant.rule());
    after(step)
}

/// Reads what a session sends. Apart from the one before: the verifier walks through that once, and not once for every way in
/// which a hello may be another.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_read(context: *mut __sk_buff) -> u32 {
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return done(lost(context));
    };
    after(read(&Skb { context }, flow, word()))
}

/// Puts a record together of which the session has sent a piece.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_gather(context: *mut __sk_buff) -> u32 {
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return done(lost(context));
    };
    let mut pieces = KeptPieces { context, length: 0 };
    after(read_pieces(&mut pieces, flow, word()))
}

/// Judges what was read.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_judge(context: *mut __sk_buff) -> u32 {
    let Some(destination) = Socket::of(context).kept().map(|flow| flow.destination()) else {
        return done(lost(context));
    };
    let answer = look_up_named(&Maps, destination, &mut KeptName { context });
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return done(lost(context));
    };
    let was_open = matches!(flow.stage(), Stage::Greeted);
    let (judgement, step) = judge(flow, &answer);
    let opens = !was_open && matches!(flow.stage(), Stage::Greeted);
    if flow.gathered == 0 && flow.has_pieces != 0 {
        flow.has_pieces = 0;
        Socket::of(context).forget_pieces();
    }
    match judgement.verdict {
        Verdict::Denied(reason) => {
            let told = Transport {
                protocol: protocol::TCP,
                ports: flow.transport,
            };
            done(carry_out(context, Outcome::denied(&judgement, reason, told)))
        }
        _ => {
            if opens {
                allow_session(context, judgement.grant.rule());
            }
            after(step)
        }
    }
}

/// After what is decided for good.
#[inline(always)]
fn done(outcome: i32) -> u32 {
    if outcome == PASS { next::PASS } else { next::DROP }
}

/// After a step of [`enforcer_common::session`].
#[inline(always)]
fn after(step: Step) -> u32 {
    match step {
        Step::Pass => next::PASS,
        Step::Judge => next::JUDGE,
        Step::Read => next::READ,
        Step::Gather => next::GATHER,
    }
}

/// The server name in the flow of a packet's socket. It is looked up by functions that find it there by themselves: a
/// global function takes numbers and the context only, before Linux 5.12.
struct KeptName {
    context: *mut __sk_buff,
}

impl Asked for KeptName {
    #[inline(always)]
    fn find<T: NameTables>(&mut self, _tables: &T, half: Half, seen: &mut Seen) -> Option<u64> {
        let scopes = enforcer_find_name(self.context, half.index());
        seen.note(scopes);
        // A table that contradicts itself grants no name: the denial then is one of the name.
        Some(scopes)
    }
}

/// The scopes in which the name in the flow is granted.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_find_name(context: *mut __sk_buff, half: u32) -> u64 {
    let half = Half::of(half);
    let Some(head) = Maps.name_head(half) else {
        return 0;
    };
    if enforcer_note_ends(context) == 0 || enforcer_hash_ends(context, head.seed) == 0 {
        return 0;
    }
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return 0;
    };
    let mut seen = Seen::default();
    seen.note(head.seed | u64::from(head.count));
    let scopes = find_hashed(&Maps, half, head.count, &flow.name, &mut seen, |text, seen| {
        let told = enforcer_is_text(context, half.index(), text.first, text.length, text.start);
        seen.note(told);
        (told != NO_TEXT).then_some(told != 0)
    })
    .unwrap_or_default();
    // The caller's last read depends on the result, and so on all that was read here.
    scopes + zero(seen.0)
}

/// What [`enforcer_is_text`] gives for a table that contradicts itself.
const NO_TEXT: u64 = 2;

/// Whether the end of the name in the flow that starts at `start` is the text of `length` bytes at `first`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_is_text(
    context: *mut __sk_buff,
    half: u32,
    first: u32,
    length: u32,
    start: u32,
) -> u64 {
    let flow = Socket::of(context).flow(false);
    if flow.is_null() {
        return NO_TEXT;
    }
    // SAFETY: not null, and alive as long as the socket, which the packet holds. Only read, here and by who calls.
    let name = unsafe { &(*flow).name };
    let text = Text { first, length, start };
    let mut seen = Seen::default();
    match is_text(&Maps, Half::of(half), text, name, &mut seen) {
        Some(equal) => u64::from(equal) + zero(seen.0),
        None => NO_TEXT,
    }
}

/// Notes where the ends of the name in the flow start; 1 when there is one. Apart from those that read them: to them the
/// verifier then lets the name be of any length, once.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_note_ends(context: *mut __sk_buff) -> u32 {
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return 0;
    };
    flow.name.note_ends();
    1
}

/// Works out the hashes of those ends; 1 when there is a name. Apart for the same reason.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_hash_ends(context: *mut __sk_buff, seed: u64) -> u32 {
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return 0;
    };
    flow.name.hash_ends(seed);
    1
}
