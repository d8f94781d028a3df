//! The machine's disks: a copy of Debian's, and one with what the test brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::failure::Failure;
use crate::machine::{Machine, find_program, is_program};
use crate::shell;

/// Room for the programs and packages; what is not used takes none.
const LAB_SIZE: &str = "512M";
/// Added to the package's version for the one that it is upgraded to.
const HIGHER: &str = "+upgrade";

/// The disks of one run. They go away with the value.
pub(super) struct Disks([PathBuf; 2]);

impl Disks {
    /// Makes them in `folder`.
    pub(super) fn make(machine: &Machine, folder: &Path, debian: &Path, deb: &Path) -> Result<Self> {
        let file = |name: &str| folder.join(format!("{name}.{}.ext4", std::process::id()));
        let disks = Self([file("root"), file("lab")]);
        let [root, lab] = &disks.0;
        // As `fs::copy`, without writing what is empty.
        shell::capture(Command::new("cp").arg("--sparse=always").args([debian, root]))?;
        let content = folder.join(format!("lab.{}", std::process::id()));
        let made = fill(machine, &content, deb).and_then(|()| make_lab(&content, lab));
        let _gone = fs::remove_dir_all(&content);
        made.map(|()| disks)
    }

    /// In the order in which the machine sees them.
    pub(super) fn all(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for disk in &self.0 {
            let _gone = fs::remove_file(disk);
        }
    }
}

/// Puts together what the test brings: its program, the registry, and the package in two versions.
fn fill(machine: &Machine, content: &Path, deb: &Path) -> Result<()> {
    let _leftover = fs::remove_dir_all(content);
    fs::create_dir_all(content).with_context(|| format!("{} cannot be made", content.display()))?;
    let copy = |from: &Path, name: &str| {
        fs::copy(from, content.join(name))
            .map(drop)
            .with_context(|| format!("{} cannot be copied", from.display()))
    };
    copy(&machine.root.join("target/debug/guest"), "guest")?;
    copy(&registry(machine)?, "docker-registry")?;
    copy(deb, "enforcer.deb")?;
    upgrade(content, deb)
}

fn registry(machine: &Machine) -> Result<PathBuf> {
    let own = machine.tools.join("bin/docker-registry");
    is_program(&own)
        .then_some(own)
        .or_else(|| find_program("docker-registry"))
        .context(Failure::new(
            "`docker-registry` is missing",
            "`cargo xtask setup` fetches it",
        ))
}

/// Makes the same package again, with a higher version.
fn upgrade(content: &Path, deb: &Path) -> Result<()> {
    let tree = content.join("tree");
    shell::capture(Command::new("dpkg-deb").arg("-R").args([deb, &tree]))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let higher: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("Version: ") {
            Some(version) => format!("Version: {version}{HIGHER}"),
            None => line.to_owned(),
        })
        .collect();
    ensure!(
        higher.join("\n") != text.trim_end(),
        "{} tells no version",
        deb.display()
    );
    fs::write(&control, higher.join("\n") + "\n")?;
    shell::capture(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "-b"])
            .args([&tree, &content.join("upgrade.deb")]),
    )?;
    fs::remove_dir_all(&tree).context("the unpacked package can not be removed")
}

fn make_lab(content: &Path, disk: &Path) -> Result<()> {
    shell::capture(
        Command::new(find_program("mkfs.ext4").context("`cargo xtask setup` installs e2fsprogs")?)
            .args([
                "-q",
                "-L",
                "lab",
                "-E",
                "root_owner=0:0",
                "-O",
                "^has_journal",
                "-d",
            ])
            .args([content, disk])
            .arg(LAB_SIZE),
    )
    .map(drop)
}
