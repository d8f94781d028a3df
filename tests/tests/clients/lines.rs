//! The same clients by lines on which a ClientHello comes in pieces, late, or twice.

use std::time::Duration;

use enforcer_lab::{Line, Quality, world};

use crate::host::Host;
use crate::names::{all_at_once, complain, foreign, granted};

/// Segments with room for 76 bytes beside the time stamps: the smallest hello here takes 4, the largest 24.
const SMALL_SEGMENT_BYTES: u16 = 88;

fn with_small_segments() -> Host {
    let host = Host::new();
    host.lab.limit_segments(SMALL_SEGMENT_BYTES).unwrap();
    host
}

fn far_away() -> (Host, Line) {
    let host = Host::new();
    let quality = Quality {
        delay: Duration::from_millis(150),
        lost_percent: 5,
    };
    let line = host.lab.far_away(quality).unwrap();
    (host, line)
}

#[test]
fn a_granted_name_in_small_segments_passes() {
    let host = with_small_segments();
    all_at_once(|client| Vec::from_iter(granted(&host, client).1));
}

#[test]
fn a_foreign_name_in_small_segments_does_not_pass() {
    let host = with_small_segments();
    all_at_once(|client| Vec::from_iter(foreign(&host, client).1));
}

#[test]
fn a_granted_name_by_a_slow_and_lossy_line_passes() {
    let (host, _line) = far_away();
    let ends = world::LINE_ADDRESSES.map(world::address);
    all_at_once(|client| {
        let (asked, complaint) = granted(&host, client);
        let by_line = asked.visits.iter().all(|visit| ends.contains(&visit.peer.ip()));
        let around = complain(client, &asked, &[(by_line, "it does not take the line")]);
        complaint.into_iter().chain(around).collect()
    });
}

#[test]
fn a_foreign_name_by_a_slow_and_lossy_line_does_not_pass() {
    let (host, _line) = far_away();
    all_at_once(|client| Vec::from_iter(foreign(&host, client).1));
}
