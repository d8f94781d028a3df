//! What runs inside the machine of `cargo xtask vm --boot`: a Debian with systemd, on which the enforcer's package is
//! installed, killed, upgraded, rebooted and purged.
//!
//! Three units of the test start it: `early` before the network is there, `serve` as the network itself and all that is
//! behind it, and `drive`, which plays the scenario. The machine's only real interface is its loopback: the network is a
//! cable into a namespace, and so nothing can leave.

mod boots;
mod client;
mod control;
mod early;
mod load;
mod play;
mod serve;
mod system;

use anyhow::{Result, bail, ensure};

/// Where the parts leave what the others read. In memory, so that it is gone after a reboot.
const FOLDER: &str = "/run/lab";

/// Runs one of the parts.
///
/// # Errors
/// When it can not do its work; what the scenario finds is told, not returned.
pub(super) fn run(words: &[&str]) -> Result<()> {
    ensure!(
        system::kernel_word(boots::BOOT).is_some(),
        "this is no machine of `cargo xtask vm --boot`, and its network is not for tests"
    );
    match words {
        ["early"] => early::run(),
        ["serve"] => serve::run(),
        ["drive"] => boots::run(),
        _ => bail!("usage: guest machine early|serve|drive"),
    }
}
