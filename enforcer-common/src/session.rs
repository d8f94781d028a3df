//! The segments of a TCP connection to verdicts, where the address asks for a granted server name.
//!
//! The first thing in the stream must be a ClientHello under a granted name. Behind it, records are stepped over until it
//! is certain that no second ClientHello can follow (one that a HelloRetryRequest asked for is judged like the first);
//! from then on nothing is looked at until the policy changes, and then only the name that is kept.
//!
//! Reading and judging are two steps: [`read`] and [`read_pieces`] write what a segment says into the flow, and [`judge`]
//! puts it together with what [`crate::names::look_up_named`] says of the name.
//!
//! A hello that comes in pieces is gathered. A piece that leaves it incomplete passes: no server acts on a part of a
//! hello, and the piece that completes it passes only when the whole is granted. What is readable early is judged early,
//! so a name that is not granted never leaves in full. Holding the first piece back instead would wait for TCP to send it
//! again merged with the next, which it does only while both lie in one buffer: with a small maximum segment size a long
//! hello would wait for ever.

use crate::bytes::{Bytes, Reader};
use crate::client_hello::{self, HELLO_MAX, Parsed, RECORD_HEADER, content};
use crate::flow::{Finding, Flow, Stage};
use crate::names::NamedAnswer;
use crate::reason::Reason;
use crate::table::{Found, PolicyWord, Settings};
use crate::verdict::{Judgement, Verdict};

/// Records that one look steps over. What is left of the segment gets another look.
const RECORDS: u32 = 8;
/// Looks at one segment.
const LOOKS_MAX: u8 = 8;
/// Steps that one segment takes at most: each look reads, gathers and judges; one look too many is read and judged, and then
/// it is known what becomes of the segment.
pub const STEPS_MAX: u32 = 3 * LOOKS_MAX as u32 + 3;
/// Bytes that tell what a record is: its header, and the type of a handshake message.
const RECORD_HEAD: u32 = RECORD_HEADER + 1;

/// What is to be done after a look at a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// [`judge`]: what was found is in the flow.
    Judge,
    /// [`read`]: there is more in this segment.
    Read,
    /// [`read_pieces`]: a record is not whole.
    Gather,
    /// Nothing: it passes.
    Pass,
}

/// Where the pieces of one record are kept until it is whole.
pub trait Pieces: Bytes {
    /// Copies `length` bytes from `offset` of the packet behind the first `have` that are kept; whether all could be
    /// read. `have` and `length` together are at most [`HELLO_MAX`].
    fn append(&mut self, have: u32, offset: u32, length: u32) -> bool;
}

/// Reads the segment that is noted in the flow: one with payload, to an address with a condition; `word` is that of the
/// policy in force.
#[inline(always)]
pub fn read<B: Bytes + ?Sized>(bytes: &B, flow: &mut Flow, word: PolicyWord) -> Step {
    flow.window.close();
    if flow.looks >= LOOKS_MAX {
        return wrong(flow, Reason::TooManyRecords);
    }
    flow.looks += 1;
    let skip = match start(flow, word.settings()) {
        Start::At(skip) => skip,
        Start::Nothing => return found(flow, Finding::Nothing),
        Start::Wrong(reason) => return wrong(flow, reason),
    };
    if flow.gathered != 0 {
        return Step::Gather;
    }
    let at = match next_hello(bytes, skip, flow) {
        Next::Hello(at) => at,
        Next::Nothing => return nothing(flow, word),
        Next::Gather => return Step::Gather,
        Next::Again => return Step::Read,
    };
    match hello(bytes, at, flow) {
        Told::Whole(end) => {
            // In the numbers of the stream.
            flow.found_end = flow
                .segment
                .sequence
                .wrapping_add(end.wrapping_sub(flow.segment.payload));
            found(flow, Finding::Hello)
        }
        Told::Part => Step::Gather,
        Told::Wrong(reason) => wrong(flow, reason),
    }
}

/// As [`read`], where it said [`Step::Gather`].
#[inline(always)]
pub fn read_pieces<P: Pieces + ?Sized>(pieces: &mut P, flow: &mut Flow, word: PolicyWord) -> Step {
    flow.window.close();
    let skip = match start(flow, word.settings()) {
        Start::At(skip) => skip,
        Start::Nothing => return found(flow, Finding::Nothing),
        Start::Wrong(reason) => return wrong(flow, reason),
    };
    let have = flow.gathered;
    flow.has_pieces = 1;
    if have >= HELLO_MAX {
        return wrong(flow, Reason::HelloTooLong);
    }
    let more = min(flow.segment.length.wrapping_sub(skip), HELLO_MAX - have);
    if !pieces.append(have, flow.segment.payload.wrapping_add(skip), more) {
        return wrong(flow, Reason::NoMemory);
    }
    flow.found_end = have + more;
    if matches!(flow.stage(), Stage::Greeted) {
        let mut reader = Reader::new(pieces, &mut flow.window);
        let Some([kind, _, _, high, low, message]) = reader.read::<{ RECORD_HEAD as usize }>(0) else {
            return found(flow, Finding::Part);
        };
        match kind_of(kind, message, flow) {
            Kind::Hello => {}
            Kind::Skipped => {
                let record = RECORD_HEADER + u32::from(u16::from_be_bytes([high, low]));
                flow.next = flow.next.wrapping_add(record);
                flow.gathered = 0;
                return Step::Read;
            }
            Kind::Last => {
                flow.stage = Stage::Settled as u8;
                flow.gathered = 0;
                return found(flow, Finding::Nothing);
            }
        }
    }
    match hello(pieces, 0, flow) {
        Told::Whole(end) => {
            flow.found_end = flow.next.wrapping_add(end);
            found(flow, Finding::Hello)
        }
        Told::Part => found(flow, Finding::Part),
        Told::Wrong(reason) => wrong(flow, reason),
    }
}

