//! Real clients against two names on the same addresses: one that the policy grants, and one of another tenant.
//!
//! Every client is an entry of [`table`]. Needs root and `cargo xtask setup`.

mod client;
mod host;
mod lines;
mod names;
mod pull;
mod table;
