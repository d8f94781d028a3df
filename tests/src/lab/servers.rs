//! The servers behind the lab's addresses: TLS front ends and the echo of UDP.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::world;
use crate::ca::Ca;
use crate::namespace::Namespace;
use crate::registry::Registry;
use crate::web::{Content, Files, Site, VisitLog, serve};

/// The port of everything that is judged.
const HTTPS: u16 = 443;

/// The addresses of a front end, and what it serves under which names.
pub(super) type Front = (Vec<IpAddr>, Vec<Site>);

/// Starts the front ends and the echo in `host`, where `runtime` lives.
pub(super) fn start(
    runtime: &Runtime,
    host: &Namespace,
    fronts: Vec<Front>,
    visits: &VisitLog,
) -> Result<()> {
    for (addresses, sites) in fronts {
        let listeners = host.run(|| listen(&addresses))??;
        let visits = visits.clone();
        runtime.block_on(runtime.spawn(async move { serve(listeners, sites, &visits) }))??;
    }
    for socket in host.run(bind_udp)?? {
        runtime.spawn(echo(socket));
    }
    Ok(())
}

/// The front ends: addresses, and what they serve under which names.
pub(super) fn fronts(ca: &Ca, contoso: &Registry, fabrikam: &Registry, blobs: Files) -> Result<Vec<Front>> {
    let addresses = |lists: &[&[&str]]| lists.concat().into_iter().map(world::address).collect::<Vec<_>>();
    // One front end serves every tenant, as the real service does: the address does not tell them apart.
    let registries = vec![
        Site::new(ca, &[world::CONTOSO], Content::Relay(contoso.address()))?,
        Site::new(ca, &[world::FABRIKAM], Content::Relay(fabrikam.address()))?,
        Site::new(ca, &[world::SERVICE, "*.azurecr.io"], Content::Collector)?,
    ];
    let registry_addresses = [
        &world::CONTOSO_ADDRESSES[..],
        &world::FABRIKAM_ADDRESSES,
        &world::SERVICE_ADDRESSES,
    ];
    let bare = world::BARE_ADDRESSES;
    Ok(vec![
        (addresses(&registry_addresses), registries),
        (
            addresses(&[&world::CONTOSO_DATA_ADDRESSES]),
            vec![Site::new(
                ca,
                &["*.eastus.data.azurecr.io"],
                Content::Files(blobs),
            )?],
        ),
        (
            addresses(&[&world::STORAGE_ADDRESSES]),
            vec![Site::new(ca, &["*.blob.core.windows.net"], Content::Collector)?],
        ),
        (
            addresses(&[&bare]),
            vec![Site::new(ca, &bare, Content::Collector)?],
        ),
    ])
}

fn listen(addresses: &[IpAddr]) -> Result<Vec<TcpListener>> {
    addresses
        .iter()
        .map(|&address| {
            TcpListener::bind((address, HTTPS))
                .with_context(|| format!("cannot listen on {address} port {HTTPS}"))
        })
        .collect()
}

/// Sockets for whoever tries UDP on 443.
fn bind_udp() -> Result<Vec<UdpSocket>> {
    world::service_addresses()
        .map(|address| {
            let socket = UdpSocket::bind((address, HTTPS))
                .with_context(|| format!("cannot bind UDP port {HTTPS} of {address}"))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
}

/// Sends every datagram back, so that a client can tell whether it arrived.
async fn echo(socket: UdpSocket) -> io::Result<Infallible> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 2048];
    loop {
        let (size, peer) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..size], peer).await?;
    }
}
