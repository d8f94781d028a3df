//! Real calls on real sockets, of a process in a cgroup to which the programs are attached: what the caller is told,
//! what arrives at the far end of the cable, what is reported and what is counted. Needs root.

mod allowed;
mod bench;
mod calls;
mod flows;
mod packets;
mod report;
