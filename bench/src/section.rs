//! The sections, in the order in which they run.

use clap::ValueEnum;

use crate::report::Report;
use crate::sizes::Sizes;
use crate::{program, replace};

/// A part of the bench that can be run alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Section {
    /// What the program takes for a packet, run by hand
    Program,
    /// Replacing a whole policy
    Replace,
}

impl Section {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[Self::Program, Self::Replace];

    /// Its number, which its figures carry.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Program => 1,
            Self::Replace => 3,
        }
    }

    /// What stands above its figures.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Program => "Time of the program for a packet",
            Self::Replace => "Replacing a whole policy",
        }
    }

    /// Measures.
    ///
    /// # Errors
    /// When something can not be measured; figures that were taken before stay in the report.
    pub(crate) fn run(self, report: &mut Report, sizes: &Sizes) -> anyhow::Result<()> {
        match self {
            Self::Program => program::run(report, sizes),
            Self::Replace => replace::run(report, sizes),
        }
    }
}
