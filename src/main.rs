//! The `hopgate` program: hands its arguments to the command line room.
fn main() {}
