//! placeholder
#![no_std]
extern crate alloc;
pub mod time;
mod ids;
mod ns;
