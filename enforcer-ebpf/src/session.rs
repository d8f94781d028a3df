//! What egress goes on with, where an address asks for a granted server name.
//!
//! Programs of their own, reached by tail calls: a packet that needs none of this does not pay for it, and each has the
//! verifier's full budget. They find the segment that is to be judged in the flow, where egress has noted it.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::abi::NextProgram;
use enforcer_common::flow::Stage;
use enforcer_common::greeting::{admit, is_first, is_fit, settles, take_hello};
use enforcer_common::names::{Asked, NameTables, Text, find_hashed, is_text, look_up_named};
use enforcer_common::packet::protocol;
use enforcer_common::session::{Step, judge, read, read_pieces};
use enforcer_common::table::{Half, Seen, Tables as _};
use enforcer_common::verdict::{Flows as _, Transport, Verdict};

use crate::allowed::allow_session;
use crate::egress::{Outcome, PASS, carry_out, lost};
use crate::maps::PROGRAMS;
use crate::pieces::KeptPieces;
use crate::skb::Skb;
use crate::socket::Socket;
use crate::tables::{Maps, word, zero};

#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_session(program: SkBuffContext) -> i32 {
    let context = program.skb.skb;
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return lost(context);
    };
    if !is_first(flow) {
        let is_settled = settles(&Skb { context }, flow, Maps.word_as_written(0));
        return go_on(&program, if is_settled { Step::Pass } else { Step::Read });
    }
    if !take_hello(&Skb { context }, flow) {
        return go_on(&program, Step::Read);
    }
    let Some(step) = admit(&Maps, flow) else {
        let is_fit = is_fit::<Skb>(flow);
        return go_on(&program, if is_fit { Step::Judge } else { Step::Read });
    };
    allow_session(context, flow.grant.rule());
    go_on(&program, step)
}

/// What the one before leaves. Apart from it: the verifier walks through that once, and not once for every way in which a
/// hello may be another.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_read(program: SkBuffContext) -> i32 {
    let context = program.skb.skb;
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return lost(context);
    };
    let step = read(&Skb { context }, flow, word());
    go_on(&program, step)
}

#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_pieces(program: SkBuffContext) -> i32 {
    let context = program.skb.skb;
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return lost(context);
    };
    let mut pieces = KeptPieces { context, length: 0 };
    let step = read_pieces(&mut pieces, flow, word());
    go_on(&program, step)
}

#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_judge(program: SkBuffContext) -> i32 {
    let context = program.skb.skb;
    let Some(destination) = Socket::of(context).kept().map(|flow| flow.destination()) else {
        return lost(context);
    };
    let answer = look_up_named(&Maps, destination, &mut KeptName { context });
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return lost(context);
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
            carry_out(context, Outcome::denied(&judgement, reason, told))
        }
        _ => {
            if opens {
                allow_session(context, judgement.grant.rule());
            }
            go_on(&program, step)
        }
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

/// Goes on with another program. A chain of them is bounded by the kernel (`MAX_TAIL_CALL_CNT`); that bound is beyond the
/// looks that one segment gets.
#[inline(always)]
fn go_on(program: &SkBuffContext, step: Step) -> i32 {
    let next = match step {
        Step::Pass => return PASS,
        Step::Judge => NextProgram::Judge,
        Step::Read => NextProgram::Read,
        Step::Gather => NextProgram::Pieces,
    };
    // SAFETY: the map holds programs of this type only. It comes back here at the bound.
    unsafe { PROGRAMS.tail_call(program, next as u32) };
    lost(program.skb.skb)
}
