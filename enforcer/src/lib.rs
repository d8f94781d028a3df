//! `enforcer`: a client firewall for container registries.
//!
//! Data flows one way: text, [`config`], [`endpoints`], answers ([`resolve`]), grants and plan ([`policy`]), maps,
//! verdict and event ([`kernel`]), report ([`daemon`], [`control`], [`top`], [`cli`]). ARCHITECTURE.md is the map of the code.

pub mod cli;
pub mod config;
pub mod config_file;
pub mod control;
pub mod daemon;
pub mod elapsed;
pub mod endpoints;
pub mod kernel;
pub mod learn;
pub mod names;
pub mod policy;
pub mod prefixes;
pub mod resolve;
pub mod special;
pub mod state;
pub mod top;
