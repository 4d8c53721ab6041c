//! The command `stormproof`. Everything is in the library, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    stormproof::cli::main()
}
