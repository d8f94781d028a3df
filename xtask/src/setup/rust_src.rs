//! The source of `core`, which is compiled for the kernel's virtual machine: rustup's component or its Debian twin.
//!
//! Debian's package is the same release, unpacked into `target/tools` and linked into the sysroot. It is not
//! installed, since it would bring a second compiler along.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::machine::{Machine, find_program};
use crate::shell;

/// The suites that may carry the source of a compiler newer than the stable one's, smallest first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The `rust-src` component.
pub(super) struct RustSource;

impl Step for RustSource {
    fn name(&self) -> &str {
        "rust-src"
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let place = sysroot_source(machine)?;
        if is_source(&place) {
            return Ok(State::There(format!(
                "source of the standard library {}",
                machine.rust_release
            )));
        }
        let dangling = if place.is_symlink() {
            " (a link there leads nowhere)"
        } else {
            ""
        };
        Ok(State::Missing(format!(
            "rustup component add rust-src, or else its Debian twin, unpacked into target/tools and linked into the \
             sysroot{dangling}"
        )))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let place = sysroot_source(machine)?;
        if place.is_symlink() {
            // It leads nowhere, else nothing would be missing; rustup would not install over it.
            fs::remove_file(&place).with_context(|| format!("{} cannot be removed", place.display()))?;
        }
        match from_rustup(machine) {
            Ok(()) if is_source(&place) => return Ok(()),
            // It goes by its own list, also when the files were removed.
            Ok(()) => eprintln!(
                "    not by rustup: it takes the component for installed, and its files are not there"
            ),
            Err(no_component) => eprintln!("    not by rustup: {no_component}"),
        }
        from_debian(machine, &place).with_context(|| {
            Failure::new(
                format!("the source of Rust {} cannot be had, neither from rustup nor from Debian", machine.rust_release),
                format!(
                    "by hand: rustup component add rust-src, or unpack a `rust-src` package of that version and link \
                     its usr/src/rustc-{} to {}",
                    machine.rust_release,
                    place.display()
                ),
            )
        })
    }
}

/// Where cargo looks for the source (`-Z build-std`).
fn sysroot_source(machine: &Machine) -> Result<PathBuf> {
    let sysroot = shell::capture(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(&machine.root),
    )?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust"))
}

/// Whether `folder` holds what `-Z build-std=core` reads.
fn is_source(folder: &Path) -> bool {
    [
        "library/core/src/lib.rs",
        "library/compiler-builtins",
        "library/Cargo.lock",
    ]
    .iter()
    .all(|file| folder.join(file).exists())
}

fn from_rustup(machine: &Machine) -> Result<()> {
    let rustup = find_program("rustup").ok_or_else(|| anyhow!("there is no rustup"))?;
    shell::capture(
        Command::new(rustup)
            .args(["component", "add", "rust-src"])
            .env("RUST_BACKTRACE", "0")
            .current_dir(&machine.root),
    )
    .map(drop)
}

fn from_debian(machine: &Machine, place: &Path) -> Result<()> {
    // Named after the release, so that another compiler never meets the source of this one.
    let unpacked = machine.tools.join(format!("rust-src-{}", machine.rust_release));
    let source = unpacked.join(format!("usr/src/rustc-{}", machine.rust_release));
    if !is_source(&source) {
        fetch(machine, &unpacked)?;
    }
    if !is_source(&source) {
        return Err(anyhow!("the package does not hold {}", source.display()));
    }
    fs::create_dir_all(place.parent().context("the sysroot has no folder for sources")?)?;
    apt::replace_link(place, &source)
}

/// Fetches the package of the compiler's release out of the first suite that has it.
fn fetch(machine: &Machine, unpacked: &Path) -> Result<()> {
    let mirror = apt::mirror(machine)?;
    let mut reasons = Vec::new();
    for suite in SUITES {
        let state = match apt::PrivateState::new(machine, &mirror, suite) {
            Ok(state) => state,
            Err(error) => {
                reasons.push(format!("{suite}: {error:#}"));
                continue;
            }
        };
        let versions = state.versions("rust-src")?;
        let Some(version) = versions
            .iter()
            .find(|version| is_release(version, &machine.rust_release))
        else {
            reasons.push(format!(
                "{suite} has {}",
                if versions.is_empty() {
                    "none".into()
                } else {
                    versions.join(", ")
                }
            ));
            continue;
        };
        eprintln!("    rust-src={version} from {suite}");
        return apt::fetch_and_unpack(
            machine,
            &state.options(),
            &[&format!("rust-src={version}")],
            unpacked,
        );
    }
    Err(anyhow!(
        "no suite carries rust-src {} ({})",
        machine.rust_release,
        reasons.join("; ")
    ))
}

/// Whether a Debian version such as `1.95.0+dfsg1-2~bpo13+1` packages the upstream `release`.
fn is_release(version: &str, release: &str) -> bool {
    version
        .strip_prefix(release)
        .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
}

#[cfg(test)]
mod tests {
    use super::is_release;

    #[test]
    fn a_debian_version_is_of_a_release() {
        assert!(is_release("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_release("1.95.0-1", "1.95.0"));
        assert!(!is_release("1.95.01-1", "1.95.0"));
        assert!(!is_release("1.9.0-1", "1.95.0"));
    }
}
