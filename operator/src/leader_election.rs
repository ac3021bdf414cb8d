//! Elects one replica to write to the cluster: the holder of a Lease.

mod elector;

pub use elector::LeaderElector;
