//! Registries, name servers and clients in network namespaces, and the vectors of the verdict.

pub mod nameserver;
pub mod packets;
pub mod vectors;
