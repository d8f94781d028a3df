//! What real clients sent, asking for [`NAME`](crate::vectors::NAME). `recorded/README.md` tells how it was recorded.

/// A client, and the first bytes that it sent: one ClientHello in one record.
pub type Recording = (&'static str, &'static [u8]);

macro_rules! recordings {
    ($($client:literal),* $(,)?) => {
        /// Every recording.
        pub const RECORDINGS: &[Recording] =
            &[$(($client, include_bytes!(concat!("../recorded/", $client, ".bin")))),*];
    };
}

recordings![
    "chromium",
    "curl",
    "node",
    "openssl",
    "openssl-tls12",
    "python",
    "skopeo",
    "wget",
];
