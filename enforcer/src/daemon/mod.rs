//! The run loop of `run` and of `exec`: answers in, grants out, denials reported.
//!
//! ```text
//! policy (file) -> answers (resolve) -> enforcing (kernel) -> attempt -> denial -> tally -> report
//!                                                                              -> granted -> history, usage
//! ```
//!
//! [`ending`] ends the sessions behind denials, [`owner`] says whose they were. [`names`] and [`report`] are pure; the rest is the
//! shell that ties the other rooms together.

mod answers;
pub mod attempt;
pub mod denial;
mod ending;
mod enforcing;
pub mod exec;
mod failure;
pub mod granted;
pub mod log;
pub mod measure;
mod memory;
pub mod names;
pub mod notify;
pub mod owner;
pub mod policy;
pub mod report;
pub mod run;
mod signals;
mod ticks;
