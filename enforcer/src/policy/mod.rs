//! From endpoints and answers to what the kernel should hold, and from there to a plan.
//!
//! This room does no I/O, reads no clock and knows neither tokio nor aya.

pub mod explain;
pub mod grants;
pub mod plan;
pub mod table;