#[inline(always)]
fn found(flow: &mut Flow, finding: Finding) -> Step {
    flow.finding = finding as u8;
    Step::Judge
}

#[inline(always)]
fn wrong(flow: &mut Flow, reason: Reason) -> Step {
    flow.finding = Finding::Wrong as u8;
    flow.reason = reason as u8;
    Step::Judge
}

/// No hello can follow. The name needs no other look under the policy that granted it.
#[inline(always)]
fn nothing(flow: &mut Flow, word: PolicyWord) -> Step {
    let generation = word.generation().0;
    if generation != 0 && flow.named == generation {
        if matches!(flow.stage(), Stage::Settled) {
            flow.judged = generation;
        }
        return Step::Pass;
    }
    found(flow, Finding::Nothing)
}

/// Where in a segment the part starts that has not been judged.
enum Start {
    /// Behind so many bytes of payload.
    At(u32),
    /// There is none.
    Nothing,
    Wrong(Reason),
}

#[inline(always)]
fn start(flow: &mut Flow, settings: Settings) -> Start {
    match flow.stage() {
        Stage::Settled => return Start::Nothing,
        Stage::Condemned => {
            return Start::Wrong(Reason::from_code(flow.condemned).unwrap_or(Reason::UnknownSession));
        }
        Stage::Excused => {
            return if settings.existing_allowed() {
                Start::Nothing
            } else {
                Start::Wrong(Reason::UnknownSession)
            };
        }
        Stage::Unknown if flow.connected != 0 => return Start::Wrong(Reason::UnknownSession),
        Stage::Unknown if settings.existing_allowed() => {
            flow.stage = Stage::Excused as u8;
            return Start::Nothing;
        }
        // It may not have said anything yet.
        Stage::Unknown => flow.next = flow.segment.sequence,
        Stage::Opened | Stage::Greeted => {}
    }
    if flow.segment.is_urgent() {
        return Start::Wrong(Reason::UrgentData);
    }
    let skip = flow
        .next
        .wrapping_add(flow.gathered)
        .wrapping_sub(flow.segment.sequence);
    if skip >> 31 != 0 {
        // It went on unjudged, under a policy that asked for no name.
        if settings.existing_allowed() && matches!(flow.stage(), Stage::Opened) && flow.gathered == 0 {
            flow.stage = Stage::Excused as u8;
            return Start::Nothing;
        }
        return Start::Wrong(Reason::UnknownSession);
    }
    if skip >= flow.segment.length {
        return Start::Nothing;
    }
    Start::At(skip)
}

/// What a record behind the first ClientHello means.
enum Kind {
    Hello,
    /// A ClientHello may still follow.
    Skipped,
    /// None can follow: the server would not take it.
    Last,
}

#[inline(always)]
fn kind_of(kind: u8, message: u8, flow: &Flow) -> Kind {
    match kind {
        content::HANDSHAKE if message == client_hello::CLIENT_HELLO => Kind::Hello,
        content::CHANGE_CIPHER_SPEC | content::ALERT => Kind::Skipped,
        // A server that answers with a HelloRetryRequest ignores early data (RFC 8446 section 4.2.10).
        content::APPLICATION_DATA if flow.early_data != 0 => Kind::Skipped,
        _ => Kind::Last,
    }
}

/// What comes next in a segment.
enum Next {
    /// A ClientHello, at this offset of the packet.
    Hello(u32),
    Nothing,
    Gather,
    Again,
}

/// Steps over records until something is to be judged.
#[inline(always)]
fn next_hello<B: Bytes + ?Sized>(bytes: &B, skip: u32, flow: &mut Flow) -> Next {
    let mut at = flow.segment.payload.wrapping_add(skip);
    if !matches!(flow.stage(), Stage::Greeted) {
        return Next::Hello(at);
    }
    let end = flow.segment.payload.wrapping_add(flow.segment.length);
    for _ in 0..RECORDS {
        if at >= end {
            return Next::Nothing;
        }
        let mut reader = Reader::new(bytes, &mut flow.window);
        let Some([kind, _, _, high, low, message]) = reader.read::<{ RECORD_HEAD as usize }>(at) else {
            return Next::Gather;
        };
        match kind_of(kind, message, flow) {
            Kind::Hello => return Next::Hello(at),
            Kind::Skipped => {}
            Kind::Last => {
                flow.stage = Stage::Settled as u8;
                return Next::Nothing;
            }
        }
        let record = RECORD_HEADER + u32::from(u16::from_be_bytes([high, low]));
        at = at.wrapping_add(record);
        flow.next = flow.next.wrapping_add(record);
    }
    Next::Again
}

