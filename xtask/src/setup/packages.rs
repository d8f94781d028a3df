//! The Debian packages of the lab.

use anyhow::{Context, Result};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::machine::{Machine, find_program};

/// A program, the package it comes in, and what the lab does with it.
const PROGRAMS: [(&str, &str); 22] = [
    ("ip", "iproute2"),                        // makes the namespaces
    ("nft", "nftables"),                       // counts and drops packets inside them
    ("ipset", "ipset"),                        // is what the benchmark compares with
    ("iptables-nft", "iptables"),              // has the rules that look into its sets
    ("skopeo", "skopeo"),                      // the registry client
    ("curl", "curl"),                          // every other client, and a client with OpenSSL
    ("wget", "wget"),                          // a client with GnuTLS
    ("python3", "python3"),                    // a client
    ("node", "nodejs"),                        // a client
    ("faketime", "faketime"),                  // gives a daemon another time
    ("certutil", "libnss3-tools"),             // tells the browser whom to trust
    ("c++", "g++"),                            // compiles the fuzzer
    ("qemu-system-x86_64", "qemu-system-x86"), // boots other kernels
    ("systemd-analyze", "systemd"),            // judges the unit
    ("bpftool", "bpftool"),                    // takes links away
    ("shellcheck", "shellcheck"),              // reads the package's scripts
    ("groff", "groff-base"),                   // reads the manual pages
    ("tmux", "tmux"),                          // is the terminal of the live view
    ("busybox", "busybox-static"),             // is all that these have around the enforcer
    ("mmdebstrap", "mmdebstrap"),              // unpacks a Debian for the boot test
    ("mkfs.ext4", "e2fsprogs"),                // makes its disks
    // A browser; without its windows, and so without the libraries that draw them.
    ("chromium-headless-shell", "chromium-headless-shell"),
];

/// What the system's package manager installs. None of these starts a service.
pub(super) struct Packages;

impl Packages {
    fn missing() -> Vec<&'static str> {
        PROGRAMS
            .iter()
            .filter(|(program, _)| find_program(program).is_none())
            .map(|&(_, package)| package)
            .collect()
    }
}

impl Step for Packages {
    fn name(&self) -> &str {
        "lab packages"
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let missing = Self::missing();
        if missing.is_empty() {
            return Ok(State::There(PROGRAMS.map(|(_, package)| package).join(", ")));
        }
        let how = if machine.is_root {
            "apt-get install"
        } else {
            "sudo apt-get install"
        };
        Ok(State::Missing(format!("{how} {}", missing.join(" "))))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let missing = Self::missing();
        if find_program("apt-get").is_none() {
            return Err(Failure::new(
                format!(
                    "this machine has no apt-get, and the lab needs {}",
                    missing.join(", ")
                ),
                "install them with the machine's own package manager, under these or similar names",
            )
            .into());
        }
        apt::install(machine, &missing).with_context(|| {
            Failure::new(
                format!("{} cannot be installed", missing.join(", ")),
                format!(
                    "as root, run: apt-get update && apt-get install {}",
                    missing.join(" ")
                ),
            )
        })
    }
}
