//! The simulated world: machines, disks, networks, time.

pub mod fs;
