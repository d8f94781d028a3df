//! The scenario, a function a boot: what is done on the machine, and what must hold.
//!
//! The host starts the machine again and again on the same disk, and tells on the kernel's command line how often it has.

mod first;
mod fourth;
mod second;
mod third;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::loaded_programs;

use super::control::{Request, ask};
use super::early::Early;
use super::serve::IMAGE;
use super::{FOLDER, client, load, system};
use crate::guest::{Line, tell};
use crate::lab::world;
use crate::outcome::run_for;

/// The word of the kernel's command line with the number of the boot, from 1.
pub(super) const BOOT: &str = "lab.boot";
/// Where the package's configuration is.
const CONFIGURATION: &str = "/etc/enforcer/enforcer.toml";
/// The two packages, as the host puts them on the disk of the lab.
const PACKAGE: &str = "/lab/enforcer.deb";
const UPGRADE: &str = "/lab/upgrade.deb";
/// How long a session of this slow machine may wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);

/// How a boot ends.
enum After {
    /// The machine is shut down, and the host starts it again.
    Reboot,
    /// The host takes the power away, and starts it again.
    Cut,
    /// It was the last.
    End,
}

/// Plays the boot that the host says it is.
///
/// # Errors
/// When the host says none. What goes wrong in the scenario is told.
pub(super) fn run() -> Result<()> {
    let after = match number()? {
        1 => first::play(),
        2 => second::play(),
        3 => third::play(),
        4 => fourth::play(),
        number => bail!("the scenario has no boot {number}"),
    };
    match after {
        After::Reboot => tell(&Line::Next),
        After::Cut => {
            tell(&Line::Cut);
            // The host takes the power away meanwhile.
            std::thread::sleep(system::LIMIT);
        }
        After::End => tell(&Line::End),
    }
    // With `--no-block`: the shutdown ends this process, too.
    system::call(&["systemctl", "--no-block", "poweroff"]).map(drop)
}

/// The boot that this is, from 1.
fn number() -> Result<u32> {
    let word = system::kernel_word(BOOT).context("the kernel's command line does not tell the boot")?;
    Ok(word.parse()?)
}

/// Whether the name server says nothing from the start of this boot on.
pub(super) fn resolver_is_dead() -> bool {
    number().is_ok_and(|number| number == 3)
}

/// How long the boot took, and whether the machine was without a network when it was looked at early.
fn booted() -> Result<String> {
    let early = Early::read()?;
    ensure!(
        early.interfaces == ["lo"],
        "before the network there are {:?}",
        early.interfaces
    );
    Ok(format!("multi-user after {:.1} s", super::early::uptime()?))
}

/// Holds what was found before the network against what must be, and the order of the units.
fn enforced_early() -> Result<String> {
    let early = Early::read()?;
    ensure!(
        early.interfaces == ["lo"],
        "before the network there are {:?}",
        early.interfaces
    );
    ensure!(
        early.denied.iter().all(|&error| error == libc::EPERM),
        "denied addresses gave {:?} before the network, and not EPERM",
        early.denied
    );
    ensure!(
        early.granted.iter().all(|&error| error == libc::ENETUNREACH),
        "granted addresses gave {:?} before the network, and not ENETUNREACH",
        early.granted
    );
    let ready = since_start(system::UNIT, "ActiveEnterTimestampMonotonic")?;
    let target = since_start("network-pre.target", "ActiveEnterTimestampMonotonic")?;
    let network = since_start("lab-network.service", "InactiveExitTimestampMonotonic")?;
    ensure!(
        ready <= target && target <= network,
        "ready at {ready:?}, network-pre.target at {target:?}, the network began at {network:?}"
    );
    Ok(format!(
        "ready {:.1} s after the kernel began, the network began at {:.1} s",
        ready.as_secs_f32(),
        network.as_secs_f32()
    ))
}

/// When a unit changed its state.
fn since_start(unit: &str, property: &str) -> Result<Duration> {
    let micros: u64 = system::property(unit, property)?.parse()?;
    ensure!(micros > 0, "{unit} has never been active");
    Ok(Duration::from_micros(micros))
}

/// A real client pulls an image.
fn pull() -> Result<String> {
    ask(&Request::Publish)?;
    let folder = Path::new(FOLDER).join("pulled");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (repository, tag, layers) = IMAGE;
    let mut command = Command::new("skopeo");
    command
        .args(["--insecure-policy", "copy", "--quiet"])
        .arg(format!("docker://{}/{repository}:{tag}", world::CONTOSO))
        .arg(format!("dir:{}", folder.display()))
        .env("SSL_CERT_FILE", Path::new(FOLDER).join("ca.pem"))
        .env("SSL_CERT_DIR", Path::new(FOLDER).join("none"))
        .env("HOME", FOLDER)
        .env("TMPDIR", FOLDER);
    let outcome = run_for(command, system::LIMIT)?;
    ensure!(outcome.success(), "skopeo: {outcome}");
    let bytes: usize = layers.iter().sum();
    Ok(format!(
        "{} layers, {bytes} bytes in {} ms",
        layers.len(),
        outcome.took.as_millis()
    ))
}

/// Sessions under the granted name get through over both families, and one under a foreign name and connections to
/// foreign addresses do not.
fn enforces() -> Result<String> {
    let config = client::config()?;
    for to in [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]] {
        client::visit(&config, world::CONTOSO, to, LIMIT)
            .with_context(|| format!("the granted {} at {to}", world::CONTOSO))?;
    }
    let visits = || ask(&Request::Visits(world::FABRIKAM.to_owned()));
    let before = visits()?;
    let foreign = client::visit(&config, world::FABRIKAM, world::CONTOSO_ADDRESSES[1], LIMIT);
    ensure!(
        foreign.is_err() && visits()? == before,
        "a session under the foreign name {} got through",
        world::FABRIKAM
    );
    for to in world::STORAGE_ADDRESSES.map(world::address) {
        ensure!(!load::is_reached(to), "the foreign address {to} was reached");
    }
    Ok("granted names pass, foreign names and addresses do not".to_owned())
}

/// Nobody judges: whatever is asked for is reached.
fn lets_everything_pass() -> Result<()> {
    for to in world::STORAGE_ADDRESSES.map(world::address) {
        let reached = TcpStream::connect_timeout(&SocketAddr::new(to, 443), LIMIT);
        reached.with_context(|| format!("the foreign address {to} is not reached"))?;
    }
    Ok(())
}

/// How many programs of the enforcer the kernel holds.
fn programs() -> usize {
    loaded_programs()
        .flatten()
        .filter(|program| {
            program
                .name_as_str()
                .is_some_and(|name| name.starts_with("enforcer"))
        })
        .count()
}
