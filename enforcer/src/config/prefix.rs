//! Prefixes of addresses as rules carry them: no host bits, never IPv4-mapped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::document::Text;
use super::problem::quote;
use super::report::Report;

/// Shorter IPv4 prefixes are so wide that anybody can have an address in them. Larger blocks were given to no one.
const WIDE_V4_BITS: u8 = 8;
/// The same for IPv6: providers get blocks of this size, not single organisations.
const WIDE_V6_BITS: u8 = 19;
/// Most prefixes of one `private_link`: every answer is compared with each.
const PRIVATE_LINK_MAX: usize = 256;
/// Length of `::ffff:0:0/96`, in which IPv4-mapped addresses lie (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Why a text is no prefix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PrefixError {
    #[error("{} is no prefix", quote(.0))]
    Syntax(String),
    #[error("`{0}` is an address without a prefix length")]
    NoLength(IpAddr),
    #[error("{} is no length of a prefix with {bits} bits", quote(.length))]
    Length {
        address: IpAddr,
        length: String,
        bits: u8,
    },
    #[error("`{0}` has bits set behind its length")]
    HostBits(IpNet),
    #[error("`{0}` is an IPv4-mapped prefix; packets never carry those")]
    Mapped(Ipv6Net),
}

impl PrefixError {
    /// What to write instead.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Syntax(text) if is_prefix_in_spaces(text) => format!("write `{}`", text.trim()),
            Self::Syntax(_) => "an address and a length: `10.30.0.0/24`, `2001:db8::/32`".into(),
            Self::NoLength(address) => format!("for this address alone write `{}`", IpNet::from(*address)),
            Self::Length {
                address,
                length,
                bits,
            } => match with_netmask(*address, length) {
                Some(prefix) => format!("write `{prefix}`"),
                None => format!("write a length of 0 to {bits}"),
            },
            Self::HostBits(prefix) => format!("write `{}`", prefix.trunc()),
            Self::Mapped(prefix) => match unmapped(*prefix) {
                Some(v4) => format!("write `{v4}`"),
                None => "write the IPv4 prefix".into(),
            },
        }
    }
}

/// Reads a prefix.
pub(super) fn parse(text: &str) -> Result<IpNet, PrefixError> {
    let Some((address, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(address) => PrefixError::NoLength(address.to_canonical()),
            Err(_) => PrefixError::Syntax(text.to_owned()),
        });
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(PrefixError::Syntax(text.to_owned()));
    };
    let prefix = length_bits(length)
        .and_then(|bits| IpNet::new(address, bits).ok())
        .ok_or_else(|| PrefixError::Length {
            address,
            length: length.to_owned(),
            bits: if address.is_ipv4() { 32 } else { 128 },
        })?;
    if let IpNet::V6(v6) = prefix
        && v6.prefix_len() >= MAPPED_BITS
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err(PrefixError::Mapped(v6));
    }
    if prefix.trunc() != prefix {
        return Err(PrefixError::HostBits(prefix));
    }
    Ok(prefix)
}

/// A length in the one way it is written: no sign, no zero before it.
fn length_bits(text: &str) -> Option<u8> {
    let bits: u8 = text.parse().ok()?;
    (bits.to_string() == text).then_some(bits)
}

/// Whether the prefix is so wide that anybody can get an address in it.
pub(super) fn is_wide(prefix: IpNet) -> bool {
    match prefix {
        IpNet::V4(v4) => v4.prefix_len() < WIDE_V4_BITS,
        IpNet::V6(v6) => v6.prefix_len() < WIDE_V6_BITS && !unique_local().contains(&v6),
    }
}

/// Reads one prefix and reports what is wrong with it.
pub(super) fn read(text: &Text<'_>, report: &mut Report) -> Option<IpNet> {
    match parse(text.value) {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            let problem = report.error(&text.span, error.to_string());
            report.push(problem.hint(error.hint()));
            None
        }
    }
}

