//! `lifeboat completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::answer::Answer;
use crate::args::Cli;

/// Print shell completions
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat completions bash > ~/.local/share/bash-completion/completions/lifeboat
  lifeboat completions zsh > \"${fpath[1]}/_lifeboat\"
  lifeboat completions fish > ~/.config/fish/completions/lifeboat.fish")]
pub struct Args {
    shell: Shell,
}

pub fn run(args: Args) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lifeboat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Answer::new(&script, script.clone())
}
