//! Sets of prefixes, as large as service tags are: 100,000 prefixes are read, sorted and searched without a thought.
//!
//! This room does no I/O, reads no clock and knows neither tokio nor aya.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses, as the fewest prefixes of those that were given: ascending, none inside another, none IPv4-mapped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PrefixSet {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl PrefixSet {
    /// The set of these prefixes, which have no host bits set.
    #[must_use]
    pub fn new(v4: Vec<Ipv4Net>, v6: Vec<Ipv6Net>) -> Self {
        Self::counted(v4, v6).0
    }

    /// As [`Self::new`], and how many of the prefixes were there before.
    #[must_use]
    pub fn counted(mut v4: Vec<Ipv4Net>, mut v6: Vec<Ipv6Net>) -> (Self, usize) {
        // Files list their prefixes in order as a rule, and a sorted list costs one walk. Outer ones come first.
        v4.sort_unstable();
        v6.sort_unstable();
        let count = v4.len() + v6.len();
        v4.dedup();
        v6.dedup();
        let again = count - v4.len() - v6.len();
        // Where the one before has its address it has all of it.
        v4.dedup_by(|inner, outer| outer.contains(&inner.addr()));
        v6.dedup_by(|inner, outer| outer.contains(&inner.addr()));
        (Self { v4, v6 }, again)
    }

    /// Whether one of the prefixes contains `address`. An IPv4-mapped address is the IPv4 address that it carries.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let behind = self.v4.partition_point(|prefix| prefix.addr() <= address);
                behind > 0 && self.v4[behind - 1].contains(&address)
            }
            IpAddr::V6(address) => {
                let behind = self.v6.partition_point(|prefix| prefix.addr() <= address);
                behind > 0 && self.v6[behind - 1].contains(&address)
            }
        }
    }

    /// The prefixes, those of IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        let v4 = self.v4.iter().copied().map(IpNet::V4);
        v4.chain(self.v6.iter().copied().map(IpNet::V6))
    }

    /// How many prefixes of IPv4 it has.
    #[must_use]
    pub fn v4_count(&self) -> usize {
        self.v4.len()
    }

    /// How many prefixes of IPv6 it has.
    #[must_use]
    pub fn v6_count(&self) -> usize {
        self.v6.len()
    }

    /// Whether it has no address at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Reads a prefix that is written as nearly all are, several times as fast as the standard library does: `10.30.0.0/24`,
/// `2603:1030:0:4::/64`.
///
/// `None` says nothing but that it takes a closer look: the text may have another valid spelling, or none. What is read
/// here has no host bits set, and is no IPv4-mapped or IPv4-compatible prefix.
#[must_use]
pub fn read_plain(text: &[u8]) -> Option<IpNet> {
    let mut window = [0; WINDOW];
    if let Some(place) = window.get_mut(..text.len()) {
        place.copy_from_slice(text);
        if let Some((net, length)) = read_plain_v4(&window)
            && length == text.len()
        {
            return Some(IpNet::V4(net));
        }
    }
    let slash = text.iter().rposition(|byte| *byte == b'/')?;
    let (bits, length) = (v6(&text[..slash])?, length(&text[slash + 1..])?);
    // Below ::/80 are addresses with another spelling or meaning.
    let is_plain = length <= 128 && bits.checked_shl(length.into()).unwrap_or(0) == 0 && bits >> 48 != 0;
    let net = is_plain.then(|| Ipv6Net::new(Ipv6Addr::from_bits(bits), length))?;
    net.ok().map(IpNet::V6)
}

/// Bytes in which a prefix of IPv4 lies whole, and what follows it.
pub(crate) const WINDOW: usize = 32;

