//! The ground floor: it knows nothing of redirectors, FUSE or management.
//!
//! Status codes and their one errno table, names, numbers, limits, time, ranked locks, threads,
//! bounded queues, and the plain words a stop is spoken in. Everything above imports from here;
//! nothing here imports anything of ours.

pub mod clock;
pub mod ids;
pub mod limits;
pub mod metrics;
pub mod name;
pub mod programs;
pub mod queue;
pub mod shrink;
pub mod status;
pub mod stop;
pub mod sync;
pub mod threads;
pub mod units;
pub mod unsent;
