//! Two readers of ClientHellos that share no code with the parser: the acceptor of rustls, and tls-parser.

use std::io::Cursor;

use rustls::server::Acceptor;
use tls_parser::{SNIType, TlsExtension, TlsMessage, TlsMessageHandshake};

/// What a reader made of some bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reading {
    /// It takes them for a whole ClientHello, with these host names, in lower case.
    Names(Vec<Vec<u8>>),
    /// It refuses them, or waits for more.
    Nothing,
}

/// A reader: its name, and what it makes of bytes.
pub type Oracle = (&'static str, fn(&[u8]) -> Reading);

/// Both of them.
pub const ORACLES: [Oracle; 2] = [("rustls", rustls), ("tls-parser", tls_parser)];

/// What a server made with rustls reads. It joins a hello out of several records.
///
/// It treats an address in place of the name as no name at all.
#[must_use]
pub fn rustls(bytes: &[u8]) -> Reading {
    let mut acceptor = Acceptor::default();
    let mut rest = Cursor::new(bytes);
    loop {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => return Reading::Nothing,
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(folded);
                return Reading::Names(name.into_iter().collect());
            }
            Ok(None) => {}
            Err(_) => return Reading::Nothing,
        }
    }
}

/// What tls-parser reads in the first record.
///
/// It is lenient: it gives every name of every server name extension up to the first extension that it can not read.
#[must_use]
pub fn tls_parser(bytes: &[u8]) -> Reading {
    let Ok((_, record)) = tls_parser::parse_tls_plaintext(bytes) else {
        return Reading::Nothing;
    };
    let Some(TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello))) = record.msg.first() else {
        return Reading::Nothing;
    };
    let block = hello.ext.unwrap_or_default();
    let Ok((unread, extensions)) = tls_parser::parse_tls_client_hello_extensions(block) else {
        return Reading::Nothing;
    };
    let mut names = Vec::new();
    for extension in &extensions {
        if let TlsExtension::SNI(entries) = extension {
            for (kind, name) in entries {
                if *kind == SNIType::HostName {
                    names.push(folded(name));
                }
            }
        }
    }
    // Without a name, one may be in what it could not read.
    if names.is_empty() && !unread.is_empty() {
        return Reading::Nothing;
    }
    Reading::Names(names)
}

fn folded(name: impl AsRef<[u8]>) -> Vec<u8> {
    name.as_ref().to_ascii_lowercase()
}
