//! `enforcer completion SHELL`: what makes a shell complete the command line.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::message::print;

/// Print what makes a shell complete this command line
///
/// For bash: `enforcer completion bash > /etc/bash_completion.d/enforcer`. Packages bring it along.
#[derive(Args)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::visible(), "enforcer", &mut script);
    print(format_args!("{}", String::from_utf8(script)?))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_what_a_person_may_type_and_nothing_else() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut super::super::visible(), "enforcer", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in [
                "check",
                "completion",
                "exec",
                "plan",
                "run",
                "config",
                "log-format",
            ] {
                assert!(script.contains(word), "{shell} lacks {word}");
            }
            assert!(
                !script.contains(super::super::COMMAND_GUARD),
                "{shell} offers the guard"
            );
        }
    }
}
