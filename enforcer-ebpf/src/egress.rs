//! Every packet that a socket below the cgroup sends: the authority.

use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skb_cgroup_id};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::Reason;
use enforcer_common::abi::Hook;
use enforcer_common::at_once::{AtOnce, at_once, at_once_v4, at_once_v6, of_filtered_v4, of_kept};
use enforcer_common::bytes::Bytes;
use enforcer_common::packet::{self, Family, protocol};
use enforcer_common::table::{GrantWord, PolicyWord};
use enforcer_common::verdict::{Judgement, Transport, Verdict, deny, judge_packet};

use crate::maps::{FirstPort, Ports, has_one_port, has_one_table_v4};
use crate::report::{Denial, tell};
use crate::session::enforcer_session;
use crate::skb::Skb;
use crate::socket::Socket;
use crate::tables::{Maps, word};

/// The packet passes this program.
pub const PASS: i32 = 1;
pub(crate) const DROP: i32 = 0;

/// `ETH_P_IP` and `ETH_P_IPV6` (Linux `include/uapi/linux/if_ether.h`), in the network order of `__sk_buff::protocol`.
const IPV4: u32 = (0x0800_u16).to_be() as u32;
const IPV6: u32 = (0x86dd_u16).to_be() as u32;

/// What nearly every packet needs is in the program itself, and calls nothing: to call a function costs as much as to ignore a
/// packet, and so do the registers that are kept over a call.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_egress(program: SkBuffContext) -> i32 {
    egress(program.skb.skb, |context| one_bit(enforcer_session(context)))
}

/// Whether a packet passes, in a way that the verifier sees: the compiler knows what a function gives, and the verifier does
/// not.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one bit")]
fn one_bit(passes: u32) -> i32 {
    let mut passes = u64::from(passes);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= 1", inout(reg) passes) };
    passes as i32
}

/// The same for all, but for what only a server name decides.
#[inline(always)]
pub(crate) fn egress(context: *mut __sk_buff, session: impl FnOnce(*mut __sk_buff) -> i32) -> i32 {
    let mut place = MaybeUninit::uninit();
    let packet = Skb { context };
    let aside = Aside::new(&mut place, &packet);
    // SAFETY: the context is valid for the program's run.
    let protocol = unsafe { (*context).protocol };
    // Not by `family`, of which the compiler makes a number before it looks at it.
    let known = if protocol == IPV4 {
        known_v4(&packet, &aside)
    } else if protocol == IPV6 {
        let further = || AtOnce::of(enforcer_at_once_v6(aside.context()));
        at_once_v6(&packet, &FirstPort, further, || other(further))
    } else {
        AtOnce::Unknown
    };
    if matches!(known, AtOnce::Passes) {
        return PASS;
    }
    let context = aside.context();
    let outcome = if matches!(known, AtOnce::Session) {
        Outcome::SESSION
    } else {
        Outcome(enforcer_packet(context))
    };
    if outcome.passes() {
        return PASS;
    }
    if outcome.0 == Outcome::SESSION.0 {
        return session(context);
    }
    carry_out(context, outcome)
}

/// The context of a program where it costs no register that is kept over calls: those are saved at the start of every run,
/// also of one that calls nothing.
pub struct Aside<'a> {
    place: &'a MaybeUninit<*mut __sk_buff>,
}

impl<'a> Aside<'a> {
    /// Puts that of a packet aside.
    #[inline(always)]
    #[must_use]
    pub fn new(place: &'a mut MaybeUninit<*mut __sk_buff>, packet: &Skb) -> Self {
        // SAFETY: it is alive and aligned. Volatile, since the compiler would keep it in a register as well.
        unsafe { write_volatile(place.as_mut_ptr(), packet.context) };
        Self { place }
    }

    /// The context.
    #[inline(always)]
    fn context(&self) -> *mut __sk_buff {
        // SAFETY: it was written when this was made. Volatile, as above.
        unsafe { read_volatile(self.place.as_ptr()) }
    }
}

