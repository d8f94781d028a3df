//! What is installed: the systemd unit, the manual pages, and the Debian package, which
//! `cargo xtask test --only package` makes for this.

mod install;
mod pages;
mod root;
mod unit;
