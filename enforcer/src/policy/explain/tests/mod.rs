//! A policy with answers, for the tests of what is said about it.

mod said;
mod suggested;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::config::samples::parsed;
use crate::endpoints;
use crate::resolve::{FamilyState, KnownAddress, LastGood, RefusedAddress, Standing};
use crate::special;

/// A policy with answers, as a daemon would hold it.
struct World {
    config: Config,
    endpoints: Vec<Endpoint>,
    names: Vec<GrantedName>,
    answers: Snapshot,
    looked_up: Snapshot,
    remembered: Vec<(IpAddr, ServerName, Option<String>)>,
    now: Instant,
}

/// What a name is answered with: nothing, a public address that it may share with others, a private one, an old one.
fn answer_of(name: &ServerName, now: Instant) -> NameSnapshot {
    let hash = name.as_str().bytes().fold(7_u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let address = match hash % 5 {
        0 => None,
        1 => Some(Ipv4Addr::new(10, 20, 0, (hash % 7) as u8)),
        _ => Some(Ipv4Addr::new(198, 51, 100, (hash / 5 % 6) as u8)),
    };
    let (mut addresses, mut refused) = (Vec::new(), Vec::new());
    if let Some(address) = address.map(IpAddr::from) {
        match special::judge(address, &[]) {
            Ok(address) => addresses.push(KnownAddress {
                address,
                expires: now + Duration::from_secs(60),
                standing: Standing::Current,
            }),
            Err(why) => refused.push(RefusedAddress { address, why }),
        }
    }
    NameSnapshot {
        name: name.clone(),
        chain: Vec::new(),
        v4: if addresses.is_empty() {
            FamilyState::Failed {
                error: "SERVFAIL".into(),
            }
        } else {
            FamilyState::Fresh
        },
        v6: FamilyState::Empty,
        addresses: addresses.into(),
        refused,
        good_v4: LastGood::default(),
        good_v6: LastGood::default(),
    }
}

impl World {
    fn new(text: &str) -> Self {
        let config = parsed("test.toml", text);
        let endpoints = endpoints::expand(&config);
        let names = endpoints::granted_names(&config, &endpoints);
        let now = Instant::now();
        let questions = endpoints::questions(&config, &endpoints);
        let answers = Snapshot {
            names: questions
                .iter()
                .map(|question| answer_of(&question.name, now))
                .collect(),
        };
        Self {
            config,
            endpoints,
            names,
            answers,
            looked_up: Snapshot::default(),
            remembered: Vec::new(),
            now,
        }
    }

    fn look_up(&mut self, names: &[&str]) {
        let names = names.iter().filter_map(|name| ServerName::parse(name).ok());
        self.looked_up.names = names.map(|name| answer_of(&name, self.now)).collect();
    }

    fn explain(&self, target: &str, server_name: Option<&str>, protocol: Protocol) -> Explanation {
        let remembered = |address: IpAddr| {
            let mut known = self.remembered.iter();
            known
                .find(|(known, ..)| *known == address)
                .map(|(_, name, refused)| (name.clone(), refused.clone()))
        };
        let situation = Situation {
            config: &self.config,
            endpoints: &self.endpoints,
            names: &self.names,
            upstreams: &self.config.resolver.servers,
            answers: &self.answers,
            looked_up: &self.looked_up,
            remembered: &remembered,
            now: self.now,
        };
        let query = Query {
            target: target.parse().unwrap_or_else(|error| panic!("{target}: {error}")),
            server_name: server_name.map(str::to_owned),
            protocol,
        };
        explain(&situation, &query).unwrap()
    }

    fn tcp(&self, target: &str) -> Explanation {
        self.explain(target, None, Protocol::Tcp)
    }
}

const POLICY: &str = "\
[[registry]]
login_server = \"contoso.azurecr.io\"
data_regions = [\"westus\"]

[[allow]]
name = \"a.example.com\"

[[allow]]
prefix = \"192.0.2.0/24\"

[[allow]]
name = \"*.data.mcr.microsoft.com\"
prefix = \"203.0.113.0/24\"
";

fn address_of(name: &str) -> String {
    let known = answer_of(&ServerName::parse(name).unwrap(), Instant::now());
    known.addresses[0].address.to_string()
}
