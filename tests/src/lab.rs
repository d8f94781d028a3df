//! The lab as a whole: one client, its servers, and what happens between them.

mod arrivals;
mod servers;
pub mod world;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use crate::ca::Ca;
use crate::cleanup::{self, Guard};
use crate::enter::{self, Overlay};
use crate::image::Image;
use crate::line::{Line, Quality};
use crate::nameserver::{self, NameServer};
use crate::namespace::{self, Namespace};
use crate::outcome::run_for;
use crate::programs;
use crate::registry::Registry;
use crate::web::{Files, Visit, VisitLog};

pub use arrivals::Protocol;

/// A push within the servers' host may take this long on a busy machine.
const PUSH_LIMIT: Duration = Duration::from_secs(60);

/// A client host and a server host, joined by a cable that leads nowhere else. Dropping it removes all of it.
///
/// The fields go away in their order: servers first, then the hosts with what still runs there, the files last.
pub struct Lab {
    /// Says what the script says; see [`NameServer::script`].
    pub name_server: NameServer,
    /// [`world::CONTOSO`]; its blobs are at [`world::CONTOSO_DATA`].
    pub contoso: Registry,
    /// [`world::FABRIKAM`]; it serves its blobs itself.
    pub fabrikam: Registry,
    visits: VisitLog,
    data_rate: Arc<AtomicU64>,
    data_closes: Arc<AtomicBool>,
    // Ends the servers that live in it.
    _runtime: Runtime,
    client: Namespace,
    server: Namespace,
    overlays: Vec<Overlay>,
    folder: PathBuf,
    _folder_guard: Guard,
}

impl Lab {
    /// Builds the lab: a second's work. What dead labs left behind is removed first.
    ///
    /// # Errors
    /// Without root, and when a program of the lab is missing (`cargo xtask setup` installs them).
    pub fn start() -> Result<Self> {
        cleanup::sweep();
        Self::start_for(Namespace::new("client")?)
    }

    /// Builds the lab around the network that the calling process is in: it becomes the client. Only for a machine that
    /// was made for the lab, which gets a cable `eth0`, addresses and routes.
    ///
    /// # Errors
    /// As [`Self::start`], and when there is an `eth0` already.
    pub(crate) fn start_for_this_machine() -> Result<Self> {
        Self::start_for(Namespace::of_this_machine("lab-client")?)
    }

    fn start_for(client: Namespace) -> Result<Self> {
        let (folder, folder_guard) = cleanup::folder("lab")?;
        let server = Namespace::new("server")?;
        namespace::join(&client, &server, "eth0")?;
        server.ip(world::SERVER_NETWORK)?;
        client.ip(world::CLIENT_NETWORK)?;
        let routes = world::CLIENT_ROUTES.map(|route| format!("route add {route}"));
        client.ip(&routes.join("\n"))?;
        server.add_addresses(world::NAME_SERVER_ADDRESSES.map(world::address))?;
        server.add_addresses(world::service_addresses())?;
        arrivals::count(&server)?;

        let sockets = server.run(|| {
            world::NAME_SERVER_ADDRESSES
                .map(|address| nameserver::bind(SocketAddr::new(world::address(address), 53)))
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
        })?;
        let name_server = NameServer::with_sockets(sockets.context("the name server cannot listen")?)?;
        world::script(&name_server);

        let runtime = runtime_in(&server)?;
        let start = |name, port, data| Registry::start(&runtime, &server, &folder, name, port, data);
        let contoso = start(world::CONTOSO, 5001, Some(world::CONTOSO_DATA))?;
        let fabrikam = start(world::FABRIKAM, 5002, None)?;

        let ca = Ca::new()?;
        let visits = VisitLog::default();
        let (data_rate, data_closes) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let storage = contoso.storage().to_path_buf();
        let blobs = Files::new(storage, data_rate.clone(), data_closes.clone());
        let fronts = servers::fronts(&ca, &contoso, &fabrikam, blobs)?;
        servers::start(&runtime, &server, fronts, &visits)?;

        let overlays = write_client_files(&folder, &ca)?;
        Ok(Self {
            name_server,
            contoso,
            fabrikam,
            visits,
            data_rate,
            data_closes,
            _runtime: runtime,
            client,
            server,
            overlays,
            folder,
            _folder_guard: folder_guard,
        })
    }

