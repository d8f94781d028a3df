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
    /// A ClientHello without a server name.
    NoServerName = 11, "no-server-name",
        "a TLS session that asks for no server name, to an address that is granted for its names only",
        "have the client connect by name; for a host that is known by its address alone, use an [[allow]] with `prefix`";
    /// A server name that no rule grants there.
    NameNotGranted = 12, "name-not-granted",
        "a TLS session under a server name that no rule grants at this address",
        "name the host in an [[allow]] or its registry in a [[registry]], if it is meant to be reached";
    /// More than one server name.
    TwoNames = 13, "two-names",
        "a TLS session that asks for more than one server name",
        "no honest client does; find the process";
    /// An extension that occurs twice.
    DuplicateExtension = 14, "duplicate-extension",
        "a ClientHello with the same extension twice (RFC 8446 section 4.2 forbids it)",
        "servers differ in which one they believe, so no honest client does it; find the process";
    /// Lengths that contradict each other.
    HelloLengths = 15, "hello-lengths",
        "a ClientHello whose lengths contradict each other",
        "only a broken or forged TLS client sends it; find the process";
    /// A NUL in the server name.
    NameWithNul = 16, "name-with-nul",
        "a server name with a NUL in it",
        "it ends early for some servers and not for others; find the process";
    /// A dot at the end of the server name.
    NameTrailingDot = 17, "name-trailing-dot",
        "a server name with a dot at its end (RFC 6066 section 3 forbids it)",
        "write the host without the last dot in the client's configuration";
    /// An address in place of the server name.
    NameIsAddress = 18, "name-is-address",
        "an address in place of a server name (RFC 6066 section 3 forbids it)",
        "have the client connect by name; for a host that is known by its address alone, use an [[allow]] with `prefix`";
    /// A server name beyond 253 bytes.
    NameTooLong = 19, "name-too-long",
        "a server name longer than any name can be (253 bytes)",
        "only a broken or forged TLS client sends it; find the process";
    /// The first bytes are no ClientHello.
    NotTls = 20, "not-tls",
        "the connection does not begin with a TLS ClientHello, and its address is granted for TLS under granted names only",
        "a plain-text or other protocol on this port needs an [[allow]] with `prefix` for its address";
    /// Bytes beside the SYN.
    PayloadInSyn = 21, "payload-in-syn",
        "bytes in the SYN (TCP fast open), where no server name can be checked",
        "the client connects without fast open at its next attempt; net.ipv4.tcp_fastopen=0 saves it that";
    /// A ClientHello in several TLS records.
    HelloInRecords = 22, "hello-in-records",
        "a ClientHello cut into several TLS records",
        "no common client does it, and it is a way to hide a name; find the process";
    /// Too many extensions.
    TooManyExtensions = 23, "hello-too-many-extensions",
        "a ClientHello with more extensions than are looked at (64)",
        "no common client has half as many; find the process";
    /// Urgent data before the verdict.
    UrgentData = 24, "urgent-data",
        "TCP urgent data before the server name was checked: the server would read other bytes than were checked",
        "no TLS client sends any; find the process";
    /// TCP payload that no TCP socket sent.
    ForgedSegment = 25, "forged-segment",
        "TCP payload that was not sent by a TCP socket: nothing ties it to a checked server name",
        "only raw sockets send it; find the process";
    /// A connection whose beginning was not seen.
    UnknownSession = 26, "unknown-session",
        "a connection whose beginning was not checked: it is older than the enforcer or than its policy",
        "have the client connect again; `[enforce] existing = \"allow\"` lets such connections be";
    /// No memory to judge with.
    NoMemory = 27, "no-memory",
        "the kernel had no memory to keep a connection's state in",
        "the packet is sent again by itself and judged anew; if it recurs, look at memory and net.core.optmem_max";
    /// A ClientHello beyond the most bytes of a record.
    HelloTooLong = 28, "hello-too-long",
        "a ClientHello longer than a TLS record can be (16 KiB)",
        "no common client sends an eighth of it; find the process";
    /// Too many records in front of what is to be judged.
    TooManyRecords = 29, "too-many-records",
        "more TLS records in one packet than are looked at before the handshake is over",
        "no common client sends so many small ones; find the process";
    /// What an earlier step has kept with the socket is not there for the next.
    StateMissing = 30, "state-missing",
        "what was kept with the session is not there, so it could not be judged",
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
