//! A disk with Debian for the boot test, made of packages of the machine's own mirror: nothing is installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{State, Step, apt};
use crate::debian::{self, LEFT_OUT, PACKAGES, SUITE};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::shell;

/// Room for the packages, and for what the test writes.
const SIZE_MB: &str = "1024";

/// The disk of `cargo xtask vm --boot`. It stays as it is until its recipe or the kernel changes; removing it has it made
/// again.
pub(super) struct Debian;

impl Step for Debian {
    fn name(&self) -> &str {
        "Debian disk"
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        match debian::made(machine) {
            Ok((disk, _)) => Ok(State::There(
                disk.file_name().unwrap_or_default().display().to_string(),
            )),
            Err(_) => Ok(State::Missing(format!(
                "fetch the packages of a small Debian {SUITE} (about 80 MB) and make a disk of them in target/tools/debian"
            ))),
        }
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        make(machine).with_context(|| {
            Failure::new(
                format!("no disk with Debian {SUITE} can be made"),
                "by hand: xtask/src/setup/debian.sh tells how mmdebstrap's folder becomes the disk",
            )
        })
    }
}

fn make(machine: &Machine) -> Result<()> {
    let kernel = debian::kernel()?.unpacked(machine)?;
    let (folder, disk) = (debian::folder(machine), debian::disk(machine, &kernel));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} is in the way", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} can not be made", folder.display()))?;
    let fresh = disk.with_extension("fresh");
    let finish = folder.join("finish.sh");
    fs::write(&finish, debian::FINISH)?;
    let mut command = machine.as_root("env", "cargo xtask setup")?;
    let variable = |name: &str, path: &Path| format!("{name}={}", path.display());
    command
        .arg(variable("MODULES", &kernel.modules))
        .arg(variable("DISK", &fresh))
        .arg(variable("SIZE_MB", Path::new(SIZE_MB)))
        .args(["mmdebstrap", "--quiet", "--variant=minbase", "--format=null"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args(LEFT_OUT.map(|files| format!("--dpkgopt=path-exclude={files}")))
        .arg(format!("--customize-hook=sh '{}' \"$1\"", finish.display()))
        .args([SUITE, "/dev/null"])
        .arg(apt::source(&apt::mirror(machine)?, SUITE));
    shell::run(&mut command)?;
    fs::rename(&fresh, &disk).with_context(|| format!("{} can not be put in place", disk.display()))
}
