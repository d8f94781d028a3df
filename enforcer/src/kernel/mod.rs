//! The only room that talks to the kernel: load, publish, attach, read events and counters. It decides nothing.
