//! The object that is loaded: the programs of the library, all of them.

#![no_std]
#![no_main]

// Nothing here calls them: they are what the object exports.
use enforcer_ebpf as _;

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
