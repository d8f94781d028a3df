//! Why something was denied: one closed list, used in maps, events, messages and documentation alike.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $explanation:literal, $hint:literal;)*) => {
        /// Why something was denied. The code is part of the map and event layout.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant = $code,)* }

        impl Reason {
            /// Every reason, ascending by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The reason with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Its name in messages, reports and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened, as a sentence without its full stop.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// What to do when it should have been let through.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

reasons! {
    /// The destination address is in no grant.
    AddressNotGranted = 0, "address-not-granted",
        "no rule of the policy grants this address",
        "name the host in an [[allow]] or its registry in a [[registry]], then look at `enforcer plan`";
    /// UDP to a filtered port while `quic = "deny"`.
    QuicDenied = 1, "quic-denied",
        "UDP to a filtered port, which is QUIC, and the policy denies it",
        "clients fall back to TCP; `[enforce] quic = \"allow\"` judges UDP by its address instead";
    /// A fragment where honest packets are whole.
    Fragment = 2, "fragment",
        "a fragment that a process made itself: its ports can not be trusted",
        "the kernel fragments after the check, so only forged packets are met here";
    /// An IPv4 source route.
    SourceRoute = 3, "source-route",
        "an IPv4 source route: the packet would go elsewhere than it says",
        "no registry needs source routing; find the process that sets the option";
    /// An IPv6 routing header.
    RoutingHeader = 4, "routing-header",
        "an IPv6 routing header: the packet would go elsewhere than it says",
        "no registry needs a routing header; find the process that sets it";
    /// An IPv6 extension header that hides the ports.
    ExtensionHeader = 5, "extension-header",
        "IPv6 extension headers behind which no port can be found",
        "no registry needs them; find the process that sends them";
    /// A header that does not add up.
    Malformed = 6, "malformed-packet",
        "headers that end too early or contradict each other",
        "only raw sockets send such packets; find the process";
    /// Neither IPv4 nor IPv6.
    NotIp = 7, "not-ip",
        "neither IPv4 nor IPv6",
        "only raw sockets send such packets; find the process";
    /// No policy has been published to these programs.
    NoPolicy = 8, "no-policy",
        "the programs are attached but hold no policy yet",
        "look at the log of the daemon: it publishes before it attaches";
    /// The policy changed under three lookups in a row.
    PolicyChanging = 9, "policy-changing",
        "the policy was replaced three times during one lookup",
        "the client's next attempt is judged by the new policy; if it recurs, report it";
    /// The table contradicts itself.
    TableDamaged = 10, "table-damaged",
        "the address table contradicts itself",
        "restart the daemon, and report it: this is a fault of enforcer";
}

/// Number of reasons; the length of every array that is indexed by [`Reason`].
#[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
pub const REASONS: u32 = Reason::ALL.len() as u32;

// Arrays are indexed by the code.
const _: () = {
    let mut at = 0;
    while at < Reason::ALL.len() {
        assert!(Reason::ALL[at] as usize == at, "codes count from 0 without a gap");
        at += 1;
    }
};
