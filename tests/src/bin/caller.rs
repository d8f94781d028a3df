//! Makes the socket calls that it reads from standard input, and answers each with `ok NUMBER` or `error NUMBER`. See
//! `enforcer_lab::sockets` for the lines.

use std::io::{self, BufRead, Write};

use enforcer_lab::sockets::Sockets;

fn main() -> io::Result<()> {
    let mut sockets = Sockets::default();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match sockets.call(&line?) {
            Ok(number) => writeln!(out, "ok {number}")?,
            Err(error) => writeln!(out, "error {}", error.raw_os_error())?,
        }
        out.flush()?;
    }
    Ok(())
}
