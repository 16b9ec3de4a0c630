//! The agent's binary: everything is in the library.

fn main() -> std::process::ExitCode {
    signpost::cli::main()
}
