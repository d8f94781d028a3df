//! A real `docker-registry`, which can redirect its blobs to a data endpoint as a cloud registry does.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use crate::namespace::Namespace;
use crate::{enter, programs};

/// How long a registry may take to listen, on a machine that is busy with something else.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_POLL: Duration = Duration::from_millis(5);

/// A registry that listens without TLS on the loopback of its host; a front end gives it its name.
pub struct Registry {
    login_server: String,
    address: SocketAddr,
    storage: PathBuf,
    child: Child,
}

impl Registry {
    /// Starts one in `host`, with its files below `folder`. With `data_endpoint`, a request for a blob is answered with
    /// a redirect to that host name.
    pub(crate) fn start(
        runtime: &Runtime,
        host: &Namespace,
        folder: &Path,
        login_server: &str,
        port: u16,
        data_endpoint: Option<&str>,
    ) -> Result<Self> {
        let storage = folder.join(login_server);
        fs::create_dir_all(&storage)?;
        let config = folder.join(format!("{login_server}.yml"));
        fs::write(&config, configuration(&storage, port, data_endpoint))?;
        let log = folder.join(format!("{login_server}.log"));
        let mut command = Command::new(programs::docker_registry_program()?);
        command
            .arg("serve")
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        enter::in_namespace(&mut command, host, &[])?;
        enter::tied_to_this_thread(&mut command);
        // The runtime's threads live as long as the lab; the caller's may end before.
        let child = runtime
            .block_on(runtime.spawn(async move { command.spawn() }))?
            .context("docker-registry cannot be started")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut registry = Self {
            login_server: login_server.to_owned(),
            address,
            storage,
            child,
        };
        registry.wait_until_it_listens(host, &log)?;
        Ok(registry)
    }

    /// Its name, such as `contoso.azurecr.io`.
    #[must_use]
    pub fn login_server(&self) -> &str {
        &self.login_server
    }

    /// Where it listens inside of its host, without TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of its files, which the data endpoint serves.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    fn wait_until_it_listens(&mut self, host: &Namespace, log: &Path) -> Result<()> {
        let begin = Instant::now();
        while !host.run(|| TcpStream::connect(self.address).is_ok())? {
            let words = || fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("docker-registry ended at once ({status}):\n{}", words());
            }
            if begin.elapsed() > START_LIMIT {
                bail!(
                    "docker-registry does not listen after {} s:\n{}",
                    START_LIMIT.as_secs(),
                    words()
                );
            }
            std::thread::sleep(START_POLL);
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The registry's configuration file. A scalar in double quotes is the same in YAML and JSON.
fn configuration(storage: &Path, port: u16, data_endpoint: Option<&str>) -> String {
    let mut text = format!(
        "version: 0.1\n\
         log:\n  level: warn\n  accesslog:\n    disabled: true\n\
         storage:\n  filesystem:\n    rootdirectory: {:?}\n\
         http:\n  addr: 127.0.0.1:{port}\n  relativeurls: true\n",
        storage.display().to_string()
    );
    if let Some(name) = data_endpoint {
        text.push_str(&format!(
            "middleware:\n  storage:\n    - name: redirect\n      options:\n        baseurl: https://{name}/\n"
        ));
    }
    text
}
