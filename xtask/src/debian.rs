//! The disk with Debian for the boot test: what is in it, and where in `target/tools` it lies.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::kernels::{KERNELS, Kernel, Unpacked};
use crate::machine::Machine;

/// The release that the package is tried on.
pub(crate) const SUITE: &str = "bookworm";
/// The kernel of the next release, as Debian backports it: its verifier is done in a fifth of the time of the release's own,
/// which counts where a processor is emulated. That one is among those of `cargo xtask vm`.
const KERNEL: &str = "6.12";
/// What a small server has, and what the test does there.
pub(crate) const PACKAGES: [&str; 8] = [
    "systemd",
    "systemd-sysv",
    // The folders are merged already, and no program is needed to do it.
    "usr-is-merged",
    "kmod",            // loads modules that somebody asks for
    "iproute2",        // makes the network
    "nftables",        // counts what arrives
    "ca-certificates", // as every client has them
    "skopeo",          // pulls
];
/// Files that nobody reads there.
pub(crate) const LEFT_OUT: [&str; 4] = [
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/lib/cni/*",
];
/// What is done with the files of the packages, the last step of which makes the disk.
pub(crate) const FINISH: &str = include_str!("setup/debian.sh");

/// The kernel that the disk has the modules of.
pub(crate) fn kernel() -> Result<&'static Kernel> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == KERNEL);
    kernel.with_context(|| format!("{KERNEL} is not among the kernels"))
}

/// The folder of the disk.
pub(crate) fn folder(machine: &Machine) -> PathBuf {
    machine.tools.join("debian")
}

/// The disk, whether it is there or not. Its name tells what it was made of: another recipe has another.
pub(crate) fn disk(machine: &Machine, kernel: &Unpacked) -> PathBuf {
    let mut recipe = DefaultHasher::new();
    (PACKAGES, LEFT_OUT, FINISH, &kernel.release).hash(&mut recipe);
    folder(machine).join(format!("{SUITE}-{:016x}.ext4", recipe.finish()))
}

/// The disk and its kernel.
///
/// # Errors
/// When one of them has not been made.
pub(crate) fn made(machine: &Machine) -> Result<(PathBuf, Unpacked)> {
    let kernel = kernel()?.unpacked(machine)?;
    let disk = disk(machine, &kernel);
    ensure!(disk.exists(), "{} is not there", disk.display());
    Ok((disk, kernel))
}
