//! Resolving over real sockets on loopback, against the scriptable name server.

mod answers;
mod encrypted;
mod upstreams;

use std::net::SocketAddr;
use std::time::Duration;

use enforcer::config::{Resolver, Transport, Upstream};
use enforcer::names::ServerName;
use enforcer::resolve::{NameSnapshot, Question, Sanity, Service, Snapshot};
use enforcer::resolve::{resolve_once, upstream};
use enforcer_lab::nameserver::NameServer;

/// Only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(20);
/// How long an upstream may keep silent where none does.
const PATIENT: Duration = Duration::from_secs(10);
/// How long an upstream may keep silent where one does. Far above what an answer on loopback takes.
const HURRIED: Duration = Duration::from_secs(1);

fn server() -> NameServer {
    NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap()
}

fn config(servers: &[SocketAddr], timeout: Duration) -> Resolver {
    Resolver {
        servers: servers
            .iter()
            .map(|address| Upstream {
                transport: Transport::Plain,
                address: *address,
            })
            .collect(),
        timeout,
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        addresses_max: 64,
        chain_max: 12,
        concurrency: 8,
    }
}

fn questions(names: &[&str]) -> Vec<Question> {
    names
        .iter()
        .map(|name| Question {
            name: ServerName::parse(name).unwrap(),
            private_link: vec![],
            sanity: Sanity::default(),
        })
        .collect()
}

async fn once(servers: &[SocketAddr], timeout: Duration, names: &[&str]) -> Snapshot {
    let config = config(servers, timeout);
    let upstreams = upstream::connect(&config.servers, &config).unwrap();
    resolve_once(questions(names), &config, upstreams, LIMIT).await
}

fn start(servers: &[SocketAddr], timeout: Duration, names: &[&str]) -> Service {
    let config = config(servers, timeout);
    let upstreams = upstream::connect(&config.servers, &config).unwrap();
    Service::start(questions(names), &config, upstreams)
}

fn addresses(name: &NameSnapshot) -> Vec<String> {
    name.addresses
        .iter()
        .map(|known| known.address.to_string())
        .collect()
}

async fn wait_for(service: &Service, what: impl Fn(&NameSnapshot) -> bool) -> NameSnapshot {
    let mut snapshots = service.snapshots();
    let waited = tokio::time::timeout(LIMIT, snapshots.wait_for(|snapshot| what(&snapshot.names[0])));
    let Ok(Ok(snapshot)) = waited.await else {
        panic!("it never came to that");
    };
    NameSnapshot::clone(&snapshot.names[0])
}