/// Reads `private_link`, whose prefixes say where answers may lie.
pub(super) fn read_private_link(texts: &[Text<'_>], report: &mut Report) -> Vec<IpNet> {
    if let Some(first) = texts.get(PRIVATE_LINK_MAX) {
        let message = format!(
            "{} prefixes are listed, {PRIVATE_LINK_MAX} are the most",
            texts.len()
        );
        let problem = report.error(&first.span, message);
        report.push(problem.hint("write the prefix of the network around them"));
    }
    let mut prefixes = Vec::new();
    for text in texts.iter().take(PRIVATE_LINK_MAX) {
        let Some(prefix) = read(text, report) else {
            continue;
        };
        if is_wide(prefix) {
            let problem = report.error(
                &text.span,
                format!("`{prefix}` is wider than any private network"),
            );
            report.push(problem.hint(
                "write the prefix of the network that the private endpoints are in, as in `10.20.0.0/16`",
            ));
            continue;
        }
        if prefixes.contains(&prefix) {
            let problem = report.warning(&text.span, format!("`{prefix}` stands twice"));
            report.push(problem.hint("take one of the two away"));
            continue;
        }
        if !overlaps_private(prefix) {
            let message = format!("`{prefix}` has no private addresses in it, and means nothing here");
            let problem = report.warning(&text.span, message);
            report.push(problem.hint(
                "public answers are accepted without it; loopback, link-local and their like never are",
            ));
        }
        prefixes.push(prefix);
    }
    prefixes
}

/// `10.0.0.0` and `255.255.0.0` are `10.0.0.0/16`.
fn with_netmask(address: IpAddr, mask: &str) -> Option<IpNet> {
    let net = IpNet::with_netmask(address, mask.parse().ok()?).ok()?;
    Some(net.trunc())
}

fn is_prefix_in_spaces(text: &str) -> bool {
    text.trim() != text && parse(text.trim()).is_ok()
}

fn unmapped(prefix: Ipv6Net) -> Option<Ipv4Net> {
    let address = prefix.addr().to_ipv4_mapped()?;
    let bits = prefix.prefix_len().checked_sub(MAPPED_BITS)?;
    Some(Ipv4Net::new(address, bits).ok()?.trunc())
}

/// What `private_link` can cover: RFC 1918, RFC 6598, RFC 4193 and RFC 8215.
pub(crate) const PRIVATE: [IpNet; 6] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
    )),
];

/// Prefixes of IPv6 addresses that carry IPv4 addresses, private ones as well: NAT64 (RFC 6052), 6to4 (RFC 3056).
const CARRIERS: [IpNet; 2] = [
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
        96,
    )),
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
    )),
];

fn overlaps_private(prefix: IpNet) -> bool {
    let mut nets = PRIVATE.iter().chain(&CARRIERS);
    nets.any(|net| net.contains(&prefix) || prefix.contains(net))
}

/// `fc00::/7`, the addresses of private networks (RFC 4193).
fn unique_local() -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_what_is_right() {
        for (text, message, hint) in [
            (
                "10.30.0.1/24",
                "`10.30.0.1/24` has bits set behind its length",
                "write `10.30.0.0/24`",
            ),
            (
                "2001:db8::1/32",
                "`2001:db8::1/32` has bits set behind its length",
                "write `2001:db8::/32`",
            ),
            (
                "10.30.0.1",
                "`10.30.0.1` is an address without a prefix length",
                "for this address alone write `10.30.0.1/32`",
            ),
            (
                "::ffff:10.0.0.0/104",
                "`::ffff:10.0.0.0/104` is an IPv4-mapped prefix; packets never carry those",
                "write `10.0.0.0/8`",
            ),
            (
                "10.0.0.0/33",
                "`33` is no length of a prefix with 32 bits",
                "write a length of 0 to 32",
            ),
            (
                "10.0.0.0/+8",
                "`+8` is no length of a prefix with 32 bits",
                "write a length of 0 to 32",
            ),
            (
                "10.0.0.0/08",
                "`08` is no length of a prefix with 32 bits",
                "write a length of 0 to 32",
            ),
            (
                "10.0.0.0/255.255.0.0",
                "`255.255.0.0` is no length of a prefix with 32 bits",
                "write `10.0.0.0/16`",
            ),
            (" 10.0.0.0/8", "` 10.0.0.0/8` is no prefix", "write `10.0.0.0/8`"),
            (
                "example.com",
                "`example.com` is no prefix",
                "an address and a length: `10.30.0.0/24`, `2001:db8::/32`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), error.hint().as_str()),
                (message, hint)
            );
        }
    }

    #[test]
    fn what_a_hint_says_is_valid() {
        for text in [
            "10.30.0.1/24",
            "2001:db8::1/32",
            "10.30.0.1",
            "::ffff:10.1.2.3/104",
        ] {
            let hint = parse(text).unwrap_err().hint();
            let advice = hint.split('`').nth(1).unwrap();
            assert!(parse(advice).is_ok(), "{hint}");
        }
    }

    #[test]
    fn half_of_everything_is_as_wide_as_all_of_it() {
        for (text, wide) in [
            ("0.0.0.0/0", true),
            ("128.0.0.0/1", true),
            ("10.0.0.0/8", false),
            ("::/0", true),
            ("2000::/3", true),
            ("fc00::/7", false),
            ("2603:1000::/24", false),
        ] {
            assert_eq!(is_wide(parse(text).unwrap()), wide, "{text}");
        }
    }
}
