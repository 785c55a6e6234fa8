//! The numbers of a device, from its public face to the text a scrape gets, without a kernel.
//! docs/MANAGEMENT.md has the table of series; here it is held against the code.

#[path = "../common/mod.rs"]
mod common;
mod counting;
mod document;
mod text;
