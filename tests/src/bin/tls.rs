//! A client of rustls with X25519MLKEM768: `tls NAME COUNT` asks for `/1` to `/COUNT` over one connection and prints
//! the answers. It trusts the certificates in the file that `SSL_CERT_FILE` names.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use enforcer_lab::{hybrid, trusting};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

fn main() -> ExitCode {
    match ask() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ask() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: tls NAME COUNT";
    let name = arguments.next().context(usage)?;
    let count: u32 = arguments.next().context(usage)?.parse().context(usage)?;

    let file = std::env::var_os("SSL_CERT_FILE").context("SSL_CERT_FILE names nobody to trust")?;
    let config = trusting(file.as_ref(), hybrid::provider())?;
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from(name.clone())?)?;
    let socket = TcpStream::connect((name.as_str(), 443)).context("connect")?;
    let mut stream = BufReader::new(StreamOwned::new(session, socket));
    for number in 1..=count {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: {name}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).context("send")?;
        print!("{}", answer(&mut stream).context("receive")?);
    }
    let group = stream.get_ref().conn.negotiated_key_exchange_group();
    let group = group.context("no key exchange")?.name();
    eprintln!("{}", group.as_str().unwrap_or("a key exchange without a name"));
    Ok(())
}

/// Reads one answer and gives its body.
fn answer(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    ensure!(
        line.starts_with("HTTP/1.1 200 "),
        "the answer is `{}`",
        line.trim()
    );
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((key, value)) if key.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().context("not a length")?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}