/// What becomes of a packet of which nothing is known. A function of its own, global, and so are those that it calls: the
/// verifier walks through each once by itself, and its stack is free again when a denial is told.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_packet(context: *mut __sk_buff) -> u64 {
    match family(context) {
        Some(Family::V4) => enforcer_packet_v4(context),
        Some(Family::V6) => enforcer_packet_v6(context),
        None => {
            let judgement = deny(Reason::NotIp, &Maps);
            Outcome::denied(&judgement, Reason::NotIp, Transport::default()).0
        }
    }
}

/// Of IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_packet_v4(context: *mut __sk_buff) -> u64 {
    judge(&Skb { context }, context, Family::V4).0
}

/// Of IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_packet_v6(context: *mut __sk_buff) -> u64 {
    judge(&Skb { context }, context, Family::V6).0
}

/// What is known at once of an IPv4 packet, by its bytes.
#[inline(always)]
pub fn known_v4<B: Bytes>(bytes: &B, aside: &Aside<'_>) -> AtOnce {
    let further = || AtOnce::of(enforcer_at_once_v4(aside.context()));
    at_once_v4(
        bytes,
        &FirstPort,
        #[inline(always)]
        |packet| {
            if !has_one_table_v4() {
                return further();
            }
            of_filtered_v4(bytes, packet, &Maps, |word, grant| {
                AtOnce::of(enforcer_kept_v4(aside.context(), word.0, grant.0))
            })
        },
        || other(further),
    )
}

/// What is known at once of a packet that is not to the first filtered port, with what tells it where there are others: what
/// looks for those is not to lie in everybody's way.
#[inline(always)]
fn other(further: impl FnOnce() -> AtOnce) -> AtOnce {
    if has_one_port() { AtOnce::Passes } else { further() }
}

/// What is known at once of an IPv4 packet, whatever its port and however large the table. A function of its own as
/// [`enforcer_packet`] is.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_at_once_v4(context: *mut __sk_buff) -> u32 {
    let flows = &mut Socket::of(context);
    at_once(&Skb { context }, Family::V4, &Ports, &Maps, flows).code()
}

/// What is known at once of the IPv6 packet of a context, by its bytes.
#[inline(always)]
pub fn known_v6<B: Bytes>(bytes: &B, context: *mut __sk_buff) -> AtOnce {
    at_once(bytes, Family::V6, &Ports, &Maps, &mut Socket::of(context))
}

/// As above, a function of its own.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_at_once_v6(context: *mut __sk_buff) -> u32 {
    known_v6(&Skb { context }, context).code()
}

/// What is known at once of a segment with something in it to an IPv4 address with a condition, by the word of the policy that
/// grants it and what grants it there.
#[cold]
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_kept_v4(context: *mut __sk_buff, policy: u64, grant: u32) -> u32 {
    let (policy, grant) = (PolicyWord(policy), GrantWord(grant));
    of_kept(
        &Skb { context },
        Family::V4,
        policy,
        grant,
        &mut Socket::of(context),
    )
    .code()
}

/// Judges the packet of a context by its bytes.
#[inline(always)]
pub fn judge<B: Bytes>(bytes: &B, context: *mut __sk_buff, family: Family) -> Outcome {
    let (judgement, told) = judge_packet(bytes, family, &Ports, &Maps, &mut Socket::of(context));
    match judgement.verdict {
        Verdict::Ignored | Verdict::Granted => Outcome::PASS,
        Verdict::Session => Outcome::SESSION,
        Verdict::Denied(reason) => Outcome::denied(&judgement, reason, told),
    }
}

/// What becomes of a packet, in one word, as it comes out of a global function: from the right a byte for the kind, the
/// reason and the protocol, 24 bits for the rule, and 16 for the offset of the ports.
#[derive(Clone, Copy)]
pub struct Outcome(u64);

