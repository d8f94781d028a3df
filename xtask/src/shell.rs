//! Running other programs: quietly for their answer, or in the open for their work.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` in silence and gives its standard output.
///
/// # Errors
/// When it cannot be started or fails; its last words are part of the error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{}` cannot be started", show(command)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = words.len().saturating_sub(4);
        bail!(
            "`{}` failed ({}): {}",
            show(command),
            output.status,
            words[last..].join("; ")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` with its output shown.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("    $ {}", show(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{}` cannot be started", show(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", show(command));
    }
    Ok(())
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), quote(&value?.to_string_lossy()))));
    let program = command.get_program().to_string_lossy();
    // cargo is found through the toolchain's own path, which says nothing to a reader.
    let program = if program.ends_with("/cargo") {
        "cargo".into()
    } else {
        quote(&program)
    };
    let arguments = command
        .get_args()
        .map(|argument| quote(&argument.to_string_lossy()));
    variables
        .chain([program])
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/some/where/bin/cargo");
        command.args(["test", "--test", "*"]).env("RUSTC_BOOTSTRAP", "1");
        assert_eq!(show(&command), "RUSTC_BOOTSTRAP=1 cargo test --test '*'");
    }

    #[test]
    fn a_failure_carries_the_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo went wrong >&2; exit 7"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 7") && text.contains("went wrong"),
            "{text}"
        );
    }
}
