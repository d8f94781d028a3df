//! The live view of `enforcer top`, without a terminal: events, statuses and keys go in, a frame comes out.
//!
//! Pure: clocks are given, nothing is read or written. `cli/top` has the terminal and the daemon.
//!
//! - `text`: text of others as a terminal may get it.
//! - `seen`: an entry of the history as it is shown.
//! - `tally`: denials counted by process, name, reason, unit and container, in bounded memory.
//! - `model`: what is known, and what the user looks at; `keys` is what keys do to it.
//! - `rows`: what a pane lists, sorted and filtered.
//! - `draw`: the model as a frame.

mod draw;
mod keys;
mod model;
mod rows;
mod seen;
mod tally;
mod text;

pub use draw::{Theme, draw};
pub use keys::{Key, Step};
pub use model::{Model, News};

#[cfg(test)]
mod tests;