impl Outcome {
    const PASS: Self = Self(0);
    const SESSION: Self = Self(1);
    const DENIED: u64 = 2;
    const AUDIT: u64 = 4;

    /// Whether the packet passes without another look.
    #[inline(always)]
    #[must_use]
    pub const fn passes(self) -> bool {
        self.0 == Self::PASS.0
    }

    #[inline(always)]
    pub(crate) fn denied(judgement: &Judgement, reason: Reason, told: Transport) -> Self {
        let audit = if judgement.settings.audit() {
            Self::AUDIT
        } else {
            0
        };
        Self(
            Self::DENIED
                | audit
                | (reason as u64) << 8
                | u64::from(told.protocol) << 16
                | u64::from(judgement.grant.rule()) << 24
                | u64::from(told.ports) << 48,
        )
    }
}

/// Tells of a denial, and says what becomes of the packet.
#[inline(always)]
pub(crate) fn carry_out(context: *mut __sk_buff, outcome: Outcome) -> i32 {
    let told = enforcer_tell(context, outcome.0);
    if outcome.0 & Outcome::AUDIT != 0 && told != CHECKED {
        PASS
    } else {
        DROP
    }
}

/// What becomes of a packet when the flow is not there that it is to be judged with.
#[inline(always)]
pub(crate) fn lost(context: *mut __sk_buff) -> i32 {
    let judgement = deny(Reason::StateMissing, &Maps);
    let told = Transport {
        protocol: protocol::TCP,
        ports: 0,
    };
    carry_out(context, Outcome::denied(&judgement, Reason::StateMissing, told))
}

/// The family of a packet by its link-layer type; `None` for any other.
#[inline(always)]
fn family(context: *mut __sk_buff) -> Option<Family> {
    // SAFETY: the context is valid for the program's run.
    match unsafe { (*context).protocol } {
        IPV4 => Some(Family::V4),
        IPV6 => Some(Family::V6),
        _ => None,
    }
}

/// What [`enforcer_tell`] gives for the daemon's own look at whether it is enforced.
const CHECKED: u32 = 2;

/// Counts and tells of a denial; of the daemon's self-check, a packet of a test run with the source port 0, it does neither,
/// and then it is dropped in audit mode as well.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
pub(crate) extern "C" fn enforcer_tell(context: *mut __sk_buff, outcome: u64) -> u32 {
    let audit = outcome & Outcome::AUDIT != 0;
    let packet = Skb { context };
    let flow = Socket::of(context).flow(audit);
    let (mut pid, mut comm) = (0, [0; 16]);
    if !flow.is_null() {
        // SAFETY: not null, and alive as long as the socket, which the packet holds.
        let flow = unsafe { &mut *flow };
        // When the policy changes meanwhile, the next packet is told of under the new one.
        if audit && !flow.is_untold(word().generation()) {
            return 0;
        }
        (pid, comm) = (flow.pid, flow.comm);
    }
    // Read once more, so that a packet which passes does not pay for what only a denial tells.
    let (source, destination) = match family(context) {
        Some(family) => packet::addresses(&packet, family).unwrap_or_default(),
        None => Default::default(),
    };
    let at = (outcome >> 48) as u32;
    let ports = if at == 0 {
        [0; 4]
    } else {
        packet.read(at).unwrap_or_default()
    };
    if at != 0 && ports[0] == 0 && ports[1] == 0 && Socket::of(context).is_by_hand() {
        return CHECKED;
    }
    tell(&Denial {
        reason: (outcome >> 8) as u8,
        hook: Hook::Egress as u8,
        audit,
        protocol: (outcome >> 16) as u8,
        source,
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination,
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        // SAFETY: the helper takes the context of this program.
        cgroup: unsafe { bpf_skb_cgroup_id(context) },
        // SAFETY: as above.
        cookie: unsafe { bpf_get_socket_cookie(context.cast()) },
        rule: (outcome >> 24) as u32 & GrantWord::RULE_MAX,
        pid,
        comm,
        flow,
    });
    1
}