/// What a ClientHello came to.
enum Told {
    /// It ends before this offset. Its name is in the flow.
    Whole(u32),
    /// It is not whole. Its name, if it has one by now, is in the flow.
    Part,
    Wrong(Reason),
}

/// Reads the ClientHello at `at`, and its name into the flow.
#[inline(always)]
fn hello<B: Bytes + ?Sized>(bytes: &B, at: u32, flow: &mut Flow) -> Told {
    let mut reader = Reader::new(bytes, &mut flow.window);
    let (name, end) = match client_hello::parse(&mut reader, at, flow.name.scratch()) {
        Parsed::Whole(hello) => {
            flow.found_early_data = u32::from(hello.early_data);
            (hello.name, hello.end)
        }
        // No hello ends at 0.
        Parsed::Part { name: Some(name) } => (name, 0),
        Parsed::Part { name: None } => return Told::Part,
        // A connection from before need not begin with a hello, and that is then the better thing to say.
        Parsed::Wrong(Reason::NotTls) if matches!(flow.stage(), Stage::Unknown) => {
            return Told::Wrong(Reason::UnknownSession);
        }
        Parsed::Wrong(reason) => return Told::Wrong(reason),
    };
    let end = reader.forgotten(end);
    flow.named = 0;
    match flow.name.take(&mut reader, name) {
        Some(reason) => Told::Wrong(reason),
        None if end == 0 => Told::Part,
        None => Told::Whole(end),
    }
}

/// Judges what was found, by the policy's answer for the destination and the name in the flow. With [`Step::Read`] the
/// segment has more to look at; with [`Step::Pass`] it passes, or is denied as the judgement says.
#[inline(always)]
pub fn judge(flow: &mut Flow, answer: &NamedAnswer) -> (Judgement, Step) {
    let finding = flow.finding();
    let generation = answer.address.generation;
    let is_audit = answer.address.settings.audit();
    let mut judgement = Judgement {
        verdict: Verdict::Denied(Reason::AddressNotGranted),
        settings: answer.address.settings,
        generation,
        grant: answer.address.grant,
    };
    match answer.address.found {
        Found::Granted => {}
        Found::NotGranted => return (judgement, Step::Pass),
        Found::NoPolicy => return (denied(judgement, Reason::NoPolicy), Step::Pass),
        Found::Changing => return (denied(judgement, Reason::PolicyChanging), Step::Pass),
        Found::Damaged => return (denied(judgement, Reason::TableDamaged), Step::Pass),
    }
    judgement.verdict = Verdict::Granted;
    if judgement.grant.condition() == 0 {
        // The policy has changed since egress looked; what was not read now has not been judged later.
        return (judgement, Step::Pass);
    }
    if matches!(finding, Finding::Wrong) {
        if is_audit {
            flow.stage = Stage::Condemned as u8;
            flow.condemned = flow.reason;
            flow.gathered = 0;
            flow.judged = generation.0;
        }
        let reason = Reason::from_code(flow.reason).unwrap_or(Reason::UnknownSession);
        return (denied(judgement, reason), Step::Pass);
    }
    let needs_name = flow.name.length != 0 && !matches!(flow.stage(), Stage::Excused);
    if needs_name && !answer.is_name_granted {
        if is_audit {
            // It goes on, and under the next policy its name is looked up again.
            flow.stage = Stage::Settled as u8;
            flow.gathered = 0;
            flow.judged = generation.0;
        }
        return (denied(judgement, Reason::NameNotGranted), Step::Pass);
    }
    if flow.name.length != 0 {
        flow.named = generation.0;
    }
    match finding {
        Finding::Hello => {
            if matches!(greeted(flow), Step::Read) {
                return (judgement, Step::Read);
            }
        }
        Finding::Part => {
            flow.gathered = flow.found_end;
            if matches!(flow.stage(), Stage::Unknown) {
                flow.stage = Stage::Opened as u8;
            }
        }
        Finding::Nothing | Finding::Wrong => {
            if matches!(flow.stage(), Stage::Settled | Stage::Excused) {
                flow.judged = generation.0;
            }
        }
    }
    (judgement, Step::Pass)
}

/// The hello that was found is let through; what is to be done with the rest of the segment.
#[inline(always)]
pub(crate) const fn greeted(flow: &mut Flow) -> Step {
    flow.stage = Stage::Greeted as u8;
    flow.early_data = flow.found_early_data;
    flow.gathered = 0;
    flow.next = flow.found_end;
    let end = flow.segment.sequence.wrapping_add(flow.segment.length);
    if end.wrapping_sub(flow.next).wrapping_sub(1) >> 31 == 0 {
        Step::Read
    } else {
        Step::Pass
    }
}

#[inline(always)]
const fn denied(judgement: Judgement, reason: Reason) -> Judgement {
    Judgement {
        verdict: Verdict::Denied(reason),
        ..judgement
    }
}

#[inline(always)]
const fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
