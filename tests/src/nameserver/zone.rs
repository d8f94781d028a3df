//! What the name server says: records, rotation, and faults, per name and type.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// TTL of the SOA record beside an answer that says "nothing there".
pub(super) const NEGATIVE_TTL: u32 = 30;
/// Most CNAMEs that are followed in one answer; more than any client under test accepts, so that it must have a limit.
const CHASE_MAX: usize = 64;

/// What goes wrong with a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// "Server failure".
    ServFail,
    /// "Refused".
    Refused,
    /// "No such name", although there may be records.
    NxDomain,
    /// "No such records", although there may be some.
    NoData,
    /// No answer at all.
    Silence,
    /// An empty answer with the truncation bit over UDP; the whole one over TCP.
    Truncate,
}

/// The script: what is answered to which question. Names are compared without regard to case.
///
/// A name that was never mentioned does not exist (NXDOMAIN). One that has other records answers "no such records".
#[derive(Debug, Default)]
pub struct Zone {
    sets: HashMap<(String, RecordType), Rotation>,
    aliases: HashMap<String, (u32, String)>,
    faults: HashMap<(String, RecordType), Fault>,
    everywhere: Option<Fault>,
    delays: HashMap<String, Duration>,
    injected: HashMap<String, Vec<Record>>,
    unfollowed: HashSet<String>,
}

/// Lists of addresses, of which one is answered at a time.
#[derive(Debug)]
struct Rotation {
    ttl: u32,
    lists: Vec<Vec<IpAddr>>,
    next: usize,
}

/// An answer as the zone gives it.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The answer section.
    pub(super) answers: Vec<Record>,
    /// What to do instead of, or beside, answering.
    pub(super) fault: Option<Fault>,
    /// The SOA record of an answer that says "nothing there".
    pub(super) soa: Option<Record>,
    /// How long to wait before it is sent.
    pub(super) delay: Duration,
}

impl Zone {
    /// `name` has exactly these addresses, IPv4 and IPv6, from now on. A family without an address has none.
    ///
    /// # Panics
    /// When a text is not an address.
    pub fn addresses(&mut self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| address(text)).collect();
        for (kind, is_ours) in [
            (RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
            (RecordType::AAAA, IpAddr::is_ipv6),
        ] {
            let list = addresses.iter().copied().filter(is_ours).collect();
            self.sets.insert(
                (key(name), kind),
                Rotation {
                    ttl,
                    lists: vec![list],
                    next: 0,
                },
            );
        }
    }

    /// The first question for `name` and `kind` (`A` or `AAAA`) is answered with the first list, the next with the
    /// second, and so on, round and round. TCP after a truncated answer counts as a question of its own.
    ///
    /// # Panics
    /// When a text is not an address, or there is no list.
    pub fn rotate(&mut self, name: &str, kind: RecordType, ttl: u32, lists: &[&[&str]]) {
        assert!(!lists.is_empty(), "rotation of {name} over no list at all");
        let lists = lists
            .iter()
            .map(|list| list.iter().map(|text| address(text)).collect())
            .collect();
        self.sets
            .insert((key(name), kind), Rotation { ttl, lists, next: 0 });
    }

    /// `name` is an alias of `target`. The answer holds the whole chain and the addresses at its end, as far as the
    /// zone has them.
    pub fn cname(&mut self, name: &str, ttl: u32, target: &str) {
        self.aliases.insert(key(name), (ttl, key(target)));
    }

    /// An answer stops behind the CNAME of `name`: the client has to ask for the target itself.
    pub fn stop_at(&mut self, name: &str) {
        self.unfollowed.insert(key(name));
    }

    /// Questions for `name` and `kind` go wrong from now on, also where `name` is the end of a chain.
    pub fn fault(&mut self, name: &str, kind: RecordType, fault: Fault) {
        self.faults.insert((key(name), kind), fault);
    }

    /// Questions for `name` and `kind` go well again.
    pub fn heal(&mut self, name: &str, kind: RecordType) {
        self.faults.remove(&(key(name), kind));
    }

    /// Every question goes wrong (or, with `None`, only those with a [`Self::fault`] of their own).
    pub fn fault_everywhere(&mut self, fault: Option<Fault>) {
        self.everywhere = fault;
    }

    /// Answers to questions for `name` wait this long.
    pub fn delay(&mut self, name: &str, delay: Duration) {
        self.delays.insert(key(name), delay);
    }

    /// Answers to questions for `name` carry this address record of `owner` as well, whether it belongs there or not.
    ///
    /// # Panics
    /// When `address_text` is not an address or `owner` no name.
    pub fn inject(&mut self, name: &str, owner: &str, ttl: u32, address_text: &str) {
        let record = Record::from_rdata(dns_name(owner), ttl, RData::from(address(address_text)));
        self.injected.entry(key(name)).or_default().push(record);
    }

    /// `name` does not exist any more: its records, alias, faults, delay and injected records are gone.
    pub fn remove(&mut self, name: &str) {
        let name = key(name);
        self.sets.retain(|(owner, _), _| *owner != name);
        self.faults.retain(|(owner, _), _| *owner != name);
        self.aliases.remove(&name);
        self.delays.remove(&name);
        self.injected.remove(&name);
        self.unfollowed.remove(&name);
    }

