//! The daemon as it is installed: a process of its own, on a cgroup and in a network namespace of the bench.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enforcer::config::Capacity;
use enforcer_lab::nameserver::{self, NameServer};
use enforcer_lab::{Cgroup, Folder, Instance, Namespace, enforcer_program};
use rustix::process::{Pid, Signal, kill_process};

use crate::prefixes::Prefixes;

/// For everything that should take a few seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// Where the name server is, in the namespace.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// Between the addresses of names, so that no two of them are one span of the table, and each block of it has some.
const STRIDE: u32 = 257;
/// Where the data of every registry is, and how many names that makes of one.
const REGIONS: [&str; 4] = ["eastus", "westus", "westeurope", "northeurope"];
const NAMES_EACH: u32 = 5;
/// A name that belongs to each of them.
const CERTIFICATE: &str = "azurecr.io";
/// What the capacity of the table is a multiple of, and what it is by default.
const CAPACITY_STEP: u32 = 1 << 17;
const CAPACITY_DEFAULT: u32 = 1 << 17;
/// Any number: the same prefixes each time.
const SEED: u64 = 6;

/// Where a daemon runs. The fields go away in their order.
pub(crate) struct Place {
    pub(crate) cgroup: Cgroup,
    pub(crate) instance: Instance,
    pub(crate) host: Namespace,
    folder: Folder,
}

/// A daemon that runs; dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// From its start until it said that it judges.
    pub(crate) ready: Duration,
}

/// What it is told to enforce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Names, a multiple of [`NAMES_EACH`].
    pub(crate) names: u32,
    /// Addresses of each, all of them different.
    pub(crate) each: u32,
    /// Prefixes, in one service tag.
    pub(crate) prefixes: u32,
}

impl Load {
    /// Room for so many intervals of IPv4, with some to spare, as whoever sets one would leave.
    fn intervals(self) -> u32 {
        let needed = self.names * self.each + self.prefixes;
        (needed + needed / 16).next_multiple_of(CAPACITY_STEP)
    }

    /// The capacity that the daemon is configured with.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn capacity(self) -> Result<Capacity> {
        let default = Capacity::default();
        Capacity::new(self.intervals().max(default.ipv4()), default.ipv6())
            .context("there are no such tables")
    }
}

