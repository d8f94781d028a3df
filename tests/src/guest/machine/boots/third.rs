//! The third boot: nobody answers questions for names, and what was known before is what counts. Then the power fails.

use anyhow::Result;

use super::{After, enforced_early, enforces, pull};
use crate::guest::machine::control::{Request, ask};
use crate::guest::machine::play::step;

pub(super) fn play() -> After {
    step("resolver dead, enforced before the network", enforced_early);
    step("resolver dead, enforced from the saved answers", enforces);
    step("resolver back, pull", back);
    After::Cut
}

fn back() -> Result<String> {
    ask(&Request::Resolver(true))?;
    pull()
}
