//! Writes the manual pages and the shells' completions, from the command line's own definition:
//! `signpost-manual FOLDER`. Run by the build of packages; it is in none of them.

use clap_complete::{Shell, generate_to};
use std::{env, fs, io, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: signpost-manual FOLDER");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signpost-manual: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &PathBuf) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // A page for each command: signpost-status(1).
    clap_mangen::generate_to(signpost::cli::command(), folder)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut signpost::cli::command(), "signpost", folder)?;
    }
    Ok(())
}
