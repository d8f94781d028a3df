//! Network namespaces as hosts, made with iproute2.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cleanup::{self, Guard, Made};
use crate::enter;

/// Where iproute2 keeps the namespaces that have a name.
pub(crate) const FOLDER: &str = "/run/netns";

/// A host: a network namespace of its own, with its loopback up. Dropping it ends its processes and removes it.
pub struct Namespace {
    name: String,
    file: OwnedFd,
    _guard: Guard,
}

impl Namespace {
    /// Makes one whose name ends in `label`.
    ///
    /// # Errors
    /// Without root, and when iproute2 is missing.
    pub fn new(label: &str) -> Result<Self> {
        let name = cleanup::unique_name(label);
        let guard = Guard::new(Made::Namespace(name.clone()))?;
        ip(&["netns", "add", &name], "")?;
        let path = Path::new(FOLDER).join(&name);
        let file = File::open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let namespace = Self {
            name,
            file: file.into(),
            _guard: guard,
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The one that the calling process is in, under `name`. Dropping it takes the name away and nothing else.
    ///
    /// # Errors
    /// Without root, and when iproute2 is missing.
    pub(crate) fn of_this_machine(name: &str) -> Result<Self> {
        // Not a unique name of the lab: a sweep takes those to be hosts, and ends what runs in them.
        let name = name.to_owned();
        let guard = Guard::new(Made::Name(name.clone()))?;
        ip(&["netns", "attach", &name, &std::process::id().to_string()], "")?;
        let path = Path::new(FOLDER).join(&name);
        let file = File::open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
        Ok(Self {
            name,
            file: file.into(),
            _guard: guard,
        })
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A descriptor of the namespace.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Runs the lines of `commands` with `ip` inside, without the word `ip`.
    ///
    /// # Errors
    /// When one fails; those before it have been done.
    pub fn ip(&self, commands: &str) -> Result<()> {
        ip(&["-n", &self.name, "-batch", "-"], commands)
    }

    /// Adds addresses to the interface `eth0`, usable at once.
    ///
    /// # Errors
    /// When one is there already.
    pub fn add_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        let lines: Vec<String> = addresses
            .into_iter()
            .map(|address| match address {
                IpAddr::V4(address) => format!("address add {address}/32 dev eth0"),
                // Duplicate address detection would keep it unusable for a second.
                IpAddr::V6(address) => format!("address add {address}/128 dev eth0 nodad"),
            })
            .collect();
        self.ip(&lines.join("\n"))
    }

    /// Moves the calling thread into the namespace, for good. Sockets that it makes from now on live there.
    ///
    /// # Errors
    /// Without root.
    pub fn enter(&self) -> io::Result<()> {
        self::enter(self.file.as_fd())
    }

    /// `command` will run inside, and see the machine's files as they are.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn hold(&self, command: &mut Command) -> Result<()> {
        enter::in_namespace(command, self, &[])
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        let result = std::thread::scope(|scope| scope.spawn(|| self.enter().map(|()| work())).join());
        match result {
            Ok(result) => result.with_context(|| format!("{} cannot be entered", self.name)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Moves the calling thread into the network namespace behind `file`.
pub(crate) fn enter(file: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(file, Some(LinkNameSpaceType::Network))?)
}

/// Joins two hosts by a cable between an interface of the one, `eth0`, and one of the other, without any address.
pub(crate) fn join(one: &Namespace, other: &Namespace, interface: &str) -> Result<()> {
    let (one, other) = (one.name(), other.name());
    ip(
        &[
            "link", "add", "eth0", "netns", one, "type", "veth", "peer", "name", interface, "netns", other,
        ],
        "",
    )?;
    for (name, interface) in [(one, "eth0"), (other, interface)] {
        // Link-local addresses would begin with a second of duplicate address detection.
        ip(&["-n", name, "link", "set", interface, "addrgenmode", "none"], "")?;
        ip(&["-n", name, "link", "set", interface, "up"], "")?;
    }
    Ok(())
}

/// The processes in the namespace `name`; none when there is no such namespace.
pub(crate) fn processes_in(name: &str) -> Vec<Pid> {
    let Ok(output) = Command::new("ip")
        .args(["netns", "pids", name])
        .stderr(Stdio::null())
        .output()
    else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| Pid::from_raw(line.trim().parse().ok()?))
        .collect()
}

/// Runs `ip` with `input` on its standard input.
fn ip(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("`ip` cannot be started; `cargo xtask setup` installs iproute2")?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may have ended already, and then its status tells why.
        let _written = stdin.write_all(format!("{input}\n").as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let hint = if rustix::process::geteuid().is_root() {
            ""
        } else {
            " (the lab needs root)"
        };
        bail!("`ip {}`: {}{hint}\n{input}", arguments.join(" "), words.trim());
    }
    Ok(())
}
