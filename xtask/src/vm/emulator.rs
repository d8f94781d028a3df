//! Booting one kernel in QEMU and listening to it until it turns itself off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::console::Found;
use crate::kernels::Unpacked;
use crate::machine::find_program;

/// Emulation in software, which needs no support of the machine; the machine may be busy with others as well.
const LIMIT: Duration = Duration::from_secs(420);
/// Two processors, so that what is kept per processor is kept in two places.
const PROCESSORS: &str = "2";
const MEMORY_MB: &str = "1024";

/// Boots `kernel` with `archive`, which is written to `file`, and gives what it told.
///
/// # Errors
/// When the emulator cannot be started. What the machine does is told by [`Found`].
pub(super) fn boot(kernel: &Unpacked, archive: &[u8], file: &Path) -> Result<Found> {
    fs::write(file, archive).with_context(|| format!("{} cannot be written", file.display()))?;
    let program =
        find_program("qemu-system-x86_64").context("`cargo xtask setup` installs qemu-system-x86")?;
    let mut command = Command::new(program);
    command
        // Without KVM even where there is one: the outcome shall not depend on the machine.
        .args(["-accel", "tcg", "-smp", PROCESSORS, "-m", MEMORY_MB])
        // QEMU 7.2 spoils the flags in cmpxchg16b, which kernels use when they see it. Without it `kmalloc_nolock`, which
        // socket storage comes from since Linux 7.0, gives memory only of checked caches, hence `slab_debug` (mm/slub.c).
        .args(["-cpu", "max,cx16=off,la57=off"])
        .args([
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(file)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on slab_debug=F",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("QEMU cannot be started")?;
    let found = listen(&mut child);
    // It has turned itself off, or its time is over.
    let _ended = child.kill();
    let _status = child.wait();
    let _gone = fs::remove_file(file);
    found
}

/// Reads the console until it closes or the time is over.
fn listen(child: &mut Child) -> Result<Found> {
    let console = child.stdout.take().context("QEMU's output was piped")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while console.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    let end = Instant::now() + LIMIT;
    let mut found = Found::default();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => found.read(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(found),
            Err(RecvTimeoutError::Timeout) => {
                let words = format!("the machine was ended after {} s", LIMIT.as_secs());
                found.failures.push(words);
                return Ok(found);
            }
        }
    }
}
