//! The network of the machine: the cable, the name server and the registries behind it, until the machine ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result};

use super::control::{self, Request};
use super::{FOLDER, boots};
use crate::lab::{Lab, Protocol};
use crate::nameserver::Fault;

/// The image that is pulled: two layers, small enough for an emulated machine.
pub(super) const IMAGE: (&str, &str, [usize; 2]) = ("app", "v1", [300_000, 20_000]);

/// Builds the network, tells systemd, and answers what the scenario asks.
///
/// # Errors
/// When it can not be built.
pub(super) fn run() -> Result<()> {
    let lab = Lab::start_for_this_machine()?;
    fs::copy(lab.folder().join("ca.pem"), Path::new(FOLDER).join("ca.pem"))?;
    if boots::resolver_is_dead() {
        set_resolver(&lab, false);
    }
    let listener = UnixListener::bind(control::socket()).context("the control socket can not be made")?;
    tell_ready()?;
    for stream in listener.incoming() {
        // Who asked and went away is no reason to take the network down.
        let _gone = answer(&lab, stream?);
    }
    Ok(())
}

fn answer(lab: &Lab, mut stream: UnixStream) -> Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let words = match Request::parse(line.trim_end()) {
        None => "not understood".to_owned(),
        Some(request) => match serve(lab, &request) {
            Ok(number) => format!("ok {number}"),
            Err(error) => format!("{error:#}").replace('\n', " / "),
        },
    };
    Ok(writeln!(stream, "{words}")?)
}

fn serve(lab: &Lab, request: &Request) -> Result<u64> {
    match request {
        Request::Arrived(address) => lab.arrived(Protocol::Tcp, *address, 443),
        Request::Visits(name) => {
            let is_it = |visit: &&crate::Visit| {
                visit.request.is_none() && visit.server_name.as_deref() == Some(name.as_str())
            };
            Ok(lab.visits().iter().filter(is_it).count() as u64)
        }
        Request::Publish => {
            let (repository, tag, layers) = IMAGE;
            let image = lab.publish(&lab.contoso, repository, tag, &layers)?;
            Ok(image.layers.len() as u64)
        }
        Request::Resolver(alive) => {
            set_resolver(lab, *alive);
            Ok(0)
        }
    }
}

fn set_resolver(lab: &Lab, alive: bool) {
    let fault = (!alive).then_some(Fault::Silence);
    lab.name_server.script(|zone| zone.fault_everywhere(fault));
}

/// Tells systemd that the network is there (sd_notify(3)).
fn tell_ready() -> Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}
