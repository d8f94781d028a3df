//! Kernels of several ages, unpacked into `target/tools/kernels`, not installed.

use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::kernels::{KERNELS, Kernel};
use crate::machine::Machine;

/// The package that depends on the newest kernel of a suite that is built for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";

/// The kernels of `cargo xtask vm`. What is there stays, also when there is something newer: removing its folder has it
/// fetched again.
pub(super) struct Kernels;

impl Step for Kernels {
    fn name(&self) -> &str {
        "other kernels"
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let missing = missing(machine);
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|kernel| kernel.name).collect();
            return Ok(State::Missing(format!(
                "fetch Debian's kernels {} (about 100 MB each) and unpack them into target/tools/kernels",
                names.join(", ")
            )));
        }
        let releases = KERNELS
            .iter()
            .map(|kernel| Ok(kernel.unpacked(machine)?.release))
            .collect::<Result<Vec<_>>>()?;
        Ok(State::There(releases.join(", ")))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let mirror = apt::mirror(machine)?;
        for kernel in missing(machine) {
            fetch(machine, &mirror, kernel).with_context(|| {
                Failure::new(
                    format!("the kernel {} cannot be fetched", kernel.name),
                    format!(
                        "by hand: unpack a Debian kernel for virtual machines (`dpkg-deb -x linux-image-*-cloud-amd64*.deb`, \
                         since 6.19 with its linux-binary and linux-modules) into {}",
                        kernel.folder(machine).display()
                    ),
                )
            })?;
        }
        Ok(())
    }
}

fn missing(machine: &Machine) -> Vec<&'static Kernel> {
    KERNELS
        .iter()
        .filter(|kernel| kernel.unpacked(machine).is_err())
        .collect()
}

/// Fetches the newest that the kernel's suites carry.
fn fetch(machine: &Machine, mirror: &str, kernel: &Kernel) -> Result<()> {
    let mut reasons = Vec::new();
    let mut best: Option<(String, apt::PrivateState)> = None;
    for suite in kernel.suites {
        let state = match apt::PrivateState::new(machine, mirror, suite) {
            Ok(state) => state,
            Err(error) => {
                reasons.push(format!("{suite}: {error:#}"));
                continue;
            }
        };
        let Some(version) = state.versions(NEWEST)?.into_iter().next() else {
            reasons.push(format!("{suite} has none"));
            continue;
        };
        eprintln!("    {suite} has {version}");
        if best.as_ref().is_none_or(|(other, _)| is_newer(&version, other)) {
            best = Some((version, state));
        }
    }
    let Some((version, state)) = best else {
        return Err(anyhow!("no suite carries {NEWEST} ({})", reasons.join("; ")));
    };
    let image = state
        .dependencies(NEWEST)?
        .into_iter()
        .find(|package| package.starts_with("linux-image-"))
        .with_context(|| format!("{NEWEST} {version} depends on no kernel"))?;
    // The image and the modules have had packages of their own since 6.19.
    let parts = state.dependencies(&image)?;
    let parts = parts
        .iter()
        .filter(|package| package.starts_with("linux-binary-") || package.starts_with("linux-modules-"));
    let packages: Vec<&str> = std::iter::once(&image).chain(parts).map(String::as_str).collect();
    apt::fetch_and_unpack(machine, &state.options(), &packages, &kernel.folder(machine))
}

/// Whether a Debian version is newer than another.
fn is_newer(version: &str, other: &str) -> bool {
    Command::new("dpkg")
        .args(["--compare-versions", version, "gt", other])
        .status()
        .is_ok_and(|status| status.success())
}
