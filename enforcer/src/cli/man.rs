//! `enforcer man`: the manual pages, made from the command line itself, and that of the configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::message::{Failure, print};

/// What is written by hand: the page of the configuration.
const CONFIGURATION: &str = include_str!("man/enforcer.toml.5");
/// Its name.
const CONFIGURATION_NAME: &str = "enforcer.toml";

/// Print a manual page, or write them all into a folder
///
/// Without COMMAND it is the page of enforcer itself; `enforcer man enforcer.toml` is that of the configuration. To read
/// one: `enforcer man run | man -l -`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The command, or `enforcer.toml`
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Write every page into this folder, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A page and the file it belongs into.
struct Page {
    file: String,
    text: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let pages = pages()?;
    if let Some(folder) = &arguments.out {
        write_all(&pages, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = match arguments.command.as_deref() {
        None => "enforcer.1".to_owned(),
        Some(CONFIGURATION_NAME) => format!("{CONFIGURATION_NAME}.5"),
        Some(command) => format!("enforcer-{command}.1"),
    };
    let page = pages.iter().find(|page| page.file == file).ok_or_else(|| {
        let known: Vec<&str> = pages
            .iter()
            .filter_map(|page| page.file.strip_prefix("enforcer-")?.strip_suffix(".1"))
            .chain([CONFIGURATION_NAME])
            .collect();
        Failure::msg(
            format!(
                "there is no manual page for `{}`",
                arguments.command.as_deref().unwrap_or_default()
            ),
            format!("choose among {}", known.join(", ")),
        )
    })?;
    print(format_args!("{}", page.text))?;
    Ok(ExitCode::SUCCESS)
}

fn write_all(pages: &[Page], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} can not be made", folder.display()))?;
    for page in pages {
        let file = folder.join(&page.file);
        fs::write(&file, &page.text).with_context(|| format!("{} can not be written", file.display()))?;
    }
    Ok(())
}

/// Every page: that of enforcer, of each command that is shown in its help, and of the configuration.
fn pages() -> io::Result<Vec<Page>> {
    let mut root = super::visible().disable_help_subcommand(true);
    // Gives each command its full name and what it inherits.
    root.build();
    let names: Vec<String> = root
        .get_subcommands()
        .map(|command| format!("enforcer-{}", command.get_name()))
        .collect();
    let mut pages = vec![page(&root, &root_sections(&names))?];
    for command in root.get_subcommands() {
        pages.push(page(command, &see_also(&["enforcer".to_owned()]))?);
    }
    pages.push(Page {
        file: format!("{CONFIGURATION_NAME}.5"),
        text: CONFIGURATION.replace("@VERSION@", env!("CARGO_PKG_VERSION")),
    });
    Ok(pages)
}

/// The page of a command with `more` behind it. Without a date: the same source gives the same page.
fn page(command: &clap::Command, more: &Roff) -> io::Result<Page> {
    let man = Man::new(command.clone())
        .source(concat!("enforcer ", env!("CARGO_PKG_VERSION")))
        .manual("enforcer");
    let mut text = Vec::new();
    man.render(&mut text)?;
    more.to_writer(&mut text)?;
    Ok(Page {
        file: man.get_filename(),
        text: String::from_utf8(text).map_err(io::Error::other)?,
    })
}

/// What the page of enforcer says beyond its help.
fn root_sections(commands: &[String]) -> Roff {
    let mut roff = Roff::new();
    let mut list = |title: &str, entries: &[(&str, &str)]| {
        roff.control("SH", [title]);
        for (name, text) in entries {
            roff.control("TP", []);
            roff.text([bold(*name)]);
            roff.text([roman(*text)]);
        }
    };
    list(
        "EXIT STATUS",
        &[
            ("0", "Fine."),
            ("1", "An error, which is told on stderr with a hint."),
            ("2", "The command line is wrong."),
            ("3", "It ran, and the answer is no."),
        ],
    );
    list(
        "ENVIRONMENT",
        &[
            (
                "ENFORCER_LOG",
                "What is logged: info by default, debug, enforcer=trace, and so on.",
            ),
            ("NO_COLOR", "When it is set, messages have no colours."),
        ],
    );
    list(
        "FILES",
        &[
            (
                "/etc/enforcer/enforcer.toml",
                "The configuration of the service, see enforcer.toml(5).",
            ),
            (
                "/var/lib/enforcer",
                "The last good answers, for the time before names can be asked for.",
            ),
            (
                "/sys/fs/bpf/enforcer",
                "What is enforced, held by the kernel whether the service runs or not.",
            ),
        ],
    );
    let mut others = commands.to_vec();
    others.push(CONFIGURATION_NAME.to_owned());
    roff.extend([see_also(&others)]);
    roff
}

/// Links to the pages `names`.
fn see_also(names: &[String]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for name in names
        .iter()
        .map(String::as_str)
        .chain((names.len() == 1).then_some(CONFIGURATION_NAME))
    {
        if !words.is_empty() {
            words.push(roman(", "));
        }
        let section = if name == CONFIGURATION_NAME { "5" } else { "1" };
        words.extend([bold(name), roman(format!("({section})"))]);
    }
    roff.text(words);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    /// The keys that the page explains below the heading of a table: bold words behind `.TP`.
    fn explained(table: &str) -> Vec<String> {
        let heading = format!("\n.SS \"{table}\"\n");
        let section = CONFIGURATION
            .split(&heading)
            .nth(1)
            .unwrap_or_else(|| panic!("the page has no section {table}"));
        let section = section.split("\n.S").next().unwrap_or_default();
        section
            .split(".TP\n.B ")
            .skip(1)
            .filter_map(|rest| rest.lines().next())
            .flat_map(|keys| keys.split(", ").map(str::to_owned))
            .collect()
    }

    #[test]
    fn the_page_of_the_configuration_has_every_key_and_no_other() {
        for (table, keys) in KEYS {
            let mut documented = explained(table);
            let mut known = keys.to_vec();
            documented.sort_unstable();
            known.sort_unstable();
            assert_eq!(documented, known, "in `{table}`");
        }
    }

    #[test]
    fn every_visible_command_has_a_page() {
        let pages = pages().unwrap();
        let files: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        for file in [
            "enforcer.1",
            "enforcer-check.1",
            "enforcer-run.1",
            "enforcer.toml.5",
        ] {
            assert!(files.contains(&file), "{files:?}");
        }
        assert!(
            !files
                .iter()
                .any(|file| file.contains("guard") || file.contains("help")),
            "{files:?}"
        );
        for page in &pages {
            for section in [
                ".TH ",
                ".SH NAME",
                ".SH SYNOPSIS",
                ".SH DESCRIPTION",
                ".SH \"SEE ALSO\"",
            ] {
                assert!(page.text.contains(section), "{} lacks {section}", page.file);
            }
            assert!(!page.text.contains(super::super::COMMAND_GUARD), "{}", page.file);
        }
    }
}
