//! What outlives the daemon on disk: the last good answers, the last good configuration, the table that was in force, the
//! `confirmed` mark, and what was used of what is granted.
//!
//! ```text
//! Snapshot -> SavedAnswers -> form (text, checksum) -> file (atomic) -> state folder    survives a reboot
//!             (resolve)                                              -> runtime folder  survives a restart
//! a change -> journal (one record behind the other)                  -> runtime folder, until the answers are written again
//! ```
//!
//! A defect of any kind costs the file that has it, is told, and changes nothing else: no file is ever taken in half.
//! The wall clock is not read in this room. Ages are told by the time since boot and the boot's id ([`clock`]).
//!
//! [`instance`], [`clock`], [`form`], `saver::{pace, news}` and most of [`answers`] and [`configuration`] are pure;
//! [`mod@file`] and [`saver`] are the shell around them.

pub mod answers;
pub mod clock;
pub mod configuration;
pub mod confirmed;
pub mod file;
pub mod folders;
pub mod form;
pub mod instance;
pub mod journal;
pub mod saver;
pub mod table;
pub mod usage;

pub use answers::Loaded;
pub use clock::Moment;
pub use configuration::SavedConfiguration;
pub use folders::Folders;
pub use instance::Instance;
pub use saver::Saver;
