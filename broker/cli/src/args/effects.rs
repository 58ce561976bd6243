//! Whether each command that changes something has a route: the table in docs/operators.md against the command line and the API.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory as _};
use mooring_api::{Rule, route_rules};

use super::Args;

const PAGE: &str = include_str!("../../../../docs/operators.md");

/// What the table says of each command.
fn table() -> BTreeMap<String, String> {
    let (_, table) = PAGE.split_once("| command | changes by |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.map(|line| line.trim_matches(['|', ' ']).split_once(" | ").unwrap());
    let mut known = BTreeMap::new();
    for (command, effect) in rows {
        let command = command.trim_matches('`').to_owned();
        assert_eq!(
            known.insert(command.clone(), effect.trim_matches('`').to_owned()),
            None,
            "{command} is there twice"
        );
    }
    known
}

/// The commands that have no commands of their own.
fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
    let mut is_leaf = true;
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        is_leaf = false;
        leaves(child, &format!("{path} {}", child.get_name()), found);
    }
    if is_leaf {
        found.push(path.trim().to_owned());
    }
}

#[test]
fn no_command_that_changes_something_lacks_a_route_or_a_reason() {
    let mut commands = Vec::new();
    leaves(&Args::command(), "", &mut commands);
    commands.sort();
    let table = table();
    assert_eq!(commands, table.keys().cloned().collect::<Vec<_>>(), "docs/operators.md lists each command");
    let routes: Vec<String> = route_rules()
        .into_iter()
        .filter(|route| route.rule == Rule::Operator)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    for (command, effect) in table {
        let has_reason = effect == "nothing" || effect.strip_prefix("local: ").is_some_and(|why| !why.is_empty());
        assert!(has_reason || routes.contains(&effect), "{command}: {effect:?} is no operator's route");
    }
}

#[test]
fn commands_with_a_route_do_not_open_the_database() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands");
    for (command, effect) in table().iter().filter(|(_, effect)| effect.contains(" /v1/")) {
        let module = command.split(' ').next().unwrap();
        let source = std::fs::read_to_string(format!("{directory}/{module}.rs")).unwrap();
        assert!(!source.contains("open_store"), "{command} ({effect}): {module}.rs opens the database itself");
    }
}
