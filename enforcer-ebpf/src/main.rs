//! The kernel programs: one thin function a hook. What they decide is in `enforcer-common`.
//!
//! - [`egress`]: every packet that a socket below the cgroup sends; the authority
//! - [`session`]: what egress goes on with where an address asks for a granted server name
//! - [`hello`]: the same by hand, for tests
//! - [`connect`]: `connect` and `sendmsg`, so that a denied call fails at once instead of hanging
//! - [`maps`], [`tables`], [`skb`], [`socket`], [`pieces`]: what the verdict is reached with
//! - [`report`]: counters and events

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod connect;
mod egress;
mod hello;
mod maps;
mod pieces;
mod report;
mod session;
mod skb;
mod socket;
mod tables;

/// What the kernel asks for before it lends its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The verifier rejects a program in which this could be reached.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