impl Place {
    /// A fresh one.
    ///
    /// # Errors
    /// Without root.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            cgroup: Cgroup::new("daemon")?,
            instance: Instance::new("bench")?,
            host: Namespace::new("daemon")?,
            folder: Folder::new("daemon")?,
        })
    }

    /// A name server in it that knows the names of [`Self::configure`].
    ///
    /// # Errors
    /// When it can not listen.
    pub(crate) fn name_server(&self, load: Load, ttl: u32) -> Result<NameServer> {
        self.serve(load, ttl, false)
    }

    /// As [`Self::name_server`], with an address of each family: that there is none is true for five minutes at the most, and
    /// asked again.
    ///
    /// # Errors
    /// As for [`Self::name_server`].
    pub(crate) fn name_server_of_both(&self, load: Load, ttl: u32) -> Result<NameServer> {
        self.serve(load, ttl, true)
    }

    fn serve(&self, load: Load, ttl: u32, has_ipv6: bool) -> Result<NameServer> {
        let sockets = self.host.run(|| nameserver::bind(SERVER))?;
        let server = NameServer::with_sockets(vec![sockets.context("the name server cannot listen")?])?;
        let first = Ipv4Addr::new(20, 0, 0, 0).to_bits();
        server.script(|zone| {
            for at in 0..load.names {
                let addresses: Vec<String> = (at * load.each..(at + 1) * load.each)
                    .map(|address| Ipv4Addr::from_bits(first + STRIDE * address).to_string())
                    .chain(has_ipv6.then(|| format!("2600:{at:x}::1")))
                    .collect();
                let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                zone.addresses(&name(at), ttl, &addresses);
            }
            // What stands in the certificate of every login server is a name of every registry.
            let all: &[&str] = if has_ipv6 {
                &["20.255.0.1", "2600:ffff::1"]
            } else {
                &["20.255.0.1"]
            };
            zone.addresses(CERTIFICATE, ttl, all);
        });
        Ok(server)
    }

    /// Writes a configuration.
    ///
    /// # Errors
    /// When the disk is full.
    pub(crate) fn configure(&self, load: Load) -> Result<PathBuf> {
        let capacity = load.intervals();
        let mut text = format!(
            "mode = \"enforce\"\n[resolver]\nservers = [\"{SERVER}\"]\n[enforce]\ncgroup = \"{}\"\n",
            self.cgroup.path().display()
        );
        if capacity > CAPACITY_DEFAULT {
            let _ = writeln!(text, "capacity = {{ ipv4 = {capacity} }}");
        }
        for at in 0..load.names / NAMES_EACH {
            let _ = writeln!(
                text,
                "[[registry]]\nlogin_server = \"bench{at:05}.azurecr.io\"\ndata_regions = [\"{}\"]",
                REGIONS.join("\", \"")
            );
        }
        if load.prefixes > 0 {
            let file = self.folder.path().join("tags.json");
            let tags = Prefixes::new(load.prefixes, SEED).service_tags("Bench");
            std::fs::write(&file, tags).with_context(|| format!("{} cannot be written", file.display()))?;
            text.push_str(
                "[[allow]]\nservice_tag = \"Bench\"\nfile = \"tags.json\"\naccept_exfiltration_risk = \"it is measured\"\n",
            );
        }
        let path = self.folder.path().join("enforcer.toml");
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// A command of the enforcer, in the namespace.
    ///
    /// # Errors
    /// When it has not been built.
    pub(crate) fn enforcer(&self) -> Result<Command> {
        let mut command = Command::new(enforcer_program()?);
        command
            .env_clear()
            .env("STATE_DIRECTORY", self.folder.path().join("state"))
            .env("RUNTIME_DIRECTORY", self.folder.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.host.hold(&mut command)?;
        Ok(command)
    }

    /// Starts the daemon and waits until it says that it judges. A `temporary` one keeps nothing and asks for every name
    /// before.
    ///
    /// # Errors
    /// When it does not come to that, with the end of its log.
    pub(crate) fn start(&self, config: &Path, temporary: bool) -> Result<Daemon> {
        let socket = self.folder.path().join("notify");
        let _old = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).context("no socket for the daemon to tell")?;
        notify.set_read_timeout(Some(LIMIT))?;
        let log = self.folder.path().join("log");
        let mut command = self.enforcer()?;
        command
            .arg("run")
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", &socket)
            .stderr(std::fs::File::create(&log)?);
        if temporary {
            command.arg("--temporary");
        } else {
            command.args(["--instance", self.instance.name()]);
        }
        let begin = Instant::now();
        let child = command.spawn().context("the enforcer cannot be started")?;
        let mut daemon = Daemon {
            child,
            log,
            ready: Duration::ZERO,
        };
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = notify.recv(&mut buffer) else {
                bail!("the daemon does not say that it judges:\n{}", daemon.last_words());
            };
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line == "READY=1") {
                daemon.ready = begin.elapsed();
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait()? {
                bail!("the daemon ended ({status}):\n{}", daemon.last_words());
            }
        }
    }

    /// Takes away what only an orderly end of the daemon saves.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn forget_table(&self) -> Result<()> {
        let state = self.folder.path().join("state").join(self.instance.name());
        std::fs::remove_file(state.join("table")).context("the daemon has saved no table")
    }

    /// Ends what the daemon has left in force.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn detach(&self) -> Result<()> {
        let status = self
            .enforcer()?
            .args(["detach", "--yes", "--instance", self.instance.name()])
            .stderr(Stdio::null())
            .status()?;
        anyhow::ensure!(status.success(), "`enforcer detach` failed ({status})");
        Ok(())
    }
}

impl Daemon {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order: everything is saved.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("the daemon has ended before")?;
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the daemon does not end:\n{}", self.last_words())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The names of a registry: where it is asked, and where its data is in each region.
fn name(at: u32) -> String {
    let registry = at / NAMES_EACH;
    match at % NAMES_EACH {
        0 => format!("bench{registry:05}.azurecr.io"),
        region => format!(
            "bench{registry:05}.{}.data.azurecr.io",
            REGIONS[region as usize - 1]
        ),
    }
}
