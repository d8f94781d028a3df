//! The network of the short lab: a client, and a server that has two names on one address.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use crate::ca::Ca;
use crate::enter;
use crate::lab::{runtime_in, world};
use crate::nameserver::{self, NameServer};
use crate::namespace::{self, Namespace};
use crate::web::{self, Content, Site, VisitLog};

/// Where everything that a scene writes lies; the root of a virtual machine is in its memory.
const FOLDER: &str = "/tmp/lab";

/// A client and a server, joined by a cable.
pub(super) struct Network {
    visits: VisitLog,
    _runtime: Runtime,
    _name_server: NameServer,
    client: Namespace,
    _server: Namespace,
}

impl Network {
    /// Builds it, without any program but `ip`.
    pub(super) fn start() -> Result<Self> {
        fs::create_dir_all(FOLDER)?;
        let server = Namespace::new("server")?;
        let client = Namespace::new("client")?;
        namespace::join(&client, &server, "eth0")?;
        server.ip(world::SERVER_NETWORK)?;
        client.ip(world::CLIENT_NETWORK)?;
        let routes = world::CLIENT_ROUTES.map(|route| format!("route add {route}"));
        client.ip(&routes.join("\n"))?;
        server.add_addresses(world::NAME_SERVER_ADDRESSES.map(world::address))?;
        let both = [&world::CONTOSO_ADDRESSES[..], &world::BARE_ADDRESSES].concat();
        server.add_addresses(both.iter().map(|text| world::address(text)))?;

        let address = SocketAddr::new(world::address(world::NAME_SERVER_ADDRESSES[0]), 53);
        let sockets = server.run(|| nameserver::bind(address))?;
        let name_server = NameServer::with_sockets(vec![sockets.context("the name server cannot listen")?])?;
        world::script(&name_server);
        // The enforcer asks whom the machine asks, and here that is for us to say.
        fs::write("/etc/resolv.conf", format!("nameserver {}\n", address.ip()))?;

        let ca = Ca::new()?;
        fs::write(Self::ca(), ca.pem())?;
        let site = |name: &str| Site::new(&ca, &[name], Content::Collector);
        let sites = vec![site(world::CONTOSO)?, site(world::FABRIKAM)?];
        let listeners = server.run(|| {
            both.iter()
                .map(|text| TcpListener::bind((world::address(text), 443)))
                .collect::<std::io::Result<Vec<_>>>()
        })?;
        let (visits, runtime) = (VisitLog::default(), runtime_in(&server)?);
        let (listeners, log) = (
            listeners.context("nobody can listen on port 443")?,
            visits.clone(),
        );
        runtime.block_on(runtime.spawn(async move { web::serve(listeners, sites, &log) }))??;
        Ok(Self {
            visits,
            _runtime: runtime,
            _name_server: name_server,
            client,
            _server: server,
        })
    }

    /// The certificate that clients trust.
    pub(super) fn ca() -> PathBuf {
        Self::file("ca.pem")
    }

    /// A file of the lab.
    pub(super) fn file(name: &str) -> PathBuf {
        Path::new(FOLDER).join(name)
    }

    /// A command that will run on the client.
    pub(super) fn on_client(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        enter::in_namespace(&mut command, &self.client, &[])?;
        Ok(command)
    }

    /// Whether a session under `name` has come to `address`, whatever became of it.
    pub(super) fn was_visited(&self, name: &str, address: IpAddr) -> bool {
        let matches =
            |visit: &crate::Visit| visit.local.ip() == address && visit.server_name.as_deref() == Some(name);
        self.visits.all().iter().any(matches)
    }
}