/// As [`read_plain`], the prefix of IPv4 that a text begins with, and how many bytes of it that is. There may be more
/// behind it, a digit as well.
#[must_use]
pub(crate) fn read_plain_v4(text: &[u8; WINDOW]) -> Option<(Ipv4Net, usize)> {
    let (mut bits, mut at) = (0, 0);
    for end in *b".../" {
        let (octet, behind) = number(text, at)?;
        if octet > 255 || text[behind % WINDOW] != end {
            return None;
        }
        bits = bits << 8 | octet;
        at = behind + 1;
    }
    let (length, behind) = number(text, at)?;
    if length > 32 || bits.checked_shl(length).unwrap_or(0) != 0 {
        return None;
    }
    let net = Ipv4Net::new(Ipv4Addr::from_bits(bits), u8::try_from(length).ok()?).ok()?;
    Some((net, behind))
}

/// The decimal number of one to three digits at `at`, without zeros before it, and where it ends.
#[inline]
fn number(text: &[u8; WINDOW], at: usize) -> Option<(u32, usize)> {
    let digit = |at: usize| u32::from(text[at % WINDOW].wrapping_sub(b'0'));
    match (digit(at), digit(at + 1), digit(at + 2)) {
        (10.., _, _) => None,
        (0, _, _) => Some((0, at + 1)),
        (one, 10.., _) => Some((one, at + 1)),
        (one, two, 10..) => Some((one * 10 + two, at + 2)),
        (one, two, three) => Some((one * 100 + two * 10 + three, at + 3)),
    }
}

/// A decimal number of one to three digits, without zeros before it.
fn length(digits: &[u8]) -> Option<u8> {
    let is_canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 3;
    if !is_canonical {
        return None;
    }
    let value = digits.iter().try_fold(0_u32, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u32::from(digit - b'0'))
    })?;
    value.try_into().ok()
}

fn v6(text: &[u8]) -> Option<u128> {
    let mut groups = [0_u16; 8];
    let (mut count, mut gap) = (0, None);
    let mut at = 0;
    if text.starts_with(b"::") {
        gap = Some(0);
        at = 2;
    }
    while at < text.len() {
        let (mut group, mut digits) = (0_u16, 0);
        while let Some(digit) = text.get(at).and_then(|byte| hexadecimal(*byte)) {
            if digits == 4 {
                return None;
            }
            group = group << 4 | digit;
            (digits, at) = (digits + 1, at + 1);
        }
        if digits == 0 || count == 8 {
            return None;
        }
        groups[count] = group;
        count += 1;
        match text.get(at..) {
            Some([]) => break,
            Some([b':', b':', ..]) if gap.is_none() => {
                gap = Some(count);
                at += 2;
            }
            Some([b':', _, ..]) => at += 1,
            _ => return None,
        }
    }
    match gap {
        // The gap stands for one group at least.
        Some(gap) if count < 8 => groups[gap..].rotate_right(8 - count),
        None if count == 8 => {}
        _ => return None,
    }
    let bits = |bits: u128, group: &u16| bits << 16 | u128::from(*group);
    Some(groups.iter().fold(0, bits))
}

