//! Asking the network's own part for what only it knows: a line to its socket, a line back.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::FOLDER;

/// What can be asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// How many TCP segments for port 443 of an address have arrived at the servers.
    Arrived(IpAddr),
    /// How many ClientHellos under a name have.
    Visits(String),
    /// An image is pushed to the granted registry, behind the enforcer's back.
    Publish,
    /// The name server answers; or says nothing.
    Resolver(bool),
}

impl Request {
    fn write(&self) -> String {
        match self {
            Self::Arrived(address) => format!("arrived {address}"),
            Self::Visits(name) => format!("visits {name}"),
            Self::Publish => "publish".to_owned(),
            Self::Resolver(true) => "resolver alive".to_owned(),
            Self::Resolver(false) => "resolver dead".to_owned(),
        }
    }

    /// What a line asks for.
    pub(super) fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("arrived", address) => Some(Self::Arrived(address.parse().ok()?)),
            ("visits", name) => Some(Self::Visits(name.to_owned())),
            ("publish", "") => Some(Self::Publish),
            ("resolver", "alive") => Some(Self::Resolver(true)),
            ("resolver", "dead") => Some(Self::Resolver(false)),
            _ => None,
        }
    }
}

/// Where the network's part listens.
pub(super) fn socket() -> PathBuf {
    [FOLDER, "control"].iter().collect()
}

/// Asks, and gives the number that is answered.
///
/// # Errors
/// With the words of the other side when it could not.
pub(super) fn ask(request: &Request) -> Result<u64> {
    let mut stream = UnixStream::connect(socket()).context("the lab's network does not run")?;
    writeln!(stream, "{}", request.write())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let answer = answer.trim_end();
    let number = answer.strip_prefix("ok ");
    ensure!(number.is_some(), "the lab's network says: {answer}");
    Ok(number.unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        for request in [
            Request::Arrived("2001:db8::1".parse().unwrap()),
            Request::Visits("contoso.azurecr.io".to_owned()),
            Request::Publish,
            Request::Resolver(true),
            Request::Resolver(false),
        ] {
            assert_eq!(Request::parse(&request.write()), Some(request));
        }
        assert_eq!(Request::parse("resolver"), None);
    }
}
