//! The test of each row of the fault table.

mod answers;
mod confirm;
mod files;
mod lives;
mod privileges;
mod tamper;

use super::Work;

pub(crate) const ROWS: [(&str, Work); enforcer_lab::faults::FAULTS.len()] = [
    ("killed", lives::killed),
    ("stopped", lives::stopped),
    ("upgraded", lives::upgraded),
    ("changed", lives::changed),
    ("resolver", answers::resolver),
    ("reload", files::reload),
    ("state", files::state),
    ("corrupt", files::corrupt),
    ("large", files::large),
    ("clock", answers::clock),
    ("boot", answers::boot),
    ("first-boot", answers::first_boot),
    ("pin", tamper::pin),
    ("link", tamper::link),
    ("second", privileges::second),
    ("confirm", confirm::confirm),
    ("kernel", privileges::kernel),
    ("detach", confirm::detach),
];
