//! Scenes of a host's life in the lab, with real pulls: addresses rotate, names die, the policy is reloaded under load,
//! containers, one address family alone, denials, answers of unusual size. Needs root.

mod containers;
mod denials;
mod families;
mod host;
mod names;
mod reload;
mod rotation;
mod sizes;
