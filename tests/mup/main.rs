//! The prefix router (design namespace.md) through its public face: ownership against a plain map,
//! the order of a hand-over, names and their routes, watches, and many threads at once.

mod model;
mod names;
mod order;
mod rig;
#[path = "../common/seeded.rs"]
mod seeded;
mod threads;
mod watches;