    /// The answer to one question; rotations move on.
    pub(super) fn reply(&mut self, name: &str, kind: RecordType) -> Reply {
        let asked = key(name);
        let mut reply = Reply {
            delay: self.delays.get(&asked).copied().unwrap_or_default(),
            ..Reply::default()
        };
        let fault_at = |zone: &Self, name: &String| zone.faults.get(&(name.clone(), kind)).copied();
        reply.fault = self.everywhere.or_else(|| fault_at(self, &asked));

        let mut end = asked.clone();
        let mut stopped = false;
        for _ in 0..CHASE_MAX {
            let Some((ttl, target)) = self.aliases.get(&end) else {
                break;
            };
            let data = RData::CNAME(CNAME(dns_name(target)));
            reply.answers.push(Record::from_rdata(dns_name(&end), *ttl, data));
            stopped = self.unfollowed.contains(&end);
            end.clone_from(target);
            reply.fault = reply.fault.or_else(|| fault_at(self, &end));
            if stopped {
                break;
            }
        }
        let exists = self.exists(&end);
        let found = match self.sets.get_mut(&(end.clone(), kind)) {
            Some(rotation) if !stopped => rotation.turn(&end, &mut reply.answers),
            _ => false,
        };
        reply
            .answers
            .extend(self.injected.get(&asked).into_iter().flatten().cloned());

        let negative = matches!(reply.fault, Some(Fault::NxDomain | Fault::NoData));
        if negative {
            reply
                .answers
                .retain(|record| record.record_type() == RecordType::CNAME);
        }
        if negative || !(found || stopped) {
            reply.soa = Some(soa(&end));
            reply.fault = reply.fault.or_else(|| (!exists).then_some(Fault::NxDomain));
        }
        reply
    }

    fn exists(&self, name: &str) -> bool {
        self.aliases.contains_key(name) || self.sets.keys().any(|(owner, _)| owner == name)
    }
}

impl Rotation {
    /// Appends the list whose turn it is; whether it has any address.
    fn turn(&mut self, owner: &str, answers: &mut Vec<Record>) -> bool {
        let list = &self.lists[self.next % self.lists.len()];
        self.next += 1;
        let owner = dns_name(owner);
        answers.extend(
            list.iter()
                .map(|address| Record::from_rdata(owner.clone(), self.ttl, RData::from(*address))),
        );
        !list.is_empty()
    }
}

/// A name as it is compared: lower case, no trailing dot.
pub(super) fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn address(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is not an address"))
}

fn dns_name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap_or_else(|error| panic!("`{text}` is not a name: {error}"));
    name.set_fqdn(true);
    name
}

fn soa(name: &str) -> Record {
    let zone = dns_name(name).base_name();
    let data = SOA::new(zone.clone(), zone.clone(), 1, 3600, 600, 86400, NEGATIVE_TTL);
    Record::from_rdata(zone, NEGATIVE_TTL, RData::SOA(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(reply: &Reply) -> Vec<String> {
        reply
            .answers
            .iter()
            .map(|record| format!("{} {} {}", record.name, record.ttl, record.data))
            .collect()
    }

    #[test]
    fn a_chain_is_followed_to_its_addresses() {
        let mut zone = Zone::default();
        zone.cname("A.example.com", 300, "b.example.com");
        zone.addresses("b.example.com", 10, &["198.51.100.1", "2001:db8::1"]);
        assert_eq!(
            texts(&zone.reply("a.EXAMPLE.com.", RecordType::A)),
            [
                "a.example.com. 300 b.example.com.",
                "b.example.com. 10 198.51.100.1"
            ]
        );
        assert_eq!(
            texts(&zone.reply("b.example.com", RecordType::AAAA)),
            ["b.example.com. 10 2001:db8::1"]
        );
        zone.stop_at("a.example.com");
        let reply = zone.reply("a.example.com", RecordType::A);
        assert_eq!(texts(&reply), ["a.example.com. 300 b.example.com."]);
        assert!(reply.soa.is_none());
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let mut zone = Zone::default();
        zone.addresses("a.example.com", 10, &["198.51.100.1"]);
        let reply = zone.reply("a.example.com", RecordType::AAAA);
        assert_eq!(
            (reply.fault, reply.soa.is_some(), reply.answers.len()),
            (None, true, 0)
        );
        let reply = zone.reply("b.example.com", RecordType::A);
        assert_eq!((reply.fault, reply.soa.is_some()), (Some(Fault::NxDomain), true));
        zone.remove("a.example.com");
        assert_eq!(
            zone.reply("a.example.com", RecordType::A).fault,
            Some(Fault::NxDomain)
        );
    }

    #[test]
    fn lists_take_turns_and_faults_go_first() {
        let mut zone = Zone::default();
        zone.rotate(
            "a.example.com",
            RecordType::A,
            5,
            &[&["198.51.100.1"], &["198.51.100.2"]],
        );
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(texts(&zone.reply("a.example.com", RecordType::A)));
        }
        assert_eq!(
            seen,
            ["198.51.100.1", "198.51.100.2", "198.51.100.1"].map(|text| format!("a.example.com. 5 {text}"))
        );
        zone.fault("a.example.com", RecordType::A, Fault::ServFail);
        assert_eq!(
            zone.reply("a.example.com", RecordType::A).fault,
            Some(Fault::ServFail)
        );
        assert_ne!(
            zone.reply("a.example.com", RecordType::AAAA).fault,
            Some(Fault::ServFail)
        );
        zone.heal("a.example.com", RecordType::A);
        assert_eq!(zone.reply("a.example.com", RecordType::A).fault, None);
    }

    #[test]
    fn a_chain_in_a_circle_ends() {
        let mut zone = Zone::default();
        zone.cname("a.example.com", 5, "b.example.com");
        zone.cname("b.example.com", 5, "a.example.com");
        assert_eq!(
            zone.reply("a.example.com", RecordType::A).answers.len(),
            CHASE_MAX
        );
    }
}
