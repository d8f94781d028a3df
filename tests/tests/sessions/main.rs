//! Server names on real connections: a process in a cgroup to which the programs are attached, and what arrives at the far
//! end of the cable, byte by byte. Needs root.

mod allowed;
mod audit;
mod beginnings;
mod bench;
mod existing;
mod names;
mod pieces;
mod policies;
mod second;
mod start;
mod vectors;
