//! The sections, in the order in which they run.

use clap::ValueEnum;

use crate::report::Report;
use crate::sizes::Sizes;
use crate::{change, hello, names, program, replace, send, start, throughput};

/// A part of the bench that can be run alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Section {
    /// What the program takes for a packet, run by hand
    Program,
    /// What a packet costs more on its way out
    Send,
    /// Replacing a whole policy
    Replace,
    /// The addresses of one name change
    Change,
    /// The check of a ClientHello
    Hello,
    /// The daemon follows names
    Names,
    /// The daemon starts, and what it takes of memory
    Start,
}

impl Section {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Program,
        Self::Send,
        Self::Replace,
        Self::Change,
        Self::Hello,
        Self::Names,
        Self::Start,
    ];

    /// Its number, which its figures carry.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Program => 1,
            Self::Send => 2,
            Self::Replace => 3,
            Self::Change => 4,
            Self::Hello => 5,
            Self::Names => 6,
            Self::Start => 7,
        }
    }

    /// What stands above its figures.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Program => "Time of the program for a packet",
            Self::Send => "Send path: added processor time for a packet",
            Self::Replace => "Replacing a whole policy",
            Self::Hello => "Server names: the check of a connection, and what an open one pays",
            Self::Names => "The daemon: following names, and doing nothing",
            Self::Start => "The daemon: start to enforcing, and memory",
            Self::Change => "One name's addresses change: until the kernel uses them",
        }
    }

    /// Measures.
    ///
    /// # Errors
    /// When something can not be measured; figures that were taken before stay in the report.
    pub(crate) fn run(self, report: &mut Report, sizes: &Sizes) -> anyhow::Result<()> {
        match self {
            Self::Program => program::run(report, sizes),
            Self::Send => send::run(report, sizes),
            Self::Replace => replace::run(report, sizes),
            Self::Change => change::run(report, sizes),
            Self::Hello => {
                hello::run(report, sizes)?;
                throughput::run(report, sizes)
            }
            Self::Names => names::run(report, sizes),
            Self::Start => start::run(report, sizes),
        }
    }
}
