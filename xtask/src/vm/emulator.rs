//! Booting a machine in QEMU and listening to it until it turns itself off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::kernels::Unpacked;
use crate::machine::find_program;

const MEMORY_MB: &str = "1024";
/// QEMU 7.2 spoils the flags in cmpxchg16b, which kernels use when they see it. Without it `kmalloc_nolock`, which socket
/// storage comes from since Linux 7.0, gives memory only of checked caches, hence [`SLAB`] (mm/slub.c). Of the rest only
/// what cryptography is quicker with: saving wide registers at each change of the process costs a third of the time.
const PROCESSOR: &str = "qemu64,cx16=off,la57=off,+ssse3,+sse4.1,+sse4.2,+aes,+pclmulqdq";
/// See [`PROCESSOR`].
const SLAB: &str = "slab_debug=F";
/// For what is translated; with less it is thrown away and translated again.
const ACCELERATOR: &str = "tcg,tb-size=512";

/// A machine to be booted.
pub(super) struct Guest<'a> {
    /// What it boots.
    pub(super) kernel: &'a Unpacked,
    /// Its first file system, and the file to write it to meanwhile.
    pub(super) archive: &'a [u8],
    pub(super) file: &'a Path,
    /// Two, so that what is kept per processor is kept in two places; or one.
    pub(super) processors: u32,
    /// Its disks, in their order.
    pub(super) disks: &'a [PathBuf],
    /// More words for the kernel's command line.
    pub(super) words: &'a str,
    /// Emulation in software needs no support of the machine; the machine may be busy with others as well.
    pub(super) limit: Duration,
}

/// What a listener answers to a line of the console.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// The machine goes on.
    GoOn,
    /// The power is taken away.
    Cut,
}

/// How a machine came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// By itself.
    Off,
    /// As the listener wished.
    Cut,
    /// Its time was over.
    Late,
}

impl Guest<'_> {
    /// Boots it, and gives every line of its console to `listener`.
    ///
    /// # Errors
    /// When the emulator cannot be started.
    pub(super) fn boot(&self, mut listener: impl FnMut(&str) -> Heard) -> Result<End> {
        fs::write(self.file, self.archive)
            .with_context(|| format!("{} cannot be written", self.file.display()))?;
        let program =
            find_program("qemu-system-x86_64").context("`cargo xtask setup` installs qemu-system-x86")?;
        let mut child = self.command(&program).spawn().context("QEMU cannot be started")?;
        let end = listen(&mut child, self.limit, &mut listener);
        // It has turned itself off, or its time is over.
        let _ended = child.kill();
        let _status = child.wait();
        let _gone = fs::remove_file(self.file);
        end
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            // Without KVM even where there is one: the outcome shall not depend on the machine.
            .args(["-accel", ACCELERATOR, "-m", MEMORY_MB])
            .args(["-smp", &self.processors.to_string()])
            .args(["-cpu", PROCESSOR])
            .args([
                "-nodefaults",
                "-no-reboot",
                "-display",
                "none",
                "-serial",
                "stdio",
            ])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.file);
        for disk in self.disks {
            // What the machine has written is in the file, also when the emulator is killed; what it has not is lost.
            let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
            command.args(["-drive", &drive]);
        }
        command
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on {SLAB} {}",
                self.words
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }
}

/// Reads the console until it closes, the listener has enough, or the time is over.
fn listen(child: &mut Child, limit: Duration, listener: &mut impl FnMut(&str) -> Heard) -> Result<End> {
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
    let end = Instant::now() + limit;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if listener(&line) == Heard::Cut {
                    return Ok(End::Cut);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Off),
            Err(RecvTimeoutError::Timeout) => return Ok(End::Late),
        }
    }
}
