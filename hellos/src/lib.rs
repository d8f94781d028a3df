//! ClientHellos for tests, and what the parser of [`enforcer_common::client_hello`] is held against.
//!
//! - [`hello`]: a ClientHello as fields, and as bytes with every length in its place
//! - [`vectors`]: hellos that are right, and one for every way to be wrong, with what must be read in each
//! - [`recorded`]: what real clients sent
//! - [`faults`]: changes that turn a good hello into a strange one
//! - [`oracles`]: two readers that share no code with the parser
//! - [`proof`]: what must hold for any bytes at all
//!
//! It needs no root and no network, and is small enough to be compiled with a fuzzer's flags.

pub mod faults;
pub mod hello;
pub mod oracles;
pub mod proof;
pub mod recorded;
pub mod vectors;

pub use hello::{Built, Extension, Hello, Level};
