//! The `hopgate` program: hands its arguments to the command line room.

use std::process::ExitCode;

fn main() -> ExitCode {
    hopgate::cli::run()
}
