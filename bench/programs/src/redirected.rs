//! A packet with another destination than it has.

use enforcer_common::bytes::Bytes;
use enforcer_ebpf::skb::Skb;

/// The packet, as if it went to this IPv4 address.
pub(crate) struct Redirected {
    packet: Skb,
    destination: u32,
}

impl Redirected {
    #[inline(always)]
    pub(crate) fn new(packet: Skb, destination: u32) -> Self {
        Self { packet, destination }
    }

    /// The destination is the fifth word (RFC 791 section 3.1).
    #[inline(always)]
    fn redirect(&self, words: &mut [u32]) {
        if let Some(word) = words.get_mut(4) {
            *word = self.destination;
        }
    }
}

impl Bytes for Redirected {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.packet.length()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.packet.read(offset)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = self.packet.words::<N>(offset)?;
        if offset == 0 {
            self.redirect(&mut words);
        }
        Some(words)
    }

    #[inline(always)]
    fn near_as_sent<const N: usize>(&self) -> Option<[u32; N]> {
        let mut words = self.packet.near::<N>()?;
        self.redirect(&mut words);
        Some(words.map(u32::to_be))
    }
}

/// The packet, as if it went to this IPv6 address: the first and the last 64 bits.
pub(crate) struct RedirectedV6 {
    packet: Skb,
    destination: [u64; 2],
}

impl RedirectedV6 {
    #[inline(always)]
    pub(crate) fn new(packet: Skb, destination: [u64; 2]) -> Self {
        Self { packet, destination }
    }

    /// The destination is the last four words of the header (RFC 8200 section 3).
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    fn redirect(&self, words: &mut [u32]) {
        let [high, low] = self.destination;
        if let Some([d0, d1, d2, d3]) = words.get_mut(6..10) {
            [*d0, *d1, *d2, *d3] = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
        }
    }
}

impl Bytes for RedirectedV6 {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.packet.length()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.packet.read(offset)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = self.packet.words::<N>(offset)?;
        if offset == 0 {
            self.redirect(&mut words);
        }
        Some(words)
    }

    #[inline(always)]
    fn near_as_sent<const N: usize>(&self) -> Option<[u32; N]> {
        let mut words = self.packet.near::<N>()?;
        self.redirect(&mut words);
        Some(words.map(u32::to_be))
    }
}