fn hexadecimal(byte: u8) -> Option<u16> {
    match byte {
        b'0'..=b'9' => Some(u16::from(byte - b'0')),
        b'a'..=b'f' => Some(u16::from(byte - b'a') + 10),
        b'A'..=b'F' => Some(u16::from(byte - b'A') + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(prefixes: &[&str]) -> PrefixSet {
        let nets: Vec<IpNet> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        set_of(&nets)
    }

    fn set_of(nets: &[IpNet]) -> PrefixSet {
        let v4 = nets.iter().filter_map(|net| match net {
            IpNet::V4(net) => Some(*net),
            IpNet::V6(_) => None,
        });
        let v6 = nets.iter().filter_map(|net| match net {
            IpNet::V6(net) => Some(*net),
            IpNet::V4(_) => None,
        });
        PrefixSet::new(v4.collect(), v6.collect())
    }

    #[test]
    fn what_lies_inside_another_prefix_goes() {
        let set = set(&[
            "20.42.66.0/24",
            "20.42.64.0/22",
            "20.42.64.0/22",
            "13.0.0.0/32",
            "20.42.68.0/24",
            "2603:1030::/48",
            "2603:1030:0:4::/64",
        ]);
        let all: Vec<String> = set.iter().map(|net| net.to_string()).collect();
        assert_eq!(
            all,
            ["13.0.0.0/32", "20.42.64.0/22", "20.42.68.0/24", "2603:1030::/48"]
        );
        assert_eq!((set.v4_count(), set.v6_count()), (3, 1));
        for (address, inside) in [
            ("13.0.0.0", true),
            ("13.0.0.1", false),
            ("20.42.63.255", false),
            ("20.42.67.255", true),
            ("20.42.68.1", true),
            ("20.42.69.0", false),
            ("::ffff:20.42.68.1", true),
            ("2603:1030::1", true),
            ("2603:1030:1::", false),
            ("::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(PrefixSet::default().is_empty());
        assert!(!PrefixSet::default().contains("0.0.0.0".parse().unwrap()));
    }

    fn net() -> impl Strategy<Value = IpNet> {
        let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(bits, length)| {
            // Few of them, so that they meet.
            let address = Ipv4Addr::from_bits(bits & 0x1f00_00ff);
            IpNet::V4(Ipv4Net::new(address, length).unwrap().trunc())
        });
        let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(bits, length)| {
            let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), length);
            IpNet::V6(net.unwrap().trunc())
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn a_set_has_what_its_prefixes_have(nets in prop::collection::vec(net(), 0..40), at in any::<u32>()) {
            let set = set_of(&nets);
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for address in edges.chain([IpAddr::V4(Ipv4Addr::from_bits(at & 0x1f00_00ff))]) {
                let expected = nets.iter().any(|net| net.contains(&address.to_canonical()));
                prop_assert_eq!(set.contains(address), expected, "{}", address);
            }
        }

        #[test]
        fn what_is_read_plainly_is_what_the_standard_library_reads(net in net()) {
            let text = net.to_string();
            match read_plain(text.as_bytes()) {
                Some(read) => prop_assert_eq!(read, net),
                None => prop_assert!(matches!(net, IpNet::V6(net) if net.addr().to_bits() >> 48 == 0), "{}", text),
            }
            prop_assert_eq!(read_plain(text.to_uppercase().as_bytes()), read_plain(text.as_bytes()));
        }

        #[test]
        fn nothing_is_read_plainly_that_is_no_prefix(text in "[0-9a-f:./]{0,24}|[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,3}|[0-9a-f:]{2,12}/[0-9]{2}") {
            if let Some(net) = read_plain(text.as_bytes()) {
                prop_assert_eq!(text.parse::<IpNet>().ok(), Some(net));
                prop_assert_eq!(net.trunc(), net);
                let (_, length) = text.split_once('/').unwrap();
                prop_assert_eq!(length, net.prefix_len().to_string());
            }
        }
    }

    #[test]
    fn other_spellings_take_a_closer_look() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/33",
            "10.0.0.0/256",
            "10.0.0/8",
            "10.0.0.0.0/8",
            "10.0.0.00/8",
            "10.0.0.256/32",
            "10.0.0.1/24",
            " 10.0.0.0/8",
            "::ffff:10.0.0.0/104",
            "::/0",
            "2001:db8:::/48",
            "2001:db8::1::/64",
            "2001:db8:/32",
            ":2001:db8::/32",
            "1:2:3:4:5:6:7:8::/128",
            "1:2:3:4:5:6:7:8:9/128",
            "1:2:3:4:5:6:7/112",
            "12345::/16",
            "2001:db8::1/64",
            "2001:db8::/129",
        ] {
            assert_eq!(read_plain(text.as_bytes()), None, "{text}");
        }
        for text in [
            "0.0.0.0/0",
            "255.255.255.255/32",
            "2001:db8::/32",
            "1:2:3:4:5:6:7:8/128",
            "2001:0db8:0000::0001/128",
            "1:2:3:4:5:6:7::/128",
            "1::8/128",
        ] {
            assert_eq!(read_plain(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }
}
