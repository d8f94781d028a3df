//! The first ClientHello of a connection, and the first record behind it, in the fewest steps that there are.
//!
//! Nearly every hello comes whole, in one segment, as the first thing in the stream, and has a shape that takes little to
//! check: this reads such a one and leaves every other to [`read`](crate::session::read), and lets it through where all of its
//! name is granted, which leaves patterns and denials to [`judge`](crate::session::judge). It says less than those and nothing
//! else: whatever is read here would be read there, to the same end and name, which the tests hold against each other. What
//! it saves is not so much steps as places: a check runs once a connection, when hardly any of its code is in the
//! processor's nearest caches.
//!
//! Offsets only ever grow on the way through a hello, so that the one comparison at the end of it says of each length before
//! that it stayed inside.

use crate::bytes::{Bytes, Reader};
use crate::client_hello::{
    CLIENT_HELLO, ClientHello, EARLY_DATA, HELLO_MAX, HOST_NAME, RECORD_HEADER, Span, content,
};
use crate::flow::{Finding, Flow, Stage};
use crate::names::{NameTables, is_whole_granted};
use crate::packet::Segment;
use crate::session::{Step, greeted};
use crate::table::{PolicyWord, Seen};

/// Where the session identifier is, behind the headers of record and message, version and random (RFC 8446 section 4.1.2).
const SESSION_ID: u32 = RECORD_HEADER + 4 + 2 + 32;
/// Extensions that are looked at: Chromium sends 18.
const EXTENSIONS: u32 = 32;
/// Content of a server name extension in front of the name: the list's length, the type, the name's length (RFC 6066
/// section 3).
const NAME_HEAD: u32 = 5;
/// Longest such content that one window takes.
const NAME_MOST: u32 = crate::bytes::WINDOW;

/// The record of a change of cipher, with its one byte.
const CHANGE: u32 = RECORD_HEADER + 1;
/// As much, and the same of the record behind it.
const TWO_HEADS: usize = 2 * CHANGE as usize;

/// Whether the segment that is noted in the flow may be [`greet`]ed.
#[inline(always)]
#[must_use]
pub const fn is_first(flow: &Flow) -> bool {
    matches!(flow.stage(), Stage::Opened)
        && flow.gathered == 0
        && flow.looks == 0
        && flow.next == flow.segment.sequence
        && !flow.segment.is_urgent()
}

/// Reads the hello in the segment that is noted in the flow, if it [`is_first`], and its name into the flow: with `true` it
/// is to be judged. `false` says nothing.
#[inline(always)]
pub fn greet<B: Bytes + ?Sized>(bytes: &B, flow: &mut Flow) -> bool {
    take_hello(bytes, flow) && is_fit::<B>(flow)
}

/// As [`greet`], with a name of which nothing but its length is known.
#[inline(always)]
pub fn take_hello<B: Bytes + ?Sized>(bytes: &B, flow: &mut Flow) -> bool {
    flow.window.close();
    let start = flow.segment.payload;
    let mut reader = Reader::new(bytes, &mut flow.window);
    let Some((position, hello)) = find(&mut reader, start) else {
        return false;
    };
    let length = hello.name.length;
    flow.name.copy(&mut reader, position, length);
    flow.looks = 1;
    flow.named = 0;
    flow.found_early_data = u32::from(hello.early_data);
    // In the numbers of the stream.
    flow.found_end = flow.segment.sequence.wrapping_add(hello.end.wrapping_sub(start));
    flow.finding = Finding::Hello as u8;
    true
}

/// Whether there may be a rule that grants the name of the hello that was taken. If not, it is to be read anew.
#[inline(always)]
pub fn is_fit<B: Bytes + ?Sized>(flow: &mut Flow) -> bool {
    let length = B::forgotten(&mut flow.window, flow.name.length);
    let is_fit = flow.name.fault(length).is_none();
    if !is_fit {
        // As if nobody had looked.
        (flow.looks, flow.found_end, flow.found_early_data) = (0, 0, 0);
    }
    is_fit
}

/// Judges the hello that was taken: what is to be done with the rest of its segment, when its whole name is granted in
/// the policy under which its address was. `None` says nothing.
#[inline(always)]
pub fn admit<T: NameTables>(tables: &T, flow: &mut Flow) -> Option<Step> {
    let (policy, condition) = (flow.policy, flow.grant.condition());
    let generation = policy.generation();
    // Pieces of a connection before this one are to be let go of.
    if generation.0 == 0 || condition == 0 || flow.has_pieces != 0 {
        return None;
    }
    let mut seen = Seen(policy.0);
    if !is_whole_granted(tables, generation.half(), condition, &flow.name, &mut seen)
        || tables.word_as_written(seen.0) != policy
    {
        return None;
    }
    flow.named = generation.0;
    Some(greeted(flow))
}

