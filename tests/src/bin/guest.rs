//! What `cargo xtask vm` runs inside a virtual machine with another kernel: `guest run`. See `enforcer_lab::guest`.

use std::process::ExitCode;

fn main() -> ExitCode {
    enforcer_lab::guest::main()
}
