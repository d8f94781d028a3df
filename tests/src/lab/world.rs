//! Who is who in the lab: names, addresses, and what its name server says of them.
//!
//! All addresses are of the ranges for documentation (RFC 5737, RFC 3849), which no host has.

use std::net::IpAddr;

use crate::nameserver::NameServer;

/// The registry that the policies of tests and the demo name.
pub const CONTOSO: &str = "contoso.azurecr.io";
/// Where its blobs are.
pub const CONTOSO_DATA: &str = "contoso.eastus.data.azurecr.io";
/// The end of [`CONTOSO`]'s chain of CNAMEs: the name whose addresses a test changes.
pub const CONTOSO_HOST: &str = "r0318eus.eastus.cloudapp.azure.com";
/// The end of [`CONTOSO_DATA`]'s chain.
pub const CONTOSO_DATA_HOST: &str = "d0929eus.eastus.cloudapp.azure.com";
/// A registry of somebody else, on the same service.
pub const FABRIKAM: &str = "fabrikam.azurecr.io";
/// Two more of the service, at the addresses of [`CONTOSO`]: who asks one of them is told whom he reached.
pub const NORTHWIND: &str = "northwind.azurecr.io";
/// The other.
pub const TAILSPIN: &str = "tailspin.azurecr.io";
/// A storage account of somebody who collects.
pub const STORAGE: &str = "attacker.blob.core.windows.net";
/// The bare name of the registry service, which serves certificates.
pub const SERVICE: &str = "azurecr.io";

/// Addresses of [`CONTOSO`].
pub const CONTOSO_ADDRESSES: [&str; 4] = [
    "198.51.100.10",
    "198.51.100.11",
    "2001:db8:1::10",
    "2001:db8:1::11",
];
/// Addresses of [`CONTOSO_DATA`]: those of its first answer, and more for a rotation.
pub const CONTOSO_DATA_ADDRESSES: [&str; 6] = [
    "198.51.100.20",
    "198.51.100.21",
    "198.51.100.22",
    "2001:db8:1::20",
    "2001:db8:1::21",
    "2001:db8:1::22",
];
/// Addresses of [`FABRIKAM`].
pub const FABRIKAM_ADDRESSES: [&str; 2] = ["198.51.100.30", "2001:db8:1::30"];
/// Addresses of [`SERVICE`].
pub const SERVICE_ADDRESSES: [&str; 2] = ["198.51.100.40", "2001:db8:1::40"];
/// Addresses of [`STORAGE`].
pub const STORAGE_ADDRESSES: [&str; 2] = ["203.0.113.50", "2001:db8:2::50"];
/// Addresses that no name has.
pub const BARE_ADDRESSES: [&str; 2] = ["203.0.113.99", "2001:db8:2::99"];

/// Where the name server is.
pub const NAME_SERVER_ADDRESSES: [&str; 2] = ["192.0.2.53", "2001:db8::53"];

/// Where the second one is, for those who ask somebody else than the client does.
pub const SECOND_NAME_SERVER_ADDRESS: &str = "192.0.2.1";

/// The client's addresses on a [`Line`](crate::Line).
pub const LINE_ADDRESSES: [&str; 2] = ["192.0.2.3", "2001:db8::3"];

/// A policy that names [`CONTOSO`] and nothing else.
pub const CONTOSO_POLICY: &str = r#"mode = "enforce"

[[registry]]
login_server = "contoso.azurecr.io"
data_regions = ["eastus"]
"#;

/// The client's own addresses on the link.
pub(crate) const CLIENT_NETWORK: &str = "\
address add 192.0.2.2/24 dev eth0
address add 2001:db8::2/64 dev eth0 nodad";

/// Its way to everybody else.
pub(crate) const CLIENT_ROUTES: [&str; 4] = [
    "198.51.100.0/24 via 192.0.2.1",
    "203.0.113.0/24 via 192.0.2.1",
    "2001:db8:1::/48 via 2001:db8::1",
    "2001:db8:2::/48 via 2001:db8::1",
];

