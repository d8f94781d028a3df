//! The repository's own commands: `cargo xtask setup`, `test`, `fuzz`, `soak`, `bench`, `vm`, `package` and `demo`.
//!
//! It depends on no other crate of the workspace, since those need the set-up before they compile.

mod bench;
mod check;
mod debian;
mod demo;
mod failure;
mod fuzz;
mod kernels;
mod machine;
mod package;
mod setup;
mod shell;
mod soak;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::machine::Machine;

/// Set-up, tests and the demo of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need and what is missing: says first what, then does it
    Setup {
        /// Only say what is there and what is missing
        #[arg(long)]
        dry_run: bool,
    },
    /// Set up, then run every check: format, clippy, licences, tests, fuzzing, the lab, and other kernels in emulated machines
    Test {
        /// Run only this step, without the set-up; may be given several times
        #[arg(long, value_name = "STEP")]
        only: Vec<check::Name>,
    },
    /// Fuzz the parsers, starting from the corpus that is kept in fuzz/corpus
    Fuzz {
        /// For how long, all targets together
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
    },
    /// Set up, build, and play the fault table under load: kills, upgrades, dead resolvers, full disks, ... a line each
    Soak(soak::Sizes),
    /// Set up, build, and measure what the enforcer costs beside nftables, ipset and other kinds of map
    Bench(bench::Options),
    /// Set up, build, and try the enforcer in emulated machines: on Linux 5.10, 6.1, 6.12 and newest, and its package on a
    /// Debian with systemd
    Vm {
        /// Only this kernel, such as `5.10` or `newest`; may be given several times
        #[arg(long, value_name = "VERSION")]
        kernel: Vec<String>,
        /// Only the package: installed, rebooted, killed, upgraded, without power, removed
        #[arg(long, conflicts_with = "kernel")]
        boot: bool,
        /// The package, instead of that of these sources
        #[arg(long, value_name = "FILE", requires = "boot")]
        deb: Option<PathBuf>,
    },
    /// Set up, build, and make the Debian package in target/package
    Package {
        /// What it is for; the machine itself if not given
        #[arg(long)]
        arch: Option<package::Arch>,
    },
    /// Set up, build, and show the enforcer at work between namespaces of this machine
    Demo {
        /// Given to the demo as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Machine::find().and_then(|machine| match arguments.command {
        Command::Setup { dry_run } => setup::run(&machine, dry_run),
        Command::Test { only } => check::run(&machine, &only),
        Command::Fuzz { seconds } => setup::run(&machine, false).and_then(|()| fuzz::run(&machine, seconds)),
        Command::Soak(sizes) => soak::run(&machine, &sizes),
        Command::Bench(options) => bench::run(&machine, &options),
        Command::Vm { kernel, boot, deb } => setup::run(&machine, false).and_then(|()| {
            if boot {
                return vm::boot(&machine, deb);
            }
            let kernels = vm::run(&machine, &kernel);
            if !kernel.is_empty() {
                return kernels;
            }
            if let Err(error) = &kernels {
                failure::report(error);
            }
            vm::boot(&machine, None).and(kernels)
        }),
        Command::Package { arch } => package::run(&machine, arch),
        Command::Demo { arguments } => demo::run(&machine, &arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(&error);
            ExitCode::FAILURE
        }
    }
}