    /// The host of the client.
    #[must_use]
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The host of everybody else.
    #[must_use]
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// A folder for a test's own files, which goes away with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that will run on the client: it asks the lab's name server, trusts the lab's certificate authority,
    /// and has nothing of the caller's environment but `PATH`, `NO_COLOR` and `RUST_BACKTRACE`.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn client_command(&self, program: impl AsRef<Path>) -> Result<Command> {
        self.command_in(&self.client, program)
    }

    /// As [`Self::client_command`], on the host of the servers.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn server_command(&self, program: impl AsRef<Path>) -> Result<Command> {
        self.command_in(&self.server, program)
    }

    /// A container: a host with a network namespace and addresses of its own, that reaches what the client reaches.
    /// One at a time.
    ///
    /// # Errors
    /// When there is one already.
    pub fn container(&self) -> Result<Namespace> {
        let container = Namespace::new("container")?;
        namespace::join(&container, &self.server, "eth1")?;
        self.server.ip(world::CONTAINER_GATEWAY)?;
        container.ip(world::CONTAINER_NETWORK)?;
        Ok(container)
    }

    /// The enforcer of this build, on the client.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn enforcer_command(&self) -> Result<Command> {
        self.client_command(programs::enforcer_program()?)
    }

    /// Writes a configuration file and gives its path.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write_config(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// Makes an image with layers of these sizes (in bytes) and pushes it to `registry` as `repository:tag`.
    ///
    /// # Errors
    /// When the push fails, with what skopeo said.
    pub fn publish(
        &self,
        registry: &Registry,
        repository: &str,
        tag: &str,
        layer_sizes: &[usize],
    ) -> Result<Image> {
        let seed = repository
            .bytes()
            .chain(tag.bytes())
            .fold(7, |sum: u64, byte| sum * 31 + u64::from(byte));
        let folder = self
            .folder
            .join("images")
            .join(registry.login_server())
            .join(repository)
            .join(tag);
        let image = Image::write(&folder, tag, layer_sizes, seed % 1_000_003)?;
        let mut command = self.server_command("skopeo")?;
        command
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ])
            .arg(image.reference())
            .arg(format!("docker://{}/{repository}:{tag}", registry.address()));
        let outcome = run_for(command, PUSH_LIMIT)?;
        anyhow::ensure!(
            outcome.success(),
            "the push to {} failed: {outcome}",
            registry.login_server()
        );
        Ok(image)
    }

    /// The arguments with which skopeo pulls `reference` (such as `contoso.azurecr.io/app:v1`) into a fresh folder.
    #[must_use]
    pub fn pull_arguments(&self, reference: &str, folder: &Path) -> Vec<String> {
        let mut arguments = ["--insecure-policy", "copy", "--preserve-digests"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(format!("docker://{reference}"));
        arguments.push(format!("dir:{}", folder.display()));
        arguments
    }

    /// What the TLS servers have seen so far.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.all()
    }

    /// How many packets have reached `address` and `port` of the server host so far, counted before any socket sees
    /// them: retransmissions too.
    ///
    /// # Errors
    /// When nftables cannot be asked.
    pub fn arrived(&self, protocol: Protocol, address: IpAddr, port: u16) -> Result<u64> {
        arrivals::read(&self.server, protocol, address, port)
    }

    /// Limits the data endpoint to this many bytes a second and connection, from the next chunk on; 0 lifts the limit.
    pub fn limit_data_rate(&self, bytes_per_second: u64) {
        self.data_rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Has the data endpoint close its connections after each blob: the client then looks for its address again.
    pub fn close_after_each_blob(&self) {
        self.data_closes.store(true, Ordering::Relaxed);
    }

    /// The services are far away from now on, until the line is dropped. One at a time.
    ///
    /// # Errors
    /// Without `/dev/net/tun`, and when there is a line already.
    pub fn far_away(&self, quality: Quality) -> Result<Line> {
        Line::new(&self.client, &self.server, quality)
    }

    /// TCP segments between the client and everybody else carry this many bytes at most, options included, from the
    /// next connection on.
    ///
    /// # Errors
    /// When the routes cannot be changed.
    pub fn limit_segments(&self, bytes: u16) -> Result<()> {
        for (host, routes) in [
            (&self.client, &world::CLIENT_ROUTES[..]),
            (&self.server, &world::SERVER_ROUTES),
        ] {
            let changes: Vec<String> = routes
                .iter()
                .map(|route| format!("route replace {route} advmss {bytes}"))
                .collect();
            host.ip(&changes.join("\n"))?;
        }
        Ok(())
    }

    /// A second name server, at [`world::SECOND_NAME_SERVER_ADDRESS`], which says what the first says until it is
    /// scripted. Who is told to ask it can know other things than the client, or know them earlier.
    ///
    /// # Errors
    /// When there is one already.
    pub fn second_name_server(&self) -> Result<NameServer> {
        let address = SocketAddr::new(world::address(world::SECOND_NAME_SERVER_ADDRESS), 53);
        let sockets = self.server.run(|| nameserver::bind(address))?;
        let name_server =
            NameServer::with_sockets(vec![sockets.context("the second name server cannot listen")?])?;
        world::script(&name_server);
        Ok(name_server)
    }

    /// As [`Self::client_command`], on another host, such as a [`Self::container`].
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn command_in(&self, host: &Namespace, program: impl AsRef<Path>) -> Result<Command> {
        let program = program.as_ref();
        let mut command = Command::new(program);
        let kept = ["PATH", "NO_COLOR", "RUST_BACKTRACE"];
        command
            .env_clear()
            .envs(
                kept.iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("HOME", self.folder.join("home"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("XDG_RUNTIME_DIR", self.folder.join("tmp"))
            .env("SSL_CERT_FILE", self.folder.join("ca.pem"))
            // curl looks no further than the folder below, unless it has a file of its own.
            .env("CURL_CA_BUNDLE", self.folder.join("ca.pem"))
            // Go reads the host's folder of certificates beside the file, unless it is told another.
            .env("SSL_CERT_DIR", self.folder.join("no-certificates"))
            .env("CONTAINERS_REGISTRIES_CONF", self.folder.join("registries.conf"))
            .current_dir(&self.folder);
        enter::in_namespace(&mut command, host, &self.overlays)?;
        Ok(command)
    }
}

/// A runtime whose threads all live in `host`: what its tasks listen on and connect to is there.
pub(crate) fn runtime_in(host: &Namespace) -> Result<Runtime> {
    let file = host.file().try_clone()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lab")
        .enable_all()
        .on_thread_start(move || {
            // A thread that stayed outside would serve the machine's own network.
            namespace::enter(file.as_fd()).expect("a namespace that was made can be entered");
        })
        .build()?;
    Ok(runtime)
}

/// Writes what programs on the hosts read, and gives what they see in place of the machine's own.
fn write_client_files(folder: &Path, ca: &Ca) -> Result<Vec<Overlay>> {
    for name in ["home", "tmp", "no-certificates"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join("ca.pem"), ca.pem())?;
    fs::write(
        folder.join("registries.conf"),
        "unqualified-search-registries = []\n",
    )?;
    let name_server = world::NAME_SERVER_ADDRESSES[0];
    // "files dns" keeps name service plug-ins from asking the machine's own resolver behind the lab's back.
    let files = [
        (
            "resolv.conf",
            format!("nameserver {name_server}\noptions timeout:2 attempts:2\n"),
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
    ];
    let mut overlays = Vec::new();
    for (name, text) in files {
        let (file, at) = (folder.join(name), Path::new("/etc").join(name));
        fs::write(&file, text)?;
        // Only what exists can be covered, and what does not exist is not read.
        if at.exists() {
            overlays.push(enter::overlay(&file, &at)?);
        }
    }
    Ok(overlays)
}
