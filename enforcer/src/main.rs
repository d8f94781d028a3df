//! The `enforcer` command. Everything is in the library, so that tests and the lab use the same code.

fn main() -> std::process::ExitCode {
    enforcer::cli::main()
}