/// Whether a segment begins with a record behind which no hello can follow, in a session whose name is granted under the
/// policy of `word`: then it passes, and so does all that follows. It need not be noted in the flow. `false` says nothing.
#[inline(always)]
pub fn settles<B: Bytes + ?Sized>(bytes: &B, flow: &mut Flow, segment: &Segment, word: PolicyWord) -> bool {
    let generation = word.generation().0;
    if !matches!(flow.stage(), Stage::Greeted)
        || flow.named != generation
        || generation == 0
        || flow.early_data != 0
        || flow.gathered != 0
        || flow.next != segment.sequence
        || segment.is_urgent()
    {
        return false;
    }
    // TLS 1.3 has a change of cipher for appearance's sake in front of it (RFC 8446, appendix D.4). With the head of the next
    // record at once: to read twice costs twice, and no record of a cipher is shorter than the two together.
    let Some([first, _, _, high, low, _, second, ..]) = bytes.read::<TWO_HEADS>(segment.payload) else {
        return false;
    };
    if first == content::CHANGE_CIPHER_SPEC && high == 0 && low == 1 && second == content::APPLICATION_DATA {
        flow.next = flow.next.wrapping_add(CHANGE);
    } else if first != content::APPLICATION_DATA {
        return false;
    }
    flow.stage = Stage::Settled as u8;
    flow.judged = generation;
    true
}

/// What the hello at `start` says, and the position of its name in the window.
#[inline(always)]
fn find<B: Bytes + ?Sized>(bytes: &mut Reader<'_, B>, start: u32) -> Option<(u32, ClientHello)> {
    bytes.hold(start, SESSION_ID + 1)?;
    let (first, second) = (bytes.eight(0), bytes.eight(8));
    let record = number(first >> 24);
    let length = byte(first >> 48) << 16 | byte(first >> 56) << 8 | byte(second);
    if byte(first) != content::HANDSHAKE.into()
        || byte(first >> 8) != 3
        || byte(first >> 40) != CLIENT_HELLO.into()
        || length + 4 != record
        || record > HELLO_MAX - RECORD_HEADER
    {
        return None;
    }
    let end = start + RECORD_HEADER + record;
    let id = byte(bytes.eight(SESSION_ID));
    let mut at = SESSION_ID + 1 + id;
    let ciphers = number(bytes.eight(at));
    at += 2 + ciphers;
    let compressions = byte(bytes.eight(at));
    at += 1 + compressions;
    let extensions = number(bytes.eight(at));
    at += 2;
    // What was read behind the end of the window was anything, and then this is behind it too.
    if end > bytes.length()
        || at > bytes.held()
        || id > 32
        || ciphers < 2
        || ciphers & 1 != 0
        || compressions == 0
        || start + at + extensions != end
    {
        return None;
    }
    let (name, early_data) = walk(bytes, start + at, end)?;
    if name.length <= NAME_HEAD || name.length > NAME_MOST {
        return None;
    }
    let position = bytes.hold(name.at, name.length)?;
    let position = bytes.forgotten(position);
    let head = bytes.eight(position);
    if number(head) + 2 != name.length
        || byte(head >> 16) != HOST_NAME.into()
        || number(head >> 24) + NAME_HEAD != name.length
    {
        return None;
    }
    let name = Span {
        at: name.at + NAME_HEAD,
        length: name.length - NAME_HEAD,
    };
    Some((
        position + NAME_HEAD,
        ClientHello {
            name,
            end,
            early_data,
        },
    ))
}

/// Walks over the extensions from `at` to `end`: the content of the one that has the server name, and whether early data
/// follows.
#[inline(always)]
fn walk<B: Bytes + ?Sized>(bytes: &mut Reader<'_, B>, at: u32, end: u32) -> Option<(Span, bool)> {
    // Nothing that the verifier could follow apart, as in `client_hello`.
    let mut at = bytes.forgotten(at);
    let end = bytes.forgotten(end);
    let mut name = Span {
        at: bytes.forgotten(0),
        length: bytes.forgotten(0),
    };
    let mut types: u64 = bytes.forgotten(0).into();
    let mut others: u64 = bytes.forgotten(0).into();
    let mut again: u64 = bytes.forgotten(0).into();
    for _ in 0..EXTENSIONS {
        if at == end {
            break;
        }
        let position = bytes.hold(at, 4)?;
        let position = bytes.forgotten(position);
        let head = bytes.eight(position);
        let (kind, length) = (number(head), number(head >> 16));
        at += 4;
        if kind < u64::BITS {
            let mark = 1 << kind;
            again |= types & mark;
            types |= mark;
            if kind == 0 {
                name = Span { at, length };
            }
        } else {
            // Different types may share a mark, and then the hello is read elsewhere.
            let mark = 1 << (kind.wrapping_mul(0x9e37_79b9) >> 26);
            again |= others & mark;
            others |= mark;
        }
        at += length;
    }
    if at != end || again != 0 || types & 1 == 0 {
        return None;
    }
    Some((name, types >> EARLY_DATA & 1 != 0))
}

/// The first 16 bits of a word, as they are in network order.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits are meant")]
fn number(word: u64) -> u32 {
    u32::from((word as u16).swap_bytes())
}

/// The first byte of a word.
#[inline(always)]
const fn byte(word: u64) -> u32 {
    (word & 0xff) as u32
}
