//! What `--help` says is what scripts and people rely on.

use crate::shell::Shell;

#[test]
fn help_says_what_each_verb_takes() {
    let shell = Shell::new();
    let verbs = "init doctor backup list show verify restore thaw drill check cleanup delete undelete hold release pull push status notify stats cost audit keys completions";
    for verb in std::iter::once("").chain(verbs.split(' ')) {
        let arguments: Vec<&str> = [verb, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let said = shell.run(&arguments).succeeded();
        assert_eq!(said.stderr, "");
        let name = if verb.is_empty() { "lifeboat" } else { verb };
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("help_{name}"), said.stdout) });
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = shell.run(&["completions", name]).succeeded();
        assert!(said.stdout.contains("verify"), "{name}");
    }
}
