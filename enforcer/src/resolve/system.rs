//! The system's name servers, out of the text of `resolv.conf`. Pure: the caller reads the file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Transport, Upstream};

/// Where a system keeps them.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The C library looks at no more than these (resolv.conf(5), MAXNS).
const SERVERS_MAX: usize = 3;
/// DNS over UDP and TCP (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// The name servers of a system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SystemServers {
    /// Those that can be asked, in their order.
    pub servers: Vec<Upstream>,
    /// Lines that are no use, each with the reason; to be told to the user.
    pub ignored: Vec<String>,
}

/// Reads the `nameserver` lines of `resolv_conf`. The search list and the options do not concern us: names are absolute,
/// and time limits come from our own configuration.
///
/// As the C library does, the server on this host is asked when none is named.
#[must_use]
pub fn servers(resolv_conf: &str) -> SystemServers {
    let (parsed, errors) = resolv_conf::Config::parse_with_errors(resolv_conf.as_bytes());
    let mut ignored: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let mut servers: Vec<Upstream> = Vec::new();
    for server in parsed.nameservers.iter().take(SERVERS_MAX) {
        if let resolv_conf::ScopedIp::V6(address, Some(scope)) = server {
            ignored.push(format!(
                "nameserver {address}%{scope}: a link-local server can not be asked, name it in [resolver] by a global address"
            ));
            continue;
        }
        servers.push(plain(IpAddr::from(server)));
    }
    if parsed.nameservers.is_empty() {
        servers.push(plain(Ipv4Addr::LOCALHOST.into()));
    }
    SystemServers { servers, ignored }
}

fn plain(address: IpAddr) -> Upstream {
    Upstream {
        transport: Transport::Plain,
        address: SocketAddr::new(address, PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(resolv_conf: &str) -> Vec<String> {
        servers(resolv_conf)
            .servers
            .iter()
            .map(|server| server.address.to_string())
            .collect()
    }

    #[test]
    fn the_first_three_servers_in_their_order() {
        let text = "# comment\nsearch corp.example\noptions ndots:5 timeout:1\nnameserver 192.0.2.53\n\
                    nameserver 2001:db8::53\nnameserver 127.0.0.53\nnameserver 192.0.2.54\n";
        assert_eq!(
            texts(text),
            ["192.0.2.53:53", "[2001:db8::53]:53", "127.0.0.53:53"]
        );
    }

    #[test]
    fn without_a_server_this_host_is_asked() {
        assert_eq!(texts(""), ["127.0.0.1:53"]);
        assert_eq!(texts("search corp.example\n"), ["127.0.0.1:53"]);
    }

    #[test]
    fn what_is_no_use_is_told() {
        let system =
            servers("nameserver fe80::1%eth0\nnameserver nonsense\nnameserver 192.0.2.53\nfrobnicate\n");
        assert_eq!(system.servers, [plain("192.0.2.53".parse().unwrap())]);
        assert!(system.ignored.iter().any(|line| line.contains("fe80::1%eth0")));
        assert!(system.ignored.len() >= 2, "{:?}", system.ignored);
    }
}