/// The client's end of a [`Line`](crate::Line). Its routes are more specific than those of the cable, so that all is as
/// before when the line goes away.
pub(crate) const LINE_CLIENT_SIDE: &str = "\
link set line0 up
address add 192.0.2.3/32 dev line0
address add 2001:db8::3/128 dev line0 nodad
route add 198.51.100.0/25 dev line0 src 192.0.2.3
route add 203.0.113.0/25 dev line0 src 192.0.2.3
route add 2001:db8:1::/49 dev line0 src 2001:db8::3
route add 2001:db8:2::/49 dev line0 src 2001:db8::3";

/// The servers' end.
pub(crate) const LINE_SERVER_SIDE: &str = "\
link set line0 up
route add 192.0.2.3/32 dev line0
route add 2001:db8::3/128 dev line0";

/// The servers' way to the client, which they have by being on its link.
pub(super) const SERVER_ROUTES: [&str; 2] = ["192.0.2.2/32 dev eth0", "2001:db8::2/128 dev eth0"];

/// The servers' addresses on the link.
pub(crate) const SERVER_NETWORK: &str = "\
address add 192.0.2.1/24 dev eth0
address add 2001:db8::1/64 dev eth0 nodad";

/// The same for a container: a network of its own, which the servers reach by `eth1`.
pub(super) const CONTAINER_NETWORK: &str = "\
address add 192.0.2.130/25 dev eth0
address add 2001:db8:0:1::2/64 dev eth0 nodad
route add 192.0.2.0/25 via 192.0.2.129
route add 198.51.100.0/24 via 192.0.2.129
route add 203.0.113.0/24 via 192.0.2.129
route add 2001:db8::/64 via 2001:db8:0:1::1
route add 2001:db8:1::/48 via 2001:db8:0:1::1
route add 2001:db8:2::/48 via 2001:db8:0:1::1";

/// The servers' end of it.
pub(super) const CONTAINER_GATEWAY: &str = "\
address add 192.0.2.129/25 dev eth1
address add 2001:db8:0:1::1/64 dev eth1 nodad";

/// Every address of a service, without those of the name server.
pub(crate) fn service_addresses() -> impl Iterator<Item = IpAddr> {
    CONTOSO_ADDRESSES
        .iter()
        .chain(&CONTOSO_DATA_ADDRESSES)
        .chain(&FABRIKAM_ADDRESSES)
        .chain(&SERVICE_ADDRESSES)
        .chain(&STORAGE_ADDRESSES)
        .chain(&BARE_ADDRESSES)
        .map(|text| address(text))
}

/// An address of the tables above.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("a constant of this file is an address")
}

/// Tells the name server about everybody, with the CNAME chains of the real service.
pub(crate) fn script(server: &NameServer) {
    server.script(|zone| {
        for name in [CONTOSO, NORTHWIND, TAILSPIN] {
            zone.cname(name, 300, "eus.fe.azcr.io");
        }
        zone.cname("eus.fe.azcr.io", 300, "eus-acr.trafficmanager.net");
        zone.cname(
            "eus-acr.trafficmanager.net",
            60,
            "r0318eus.eastus.cloudapp.azure.com",
        );
        zone.addresses(CONTOSO_HOST, 10, &CONTOSO_ADDRESSES);
        zone.cname(CONTOSO_DATA, 300, CONTOSO_DATA_HOST);
        zone.addresses(CONTOSO_DATA_HOST, 10, &["198.51.100.20", "2001:db8:1::20"]);
        zone.cname(FABRIKAM, 300, "wus.fe.azcr.io");
        zone.addresses("wus.fe.azcr.io", 10, &FABRIKAM_ADDRESSES);
        zone.addresses(SERVICE, 300, &SERVICE_ADDRESSES);
        zone.addresses(STORAGE, 60, &STORAGE_ADDRESSES);
    });
}
