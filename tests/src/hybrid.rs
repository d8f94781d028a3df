//! X25519MLKEM768 for rustls: the post-quantum key exchange that browsers and Go send, which makes a ClientHello larger
//! than a segment.
//!
//! rustls has it with one provider alone, which is built from C for minutes, and would come into every program of the
//! workspace. Put together here from the ring provider's X25519 and ML-KEM-768, it is as good for a lab: the wire is the
//! same (draft-ietf-tls-ecdhe-mlkem).

use ml_kem::kem::{Decapsulate, Encapsulate, Kem, Key, KeyExport};
use ml_kem::{MlKem768, ml_kem_768};
use rustls::crypto::ring::{self, kx_group};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

/// Bytes of an encapsulation key, which begins the client's share (FIPS 203, table 3).
const ENCAPSULATION_KEY: usize = 1184;
/// Bytes of a ciphertext, which begins the server's share.
const CIPHERTEXT: usize = 1088;

/// The ring provider with the hybrid group before its own.
#[must_use]
pub fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.kx_groups.insert(0, &Hybrid);
    provider
}

#[derive(Debug)]
struct Hybrid;

/// The client's side of an exchange.
struct Active {
    classical: Box<dyn ActiveKeyExchange>,
    post_quantum: ml_kem_768::DecapsulationKey,
    share: Vec<u8>,
}

const INVALID_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = kx_group::X25519.start()?;
        let (post_quantum, public) = MlKem768::generate_keypair();
        Ok(Box::new(Active {
            share: [&public.to_bytes()[..], classical.pub_key()].concat(),
            classical,
            post_quantum,
        }))
    }

    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (public, classical) = share.split_at_checked(ENCAPSULATION_KEY).ok_or(INVALID_SHARE)?;
        let public: &Key<ml_kem_768::EncapsulationKey> = public.try_into().map_err(|_| INVALID_SHARE)?;
        let public = ml_kem_768::EncapsulationKey::new(public).map_err(|_| INVALID_SHARE)?;
        let classical = kx_group::X25519.start_and_complete(classical)?;
        let (ciphertext, secret) = public.encapsulate();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&ciphertext[..], &classical.pub_key].concat(),
            secret: [&secret[..], classical.secret.secret_bytes()].concat().into(),
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

impl ActiveKeyExchange for Active {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, classical) = share.split_at_checked(CIPHERTEXT).ok_or(INVALID_SHARE)?;
        let secret = self
            .post_quantum
            .decapsulate_slice(ciphertext)
            .map_err(|_| INVALID_SHARE)?;
        let classical = self.classical.complete(classical)?;
        Ok([&secret[..], classical.secret_bytes()].concat().into())
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_get_the_same_secret_from_shares_of_the_lengths_of_the_draft() {
        let client = Hybrid.start().unwrap();
        assert_eq!(client.pub_key().len(), 1216);
        let server = Hybrid.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), 1120);
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn shares_that_are_cut_short_are_refused() {
        let client = Hybrid.start().unwrap();
        let share = client.pub_key().to_vec();
        for length in [0, 32, ENCAPSULATION_KEY - 1, ENCAPSULATION_KEY, share.len() - 1] {
            assert!(Hybrid.start_and_complete(&share[..length]).is_err(), "{length}");
        }
        assert!(client.complete(&share[..32]).is_err());
    }
}
