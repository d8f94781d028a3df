//! Running the programs of others inside a namespace of the bench, with the time that they take.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enforcer_lab::Namespace;

use crate::raw;

/// How long a program ran, from its start to its end, and how much of that in the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) whole: Duration,
    pub(crate) in_kernel: Duration,
}

/// Runs `program` in `host`, with `input` on its standard input.
///
/// # Errors
/// When it can not be started or fails, with its last words.
pub(crate) fn run(host: &Namespace, program: &str, arguments: &[&str], input: Option<&Path>) -> Result<Took> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(path) = input {
        let file =
            std::fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        command.stdin(file);
    }
    let before = raw::children_in_kernel();
    // The thread is in the namespace, not the child on its way: what a child has to do before it is the program makes the
    // system copy this process for it, and every page that is written afterwards costs a fault. Those would be in the
    // next figure of the enforcer, whose daemon copies itself for nobody.
    let (output, whole) = host.run(|| {
        let begin = Instant::now();
        let output = command.output();
        (output, begin.elapsed())
    })?;
    let output =
        output.with_context(|| format!("`{program}` cannot be started; `cargo xtask setup` installs it"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{program} {}` failed ({}): {}",
            arguments.join(" "),
            output.status,
            words.lines().last().unwrap_or_default().trim()
        );
    }
    Ok(Took {
        whole,
        in_kernel: raw::children_in_kernel().saturating_sub(before),
    })
}
