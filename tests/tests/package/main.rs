//! What is installed: the systemd unit and the Debian package.

mod unit;
