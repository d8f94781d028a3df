//! The settings of a policy, and the bits that they are in the kernel.

use enforcer_common::table::Settings as Bits;

use crate::config::{Existing, Mode, Quic};

/// The settings that change together with the addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Enforce or audit.
    pub mode: Mode,
    /// What becomes of UDP.
    pub quic: Quic,
    /// What becomes of connections whose beginning was not seen.
    pub existing: Existing,
}

impl Settings {
    pub(in super::super) const fn bits(self) -> Bits {
        let audit = if matches!(self.mode, Mode::Audit) {
            Bits::AUDIT
        } else {
            0
        };
        let quic = if matches!(self.quic, Quic::Allow) {
            Bits::QUIC_ALLOWED
        } else {
            0
        };
        let existing = if matches!(self.existing, Existing::Allow) {
            Bits::EXISTING_ALLOWED
        } else {
            0
        };
        Bits(audit | quic | existing)
    }

    pub(in super::super) const fn from_bits(bits: Bits) -> Self {
        Self {
            mode: if bits.audit() { Mode::Audit } else { Mode::Enforce },
            quic: if bits.quic_allowed() {
                Quic::Allow
            } else {
                Quic::Deny
            },
            existing: if bits.existing_allowed() {
                Existing::Allow
            } else {
                Existing::Deny
            },
        }
    }
}
