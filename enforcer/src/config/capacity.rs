//! How large the kernel's tables are.

use enforcer_common::abi::{INTERVALS_V4, INTERVALS_V6};
use enforcer_common::table::CHUNK;
use enforcer_common::table::INTERVALS_V6_MAX;

/// How many ranges of addresses the kernel's tables hold, for each family. The tables exist twice, and take their memory
/// whether or not they are full: 16 bytes for each IPv4 range, 80 for each IPv6 range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    ipv4: u32,
    ipv6: u32,
}

impl Capacity {
    /// What an IPv4 capacity is a multiple of, and the least.
    pub const IPV4_STEP: u32 = CHUNK;
    /// Most ranges of IPv4.
    pub const IPV4_MAX: u32 = 1 << 24;
    /// What an IPv6 capacity is a multiple of, and the least.
    pub const IPV6_STEP: u32 = 1 << 12;
    /// Most ranges of IPv6.
    pub const IPV6_MAX: u32 = INTERVALS_V6_MAX;

    /// A capacity; `None` when one of the numbers is no multiple of its step, or out of its range.
    #[must_use]
    pub const fn new(ipv4: u32, ipv6: u32) -> Option<Self> {
        if Self::is_ipv4(ipv4) && Self::is_ipv6(ipv6) {
            Some(Self { ipv4, ipv6 })
        } else {
            None
        }
    }

    const fn is_ipv4(count: u32) -> bool {
        count != 0 && count.is_multiple_of(Self::IPV4_STEP) && count <= Self::IPV4_MAX
    }

    const fn is_ipv6(count: u32) -> bool {
        count != 0 && count.is_multiple_of(Self::IPV6_STEP) && count <= Self::IPV6_MAX
    }

    /// Ranges of IPv4, a multiple of [`Self::IPV4_STEP`].
    #[must_use]
    pub const fn ipv4(self) -> u32 {
        self.ipv4
    }

    /// Ranges of IPv6, a multiple of [`Self::IPV6_STEP`].
    #[must_use]
    pub const fn ipv6(self) -> u32 {
        self.ipv6
    }
}

impl Default for Capacity {
    fn default() -> Self {
        const DEFAULT: Capacity = Capacity::new(INTERVALS_V4, INTERVALS_V6).expect("both are such multiples");
        DEFAULT
    }
}
