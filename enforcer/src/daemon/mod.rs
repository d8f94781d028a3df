//! The run loop, and the life of one wrapped command.
