//! `cargo xtask package`: the Debian package, from the sources to `target/package/enforcer_<version>_<arch>.deb`.
//!
//! The archive is made by dpkg-deb from a staged folder: what is in it is the list in [`stage`], in one place. The same
//! sources give the same bytes: no time, no order of a folder, no path of the machine gets in.

mod build;
mod control;
mod inspect;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::failure::Failure;
use crate::machine::Machine;
use crate::{setup, shell};

/// The version of the package; that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it is built for, in Debian's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// x86-64
    Amd64,
    /// 64-bit ARM; on another machine it is cross-compiled
    Arm64,
}

impl Arch {
    /// As Debian writes it.
    fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the compiler calls it.
    fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// That of the machine.
    fn of(machine: &Machine) -> Result<Self> {
        [Self::Amd64, Self::Arm64]
            .into_iter()
            .find(|arch| arch.target() == machine.rust_host)
            .with_context(|| {
                Failure::new(
                    format!("there is no package for {}", machine.rust_host),
                    "name what to build for: --arch amd64 or --arch arm64",
                )
            })
    }

    fn is_foreign(self, machine: &Machine) -> bool {
        self.target() != machine.rust_host
    }
}

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whoever installs it.
    Release,
    /// The tests.
    Test,
}

/// Sets up, and makes the package for `arch`, or for the machine itself.
///
/// # Errors
/// When a part of it can not be built, or the package is not what it should be.
pub(crate) fn run(machine: &Machine, arch: Option<Arch>) -> Result<()> {
    let arch = match arch {
        Some(arch) => arch,
        None => Arch::of(machine)?,
    };
    if arch.is_foreign(machine) && arch != Arch::Arm64 {
        return Err(Failure::new(
            format!("a package for {} can not be cross-compiled", arch.debian()),
            "build it on a machine of that kind",
        )
        .into());
    }
    setup::run(machine, false)?;
    if arch.is_foreign(machine) {
        setup::cross(machine, arch.target())?;
    }
    let package = make(machine, arch, Kind::Release)?;
    let size = fs::metadata(&package)?.len().div_ceil(1024);
    println!("{} ({size} KiB)", package.display());
    Ok(())
}

/// Makes the package of the tests: that of this machine, around the program that the tests are run with. It takes
/// seconds where a release takes minutes, and differs in nothing else; the set-up has been done.
///
/// # Errors
/// As [`run`].
pub(crate) fn for_tests(machine: &Machine) -> Result<PathBuf> {
    make(machine, Arch::of(machine)?, Kind::Test)
}

/// Packs that twice, and both must be the same.
///
/// # Errors
/// As [`run`], and when they differ.
pub(crate) fn check(machine: &Machine) -> Result<()> {
    let first = for_tests(machine)?;
    let kept = first.with_extension("first");
    fs::rename(&first, &kept)?;
    let second = for_tests(machine)?;
    let is_same = fs::read(&kept)? == fs::read(&second)?;
    fs::remove_file(&kept)?;
    if is_same {
        Ok(())
    } else {
        Err(Failure::new(
            "the same program was packed into two different packages",
            format!(
                "what differs in {} depends on something else than the sources: see `stage`",
                second.display()
            ),
        )
        .into())
    }
}

/// Builds, packs and inspects; the path of the package.
fn make(machine: &Machine, arch: Arch, kind: Kind) -> Result<PathBuf> {
    let built = build::run(machine, arch, kind)?;
    let folder = machine.root.join(match kind {
        Kind::Release => "target/package",
        Kind::Test => "target/package/test",
    });
    let tree = folder.join(format!("stage-{}", arch.debian()));
    let staged = stage::run(machine, arch, &built, &tree)?;
    let package = folder.join(format!("enforcer_{VERSION}_{}.deb", arch.debian()));
    let fresh = package.with_extension("fresh");
    pack(machine, &tree, &fresh, kind)?;
    inspect::run(machine, arch, kind, &built, &fresh, &staged)?;
    fs::rename(&fresh, &package).with_context(|| format!("{} cannot be put in place", package.display()))?;
    fs::remove_dir_all(&tree)?;
    Ok(package)
}

/// dpkg-deb sorts by name, writes root as the owner, and no later time than the given one.
fn pack(machine: &Machine, tree: &Path, package: &Path, kind: Kind) -> Result<()> {
    let compression = match kind {
        Kind::Release => ["-Zxz", "-z9"],
        Kind::Test => ["-Zgzip", "-z1"],
    };
    shell::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--threads-max=1"])
            .args(compression)
            .arg("--build")
            .args([tree, package])
            .env("SOURCE_DATE_EPOCH", source_date(machine)?),
    )
    .context(Failure::new(
        "the package cannot be packed",
        "dpkg-deb is in the package dpkg, on Debian and its kin",
    ))
}

/// The time that files of the package carry: `SOURCE_DATE_EPOCH`, or that of the commit.
fn source_date(machine: &Machine) -> Result<String> {
    if let Ok(date) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(date);
    }
    shell::capture(
        Command::new("git")
            .args(["log", "-1", "--format=%ct"])
            .current_dir(&machine.root),
    )
    .map(|date| date.trim().to_owned())
    .context(Failure::new(
        "the sources do not tell their time",
        "outside of a git checkout, set SOURCE_DATE_EPOCH to the seconds since 1970 that the files are to carry",
    ))
}
