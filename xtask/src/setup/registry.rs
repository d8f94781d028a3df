//! `docker-registry`, the registry of the lab: unpacked into `target/tools`, not installed.
//!
//! Installing its package would add a user and start a registry at every boot; the lab needs only the program.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::machine::{Machine, find_program, is_program};
use crate::shell;

/// The program and the package of that name.
const NAME: &str = "docker-registry";

/// The registry of the lab.
pub(super) struct DockerRegistry;

impl Step for DockerRegistry {
    fn name(&self) -> &str {
        NAME
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let own = machine.tools.join("bin").join(NAME);
        if let Some(program) = is_program(&own).then_some(own).or_else(|| find_program(NAME)) {
            let version = shell::capture(Command::new(&program).arg("--version"))
                .with_context(|| Failure::new(format!("{} does not run", program.display()), "remove it"))?;
            let version = version
                .split_whitespace()
                .last()
                .unwrap_or("of unknown version")
                .to_owned();
            return Ok(State::There(format!("{NAME} {version}")));
        }
        Ok(State::Missing(format!(
            "fetch the Debian package {NAME} and unpack it into target/tools"
        )))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let by_hand = format!(
            "by hand: apt-get download {NAME} && dpkg-deb -x {NAME}_*.deb target/tools/{NAME}; elsewhere than on Debian, \
             put a `{NAME}` (the registry of the Distribution project) into PATH"
        );
        let unpacked = machine.tools.join(NAME);
        apt::fetch_and_unpack(machine, &[], &[NAME], &unpacked)
            .with_context(|| Failure::new(format!("{NAME} cannot be fetched"), by_hand))?;
        fs::create_dir_all(machine.tools.join("bin"))?;
        let link = machine.tools.join("bin").join(NAME);
        apt::replace_link(
            &link,
            &std::path::Path::new("..").join(NAME).join("usr/bin").join(NAME),
        )
    }
}
