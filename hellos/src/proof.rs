//! What must hold for any bytes: no reader finds another name than the parser, and the parser never changes its mind
//! when more bytes come.

use std::fmt::Write as _;
use std::net::IpAddr;

use enforcer_common::bytes::{Bytes as _, Reader, Window};
use enforcer_common::client_hello::{Parsed, Types, parse};
use enforcer_common::flow::Flow;
use enforcer_common::greeting::{greet, is_first};
use enforcer_common::packet::{Address, Segment};
use enforcer_common::session::{self, Step};
use enforcer_common::table::PolicyWord;

use crate::oracles::{ORACLES, Reading};

/// What the parser makes of `bytes`.
#[must_use]
pub fn read(bytes: &[u8]) -> Parsed {
    read_at(bytes, 0)
}

/// What the parser makes of the record that starts at `start`.
#[must_use]
pub fn read_at(bytes: &[u8], start: u32) -> Parsed {
    parse(
        &mut Reader::new(bytes, &mut Window::default()),
        start,
        &mut Types::default(),
    )
}

/// The name that was read, whether the hello is whole or not.
///
/// # Panics
/// When it lies outside the bytes, which is a fault of the parser.
#[must_use]
pub fn name_in<'a>(bytes: &'a [u8], parsed: &Parsed) -> Option<&'a [u8]> {
    let span = match parsed {
        Parsed::Whole(hello) => hello.name,
        Parsed::Part { name } => (*name)?,
        Parsed::Wrong(_) => return None,
    };
    Some(&bytes[span.at as usize..(span.at + span.length) as usize])
}

/// Checks everything that must hold for `bytes`.
///
/// # Errors
/// With what does not hold, and the bytes.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    against_oracles(bytes)
        .and_then(|()| never_changes_its_mind(bytes))
        .and_then(|()| is_the_same_anywhere(bytes))
        .and_then(|()| is_the_same_greeted(bytes))
        .map_err(|fault| format!("{fault}\n{}", hex(bytes)))
}

/// Whatever a reader takes for the server name, the parser reads the same or denies.
fn against_oracles(bytes: &[u8]) -> Result<(), String> {
    let parsed = read(bytes);
    for (oracle, reads) in ORACLES {
        let Reading::Names(names) = reads(bytes) else {
            continue;
        };
        let agrees = match parsed {
            Parsed::Wrong(_) => true,
            // It would be let through as the beginning of a hello, and the server takes it for whole.
            Parsed::Part { .. } => false,
            Parsed::Whole(_) => {
                let name = name_in(bytes, &parsed)
                    .ok_or("the name lies outside the bytes")?
                    .to_ascii_lowercase();
                names == [name.as_slice()] || (names.is_empty() && is_address(&name))
            }
        };
        if !agrees {
            let names: Vec<_> = names.iter().map(|name| name.escape_ascii().to_string()).collect();
            return Err(format!("the parser reads {parsed:?}, {oracle} {names:?}"));
        }
    }
    Ok(())
}

/// Which rustls takes for no name, and the check of names denies.
fn is_address(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.parse::<IpAddr>().is_ok())
}

/// However the bytes are cut: what was wrong stays wrong, a name stays the same, and what is whole stays whole.
fn never_changes_its_mind(bytes: &[u8]) -> Result<(), String> {
    let mut before = read(&[]);
    for cut in cuts(bytes.len()) {
        let now = read(&bytes[..cut]);
        let holds = match (before, now) {
            (Parsed::Wrong(_), Parsed::Wrong(_)) | (Parsed::Part { name: None }, _) => true,
            (Parsed::Part { .. }, Parsed::Wrong(_)) => true,
            (Parsed::Part { name }, Parsed::Part { name: now }) => name == now,
            (Parsed::Part { name }, Parsed::Whole(hello)) => name == Some(hello.name),
            (Parsed::Whole(hello), Parsed::Whole(now)) => hello == now,
            _ => false,
        };
        if !holds {
            return Err(format!("{before:?} became {now:?} with {cut} bytes"));
        }
        // Inside, or it panics.
        let _ = name_in(&bytes[..cut], &now);
        if let Parsed::Whole(hello) = now
            && hello.end as usize > cut
        {
            return Err(format!("{now:?} with only {cut} bytes"));
        }
        before = now;
    }
    Ok(())
}

/// Lengths up to `length`: every one within the headers, then some of all sizes, others for each length.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    const NEAR: usize = 12;
    const FAR: usize = 50;
    let step = (length / FAR).max(1);
    let first = NEAR + length % step;
    (1..length.min(NEAR))
        .chain((first..length).step_by(step))
        .chain([length])
}

/// Behind other bytes, the same is read.
fn is_the_same_anywhere(bytes: &[u8]) -> Result<(), String> {
    const BEFORE: u32 = 54;
    let mut moved = vec![22; BEFORE as usize];
    moved.extend_from_slice(bytes);
    let (here, mut there) = (read(bytes), read_at(&moved, BEFORE));
    match &mut there {
        Parsed::Whole(hello) => {
            hello.end -= BEFORE;
            hello.name.at -= BEFORE;
        }
        Parsed::Part { name: Some(name) } => name.at -= BEFORE,
        _ => {}
    }
    if here == there {
        Ok(())
    } else {
        Err(format!("{here:?} at 0 is {there:?} at {BEFORE}"))
    }
}

/// The flow of a connection whose first segment these bytes are.
fn first(bytes: &[u8]) -> Flow {
    const SEQUENCE: u32 = u32::MAX - 3;
    let mut flow = Flow::default();
    flow.open(&Segment {
        sequence: SEQUENCE,
        ..Segment::default()
    });
    let segment = Segment {
        sequence: SEQUENCE + 1,
        length: bytes.length(),
        ..Segment::default()
    };
    flow.note(&segment, 0, Address::default());
    flow
}

/// Whether these bytes, as the first of a connection, are read in the fewest steps.
#[must_use]
pub fn is_greeted(bytes: &[u8]) -> bool {
    let mut flow = first(bytes);
    is_first(&flow) && greet(bytes, &mut flow)
}

/// What is read in the fewest steps is read as by all others; and what is not leaves nothing behind that matters.
fn is_the_same_greeted(bytes: &[u8]) -> Result<(), String> {
    let (mut greeted, mut read) = (first(bytes), first(bytes));
    let is_greeted = greet(bytes, &mut greeted);
    let step = session::read(bytes, &mut read, PolicyWord::default());
    if !is_greeted && session::read(bytes, &mut greeted, PolicyWord::default()) != step {
        return Err("what was not greeted is not read as before".to_owned());
    }
    // What is put aside on the way is nobody's.
    let kept = |flow: &Flow| {
        let name = flow.name.to_array()[..flow.name.length as usize].to_vec();
        let mut kept = *flow;
        (kept.name, kept.window) = Default::default();
        (kept, name)
    };
    let (greeted, read) = (kept(&greeted), kept(&read));
    if greeted != read || (is_greeted && step != Step::Judge) {
        return Err(format!("greeted it is {greeted:?}, and read {step:?} {read:?}"));
    }
    Ok(())
}

/// Bytes as a person can paste them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("hex: "), |mut text, byte| {
        // Writing to a string can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
