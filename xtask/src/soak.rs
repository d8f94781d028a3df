//! `cargo xtask soak`: the fault table at full size.

use anyhow::Result;
use clap::Args;

use crate::machine::Machine;
use crate::{check, setup, shell};

/// How much of everything.
#[derive(Args)]
pub(crate) struct Sizes {
    /// How often the daemon is killed
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kills: u32,
    /// How often it is replaced by another, with the same programs and with others
    #[arg(long, value_name = "N", default_value_t = 1000)]
    upgrades: u32,
    /// How often it is told to read garbage
    #[arg(long, value_name = "N", default_value_t = 1000)]
    reloads: u32,
    /// What chance begins with: the same gives the same instants
    #[arg(long, value_name = "N", default_value_t = 4)]
    seed: u32,
    /// Only rows whose name has this in it, such as `killed`
    rows: Vec<String>,
}

/// Sets up, builds, and plays the table; its report is printed and written to target/soak/report.json.
pub(crate) fn run(machine: &Machine, sizes: &Sizes) -> Result<()> {
    setup::run(machine, false)?;
    shell::run(machine.cargo().args(["build", "--locked", "--quiet", "--bins"]))?;
    let mut command = machine.cargo();
    command.args([
        "test",
        "--locked",
        "--quiet",
        "--package",
        "enforcer-lab",
        "--test",
        "faults",
    ]);
    check::by_root(machine, &mut command, "cargo xtask soak")?;
    command.arg("--");
    for (name, value) in [
        ("--kills", sizes.kills),
        ("--upgrades", sizes.upgrades),
        ("--reloads", sizes.reloads),
        ("--seed", sizes.seed),
    ] {
        command.args([name, &value.to_string()]);
    }
    command.args(&sizes.rows);
    shell::run(&mut command)
}
