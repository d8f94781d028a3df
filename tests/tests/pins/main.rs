//! What is pinned outlives its daemon, is taken over without a gap, and is put back when somebody takes it away.

mod bench;
mod life;
mod links;
mod maps;
mod steps;
