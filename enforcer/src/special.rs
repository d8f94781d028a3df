//! Special-purpose addresses: what an answer may not point to, and what belongs to no service of a provider.
//!
//! A name that resolves to the host itself, to its neighbours or to a cloud's metadata service is either an attack (DNS
//! rebinding) or a mistake, so such addresses are refused. The tables follow the IANA special-purpose address registries
//! (RFC 6890 and the updates named below).
//!
//! What a configured `private_link` prefix can cover: private (RFC 1918), shared (RFC 6598), unique local (RFC 4193) and
//! local NAT64 (RFC 8215) addresses. Never loopback, link-local, multicast, unspecified, reserved, or a metadata address,
//! not even inside a prefix that names them.
//!
//! Not special: documentation prefixes and benchmarking prefixes (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24,
//! 2001:db8::/32, 3fff::/20, 198.18.0.0/15, 2001:2::/48). Nothing of value answers there, and labs live there.
//!
//! An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is judged by what it carries as well.

mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::table::Cover::PrivateLink;
use self::table::{BENCHMARKING, GLOBAL, METADATA, NAT64, SIX_TO_FOUR, SPECIAL_OCTETS, TEREDO, V4, V6};

/// Accepts an address of an answer, or says why not. Accepted is the address to grant: an IPv4-mapped one has become the
/// IPv4 address that its packets are sent to.
///
/// # Errors
/// The class of special-purpose addresses that it belongs to, in the words of the registries.
pub fn judge(address: IpAddr, private_link: &[IpNet]) -> Result<IpAddr, &'static str> {
    match address.to_canonical() {
        IpAddr::V4(four) => judge_v4(four, address, private_link)?,
        IpAddr::V6(six) => {
            for carried in carried(six) {
                judge_v4(carried, address, private_link)?;
            }
            judge_v6(six, private_link)?;
        }
    }
    Ok(address.to_canonical())
}

/// What a published prefix has that belongs to no service: special-purpose addresses, a part of them or all of a kind.
///
/// One address of a public prefix may be special (168.63.129.16): it takes nothing from the others.
#[must_use]
pub fn of_prefix(prefix: IpNet) -> Option<&'static str> {
    if let IpNet::V4(prefix) = prefix
        && prefix.prefix_len() >= 8
        && !SPECIAL_OCTETS[usize::from(prefix.addr().octets()[0])]
    {
        return None;
    }
    if prefix.prefix_len() == prefix.max_prefix_len()
        && let Err(why) = judge(prefix.addr(), &[])
    {
        return Some(why);
    }
    match prefix {
        IpNet::V4(prefix) => {
            let meets = |net: &Ipv4Net| net.contains(&prefix) || prefix.contains(net);
            let found = V4.iter().find(|(net, ..)| meets(net));
            found.map(|(_, _, why)| *why)
        }
        IpNet::V6(prefix) => {
            let meets = |net: &Ipv6Net| net.contains(&prefix) || prefix.contains(net);
            if BENCHMARKING.contains(&prefix) {
                return None;
            }
            if [NAT64, SIX_TO_FOUR, TEREDO].iter().any(meets) {
                return Some("IPv4 in IPv6 (RFC 6052, RFC 3056, RFC 4380)");
            }
            match V6.iter().find(|(net, ..)| meets(net)) {
                Some((_, _, why)) => Some(why),
                None if GLOBAL.contains(&prefix) => None,
                None => Some("reserved (RFC 4291)"),
            }
        }
    }
}

/// Judges `address`, which may be carried inside of `outer`: a prefix may cover either.
fn judge_v4(address: Ipv4Addr, outer: IpAddr, private_link: &[IpNet]) -> Result<(), &'static str> {
    not_metadata(address.into())?;
    let Some((_, cover, why)) = V4.iter().find(|(net, ..)| net.contains(&address)) else {
        return Ok(());
    };
    let covered = private_link
        .iter()
        .any(|net| net.contains(&IpAddr::V4(address)) || net.contains(&outer));
    if *cover == PrivateLink && covered {
        Ok(())
    } else {
        Err(why)
    }
}

fn judge_v6(address: Ipv6Addr, private_link: &[IpNet]) -> Result<(), &'static str> {
    not_metadata(address.into())?;
    if [NAT64, TEREDO, BENCHMARKING]
        .iter()
        .any(|net| net.contains(&address))
    {
        return Ok(());
    }
    match V6.iter().find(|(net, ..)| net.contains(&address)) {
        None if GLOBAL.contains(&address) => Ok(()),
        None => Err("reserved (RFC 4291)"),
        Some((_, PrivateLink, _)) if private_link.iter().any(|net| net.contains(&IpAddr::V6(address))) => {
            Ok(())
        }
        Some((_, _, why)) => Err(why),
    }
}

fn not_metadata(address: IpAddr) -> Result<(), &'static str> {
    match METADATA.iter().find(|(metadata, _)| *metadata == address) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}

/// The IPv4 address behind the well-known prefix of NAT64.
pub(crate) fn nat64(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(address) if NAT64.contains(&address) => carried(address).first().copied().map(IpAddr::V4),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The IPv4 addresses inside of an IPv6 address that a translator or tunnel would send to.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |start: usize| {
        Ipv4Addr::new(
            octets[start],
            octets[start + 1],
            octets[start + 2],
            octets[start + 3],
        )
    };
    if NAT64.contains(&address) {
        vec![at(12)]
    } else if SIX_TO_FOUR.contains(&address) {
        vec![at(2)]
    } else if TEREDO.contains(&address) {
        vec![at(4), Ipv4Addr::from(!u32::from(at(12)))]
    } else {
        vec![]
    }
}

#[cfg(test)]
mod tests;
