//! Counting what arrives: nftables in the servers' host keeps one counter per protocol, destination and port.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::enter;
use crate::namespace::Namespace;

/// Before any other table and before the routing decision, so that nothing is missed.
const RULES: &str = "
table inet lab {
    set arrived4 { type inet_proto . ipv4_addr . inet_service; size 65535; flags dynamic; counter; }
    set arrived6 { type inet_proto . ipv6_addr . inet_service; size 65535; flags dynamic; counter; }
    chain prerouting {
        type filter hook prerouting priority -400; policy accept;
        iifname != lo meta l4proto { tcp, udp } update @arrived4 { meta l4proto . ip daddr . th dport }
        iifname != lo meta l4proto { tcp, udp } update @arrived6 { meta l4proto . ip6 daddr . th dport }
    }
}";

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// TCP segments, those of the handshake among them.
    Tcp,
    /// UDP datagrams.
    Udp,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Begins to count in `host`.
pub(super) fn count(host: &Namespace) -> Result<()> {
    nft(host, &["-f", "-"], RULES).map(drop)
}

/// How many packets for `address` and `port` have arrived since.
pub(super) fn read(host: &Namespace, protocol: Protocol, address: IpAddr, port: u16) -> Result<u64> {
    let set = if address.is_ipv4() { "arrived4" } else { "arrived6" };
    let text = nft(host, &["-n", "-j", "list", "set", "inet", "lab", set], "")?;
    let answer: Value = serde_json::from_str(&text).context("nft answered something else than JSON")?;
    let sets = answer["nftables"].as_array().into_iter().flatten();
    let elements = sets
        .filter_map(|object| object["set"]["elem"].as_array())
        .flatten();
    let number = match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    let wanted = |key: &Value| {
        let key = &key["concat"];
        (key[0] == protocol.name() || key[0] == number) && key[1] == address.to_string() && key[2] == port
    };
    Ok(elements
        .map(|element| &element["elem"])
        .find(|element| wanted(&element["val"]))
        .and_then(|element| element["counter"]["packets"].as_u64())
        .unwrap_or(0))
}

fn nft(host: &Namespace, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("nft");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    enter::in_namespace(&mut command, host, &[])?;
    let mut child = command
        .spawn()
        .context("`nft` cannot be started; `cargo xtask setup` installs nftables")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`nft {}`: {}",
        arguments.join(" "),
        words.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
