//! The command `stormproof-engine`. Everything is in the library, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    stormproof_engine::driver::command::main()
}
