//! Where the packets are sent: a namespace with a device that drops them, the process that sends, and everybody who looks.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer_lab::{Cgroup, Folder, Namespace};

use super::least::Least;
use super::sender::{Arguments, Destinations};
use super::watcher::Watcher;
use crate::command;
use crate::helper::Helper;
use crate::policy::{PORT, Policy};
use crate::prefixes::Prefixes;
use crate::raw;

/// Any number: the same prefixes and destinations each time.
const SEED: u64 = 2;
/// Kinds of device that drop what they are given: the first that the kernel has is taken.
const DEVICES: [&str; 2] = ["dummy", "ifb"];

/// The fields go away in their order: the sender before its cgroup and its host.
pub(super) struct Stage {
    /// The kind of the device.
    pub(super) device: &'static str,
    sender: Helper,
    policy: Policy,
    empty: OwnedFd,
    /// The same for calls that name their destination.
    empty_call: OwnedFd,
    /// The enforcer's program for packets, without those for calls.
    egress: OwnedFd,
    least: Least,
    links: Vec<OwnedFd>,
    cgroup: Cgroup,
    cgroup_fd: OwnedFd,
    host: Namespace,
    folder: Folder,
}

impl Stage {
    /// With everybody's sets filled with `size` prefixes, and nobody looking.
    ///
    /// # Errors
    /// When a part of it can not be made.
    pub(super) fn new(size: u32) -> Result<Self> {
        let host = Namespace::new("send")?;
        let cgroup = Cgroup::new("send")?;
        let folder = Folder::new("send")?;
        let device = add_device(&host)?;
        let mut prefixes = Prefixes::new(size, SEED);
        let grants = prefixes.grants();
        let nets = prefixes.list.clone();
        let addresses = prefixes.addresses(size as usize);

        let mut policy = Policy::load()?;
        policy.replace(&grants)?;
        let cgroup_fd: OwnedFd = std::fs::File::open(cgroup.path())
            .with_context(|| format!("{} cannot be opened", cgroup.path().display()))?
            .into();
        policy.enforcement.attach(cgroup_fd.as_fd(), cgroup.path())?;
        let egress =
            raw::egress_program(cgroup_fd.as_fd()).context("the attached program cannot be found")?;
        policy.enforcement.detach();
        let sender = Helper::start(&Arguments::new(size, SEED, PORT).as_words(), &host, &cgroup)?;
        let stage = Self {
            device,
            sender,
            policy,
            empty: raw::load_empty(raw::EGRESS).context("the empty program cannot be loaded")?,
            empty_call: raw::load_empty(raw::SENDMSG4).context("the empty program cannot be loaded")?,
            egress,
            least: Least::new(&grants)?,
            links: Vec::new(),
            cgroup,
            cgroup_fd,
            host,
            folder,
        };
        for watcher in Watcher::ALL {
            let Some(text) = watcher.sets(&nets, &addresses) else {
                continue;
            };
            let file = stage.write("sets", &text)?;
            match watcher {
                Watcher::Ipset => command::run(&stage.host, "ipset", &["restore"], Some(&file))?,
                _ => command::run(&stage.host, "nft", &["-f", &file.to_string_lossy()], None)?,
            };
            if let Some((begin, end)) = watcher.rules() {
                stage.write(&format!("{watcher:?}.begin"), &begin)?;
                stage.write(&format!("{watcher:?}.end"), &end)?;
            }
        }
        Ok(stage)
    }

    /// Runs of the empty program that the kernel has counted.
    ///
    /// # Errors
    /// When it can not be asked.
    pub(super) fn counted(&self) -> Result<u64> {
        Ok(raw::run_time(self.empty.as_fd())?.0)
    }

    /// Has somebody look at every packet.
    ///
    /// # Errors
    /// When that can not be.
    pub(super) fn let_watch(&mut self, watcher: Watcher) -> Result<()> {
        match watcher {
            Watcher::Nobody | Watcher::NobodyAgain => {}
            Watcher::Empty
            | Watcher::EmptyEverywhere
            | Watcher::EnforcerEgress
            | Watcher::Least
            | Watcher::LeastEgress => {
                let packets = match watcher {
                    Watcher::EnforcerEgress => self.egress.as_fd(),
                    Watcher::Least | Watcher::LeastEgress => self.least.program(),
                    _ => self.empty.as_fd(),
                };
                let calls = matches!(watcher, Watcher::EmptyEverywhere | Watcher::Least)
                    .then(|| (self.empty_call.as_fd(), raw::SENDMSG4));
                for (program, kind) in [(packets, raw::EGRESS)].into_iter().chain(calls) {
                    let link = raw::attach(program, kind, self.cgroup_fd.as_fd())
                        .with_context(|| format!("{} cannot be attached", watcher.name()))?;
                    self.links.push(link);
                }
            }
            Watcher::Enforcer => {
                self.policy
                    .enforcement
                    .attach(self.cgroup_fd.as_fd(), self.cgroup.path())?;
            }
            Watcher::NftChain | Watcher::NftHash | Watcher::NftIntervals => {
                self.nft(&format!("{watcher:?}.begin"))?;
            }
            Watcher::Ipset => {
                let rule = "-A OUTPUT -p udp --dport 443 -m set ! --match-set granted dst -j DROP";
                let arguments: Vec<&str> = rule.split(' ').collect();
                command::run(&self.host, "iptables-nft", &arguments, None)
                    .context("ipset needs the match `set` of iptables, or the kernel's part of it")?;
            }
        }
        Ok(())
    }

    /// Has it stop.
    ///
    /// # Errors
    /// When it can not be stopped.
    pub(super) fn stop_watching(&mut self, watcher: Watcher) -> Result<()> {
        match watcher {
            Watcher::Nobody | Watcher::NobodyAgain => {}
            Watcher::Empty
            | Watcher::EmptyEverywhere
            | Watcher::EnforcerEgress
            | Watcher::Least
            | Watcher::LeastEgress => self.links.clear(),
            Watcher::Enforcer => self.policy.enforcement.detach(),
            Watcher::NftChain | Watcher::NftHash | Watcher::NftIntervals => {
                self.nft(&format!("{watcher:?}.end"))?;
            }
            Watcher::Ipset => {
                // The whole table, for its chain would go on looking.
                command::run(&self.host, "nft", &["delete", "table", "ip", "filter"], None)?;
            }
        }
        Ok(())
    }

    /// Sends for this long; nanoseconds of the sender's processor time for a packet.
    ///
    /// # Errors
    /// When a packet is refused: all are granted.
    pub(super) fn slice(&mut self, destinations: Destinations, slice: Duration) -> Result<f64> {
        let answer = self
            .sender
            .call(&format!("{} {}", destinations.order(), slice.as_millis()))?;
        answer
            .parse()
            .with_context(|| format!("the sender says `{answer}`"))
    }

    fn nft(&self, name: &str) -> Result<()> {
        let file = self.folder.path().join(name);
        command::run(&self.host, "nft", &["-f", &file.to_string_lossy()], None).map(drop)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }
}

/// A device that drops everything, as the way to everywhere.
fn add_device(host: &Namespace) -> Result<&'static str> {
    let kind = DEVICES
        .into_iter()
        .find(|kind| host.ip(&format!("link add drop0 type {kind}")).is_ok())
        .with_context(|| format!("the kernel has no device of the kinds {}", DEVICES.join(", ")))?;
    host.ip("link set drop0 up\naddress add 10.255.0.1/32 dev drop0\nroute add default dev drop0")?;
    Ok(kind)
}
